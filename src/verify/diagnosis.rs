//! What was found, in words: what was seen, what it means, where to look next. Never the solution.

use judge::{Outcome, Promise, leaks::Leak};
use solutions::Step;

use super::{
    live::Live,
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
    if let Some(live) = live.filter(|live| !live.is_well()) {
        return vec![
            "Not solved: it keeps its promises by itself, and not in a worker.".to_owned(),
            format!("Seen:  {}.", live.seen()),
            "Means: under load something else holds the worker up, or the machine is busy."
                .to_owned(),
            format!("Next:  cargo workshop compare --mine {} shows it over time.", step.number()),
        ];
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
