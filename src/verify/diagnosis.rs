//! What was found, in words: what was seen, what it means, where to look next. Never the solution.

use judge::{Outcome, Promise, leaks::Leak};
use solutions::Step;

use super::{
    live::{Live, Verdict},
    subprocess::{Ended, Examination},
};
use crate::course;

/// What it means that a codec does not come to an end, and where to look next.
const NEVER_ENDS: [&str; 2] = [
    "A task that is never answered times out, and is tried again, for ever.",
    "Look for what is waited for and never comes: a loop, a lock, a channel.",
];

/// When there is nothing to judge: the file is none, by that fault, or the compiler has said what is
/// wrong with it.
pub fn of_no_program(step: Step, fault: Option<String>) -> Vec<String> {
    let codec = course::codec(step);
    let codec = codec.display();
    let Some(fault) = fault else {
        return vec![
            format!("Not solved: {codec} does not compile, so there is nothing to judge yet."),
            "Seen:  the compiler's words are above.".to_owned(),
            "Next:  begin with the compiler's first error. The worker needs `pub fn codec(keys: \
             KeyService) -> impl PayloadCodec`; all beside it is yours."
                .to_owned(),
        ];
    };
    vec![
        format!("Not solved: {codec} {fault}, so there is nothing to judge yet."),
        format!(
            "Next:  it starts as solutions/{}/codec.rs: copy that there.",
            step.start().folder()
        ),
    ]
}

/// What a leak is, in the list.
pub fn seen_in_output(leak: Option<Leak>) -> String {
    let Some(Leak { what, form }) = leak else { return "nothing of them in its output".to_owned() };
    format!("{what} can be read in its output, {form}")
}

/// At most six lines.
pub fn of(step: Step, examination: &Examination, live: Option<&Live>) -> Vec<String> {
    let Examination { checks, ended, leak } = examination;
    if let Some(broken) = checks.iter().find(|check| !check.is_kept()) {
        let [means, next] = match broken.outcome {
            Outcome::Panicked => [
                "The SDK takes a codec's errors and has the task tried again; a panic ends more than \
                 that task.",
                "Where the codec can't go on, return an error.",
            ],
            Outcome::Stuck => NEVER_ENDS,
            _ => [broken.promise.means, broken.promise.next],
        };
        return vec![
            format!("Not solved: it does not keep \"{}\".", broken.promise.says),
            format!("Seen:  {}.", broken.seen),
            format!("Means: {means}"),
            format!("Next:  {next}"),
        ];
    }
    let during = |promise: &Option<&Promise>| match promise {
        Some(promise) => format!("while it was judged whether it {}", promise.says),
        None => "before anything was judged".to_owned(),
    };
    match ended {
        Ended::Exited(promise, status) => {
            return vec![
                "Not solved: the codec ended the whole program.".to_owned(),
                format!("Seen:  {status}, {}.", during(promise)),
                "Means: a worker would be gone, with all its tasks.".to_owned(),
                "Next:  its last words are in .workshop/verify/output.log".to_owned(),
            ];
        }
        Ended::TooLong(promise) => {
            return vec![
                "Not solved: the codec does not come to an end.".to_owned(),
                format!("Seen:  no answer, {}.", during(promise)),
                format!("Means: {}", NEVER_ENDS[0]),
                format!("Next:  {}", NEVER_ENDS[1]),
            ];
        }
        Ended::TooLarge(promise) => {
            return vec![
                "Not solved: the codec takes more than 1 GiB of memory.".to_owned(),
                format!("Seen:  it was ended for that, {}.", during(promise)),
                "Means: it keeps what it should let go, or makes many copies.".to_owned(),
                "Next:  look for what grows with each call.".to_owned(),
            ];
        }
        // It is too loud because it prints what it should not.
        Ended::TooLoud(_) if leak.is_some() => {}
        Ended::TooLoud(promise) => {
            return vec![
                "Not solved: the codec prints more than 16 MiB.".to_owned(),
                format!("Seen:  it was ended for that, {}.", during(promise)),
                "Means: a worker's log would be full of it, and printing holds the thread."
                    .to_owned(),
                "Next:  its words are in .workshop/verify/output.log".to_owned(),
            ];
        }
        Ended::Whole | Ended::Overloaded(_) => {}
    }
    if leak.is_some() {
        return vec![
            "Not solved: the codec prints what only it may read.".to_owned(),
            format!("Seen:  {}: .workshop/verify/output.log.", seen_in_output(*leak)),
            "Means: whoever may read a worker's log reads what the codec is there to protect."
                .to_owned(),
            "Next:  look for what prints or logs payloads. How many there are may be known to all."
                .to_owned(),
        ];
    }
    if let Some(lines) = live.and_then(|live| of_live(step, live)) {
        return lines;
    }
    let costs: Vec<_> = checks
        .iter()
        .filter_map(|check| match &check.outcome {
            Outcome::KeptAtACost(cost) => Some(cost.as_str()),
            _ => None,
        })
        .collect();
    let mut solved = vec![format!("Solved: exercise {}.", step.number())];
    if !costs.is_empty() {
        solved.push(format!("It has its price: {}.", costs.join("; ")));
    }
    solved
}

/// Of a codec that passes every check by itself, and not on a server.
fn of_live(step: Step, live: &Live) -> Option<Vec<String>> {
    let compare = format!("cargo workshop compare --mine {} shows it over time.", step.number());
    let log =
        format!("look at the worker's log, .workshop/verify/mine_{}.worker.log", step.number());
    let [verdict, means, next] = match live.verdict() {
        Verdict::Good => return None,
        Verdict::NotDone(cause) => [
            cause,
            "in a worker, the codec encodes and decodes for workflows and for activities, meets two \
             keys, and some calls to the key service fail.",
            &log,
        ],
        Verdict::OnServer(finding, _) if finding.is_readable() => [
            "the server stores data that is not encrypted.",
            "everybody who may look at the server can read it.",
            "look for what your codec does not encrypt: which payloads, and in which context.",
        ],
        Verdict::OnServer(..) => [
            "the server stores payloads that are not encrypted as they should be.",
            "another worker or client may not be able to read them, or reads something else.",
            "look at which key your codec encrypts with, and what it encrypts.",
        ],
        Verdict::Slow => [
            "it works by itself, but a worker is slow with it.",
            "something else holds the worker up under load, or this machine is busy.",
            &compare,
        ],
    };
    Some(vec![
        format!("Not solved: {verdict}"),
        format!("Seen:  {}.", live.seen().trim_end_matches('.')),
        format!("Means: {means}"),
        format!("Next:  {next}"),
    ])
}
