//! The verdict as text: what was seen, what it means, where to look next. Never the solution.

use judge::{Check, Outcome, Promise, advice, leaks::Leak, verdict};
use solutions::Step;

use super::{
    live::{Live, Verdict, has_one as has_live_run},
    subprocess::{Ended, Examination, Place, Shown, TIME_LIMIT},
};
use crate::course;

/// What a panic means, and where to look next.
const PANICKED: [&str; 2] = [
    "When a codec returns an error, Temporal retries that task. A panic stops more than that.",
    "Where the codec can't continue, return an error.",
];
/// What it means that a call never returns, and where to look next.
const NEVER_RETURNED: [&str; 2] = [
    "A task that is never answered times out, and is retried, again and again.",
    "Look for a wait that never ends: a loop, a lock, a channel.",
];

/// What was seen, with one full stop at its end.
fn sentence(seen: &str) -> String {
    format!("{}.", seen.trim_end_matches(['.', ' ']))
}

/// The verdict when there is nothing to check: `fault` says why there is no readable file; without one, the
/// compiler has reported its errors.
pub fn of_no_program(step: Step, fault: Option<String>) -> Vec<String> {
    let codec = course::codec(step);
    let codec = codec.display();
    let Some(fault) = fault else {
        return vec![
            format!("Not solved yet: {codec} does not compile, so there is nothing to check."),
            "Seen:  the compiler's messages are above.".to_owned(),
            "Next:  fix the compiler's first error. The worker needs `pub fn codec(keys: \
             KeyService) -> impl PayloadCodec`; everything else is up to you."
                .to_owned(),
            format!("Stuck: `cargo workshop hint {}` gives a nudge.", step.number()),
        ];
    };
    vec![
        format!("Not solved yet: {codec} {fault}, so there is nothing to check."),
        format!("Next:  `cargo workshop reset {}` restores its starting code.", step.number()),
    ]
}

/// How a leak is described in the list of checks.
pub fn seen_of(leak: Option<Shown>) -> String {
    let Some(Shown { leak: Leak { what, form }, place }) = leak else {
        return "none in its output or its files".to_owned();
    };
    let place = match place {
        Place::Output => "in its output",
        Place::File => "in a file that it wrote",
    };
    format!("{what} can be read {place}, {form}")
}

/// What failed beside the cause that [`of`] explains, and is not implied by another failure. A panic or a call that
/// never returns leaves nothing to say of the others.
pub fn others(checks: &[Check]) -> Vec<&Check> {
    let Some(cause) = verdict::cause(checks) else { return Vec::new() };
    if matches!(cause.outcome, Outcome::Panicked | Outcome::Stuck) {
        return Vec::new();
    }
    let failed: Vec<_> = checks.iter().filter(|check| !check.is_kept()).collect();
    let broken: Vec<_> = failed.iter().map(|check| check.promise).collect();
    let is_other = |check: &&Check| *check != cause && !check.promise.is_implied_by(&broken);
    failed.into_iter().filter(is_other).collect()
}

/// At most six lines.
pub fn of(step: Step, examination: &Examination, live: Option<&Live>) -> Vec<String> {
    let Examination { checks, ended, leak } = examination;
    if let Some(cause) = verdict::cause(checks) {
        let [means, next] = match cause.outcome {
            Outcome::Panicked | Outcome::Stuck => {
                advice::of(cause).unwrap_or(match cause.outcome {
                    Outcome::Panicked => PANICKED,
                    _ => NEVER_RETURNED,
                })
            }
            _ => [cause.promise.means, cause.promise.next],
        };
        return vec![
            format!("Not solved yet: {}.", cause.headline()),
            format!("Seen:  {}", sentence(&cause.seen)),
            format!("Means: {means}"),
            format!("Next:  {next}"),
        ];
    }
    let during = |promise: &Option<&Promise>| match promise {
        Some(promise) => format!("during the check \"{}\"", promise.says),
        None => "before the first check".to_owned(),
    };
    match ended {
        Ended::Exited(promise, status) => {
            return vec![
                "Not solved yet: the codec ended the whole program.".to_owned(),
                format!("Seen:  {status}, {}.", during(promise)),
                "Means: your worker would exit, with all its tasks.".to_owned(),
                "Next:  the last lines of its output are in .workshop/verify/output.log".to_owned(),
            ];
        }
        Ended::TooLong(promise) => {
            return vec![
                "Not solved yet: the checks did not finish.".to_owned(),
                format!("Seen:  stopped after {} s, {}.", TIME_LIMIT.as_secs(), during(promise)),
                format!("Means: {}", NEVER_RETURNED[0]),
                format!("Next:  {}", NEVER_RETURNED[1]),
            ];
        }
        Ended::TooLarge(promise) => {
            return vec![
                "Not solved yet: the codec takes more than 1 GiB of memory.".to_owned(),
                format!("Seen:  it was stopped for that, {}.", during(promise)),
                "Means: it keeps what it should release, or makes many copies.".to_owned(),
                "Next:  look for what grows with each call.".to_owned(),
            ];
        }
        // It prints too much because it leaks: the leak is reported below.
        Ended::TooLoud(_) if leak.is_some() => {}
        Ended::TooLoud(promise) => {
            return vec![
                "Not solved yet: the codec prints more than 16 MiB.".to_owned(),
                format!("Seen:  it was stopped for that, {}.", during(promise)),
                "Means: it would fill a worker's log, and printing blocks the thread.".to_owned(),
                "Next:  its output is in .workshop/verify/output.log".to_owned(),
            ];
        }
        Ended::Whole | Ended::Overloaded(_) => {}
    }
    if let Some(Shown { place, .. }) = leak {
        let where_it_is = match place {
            Place::Output => ": .workshop/verify/output.log",
            Place::File => "",
        };
        return vec![
            "Not solved yet: the codec leaks a payload or a key.".to_owned(),
            format!("Seen:  {}{where_it_is}.", seen_of(*leak)),
            "Means: anyone who can read the worker's log or files can read what the codec protects."
                .to_owned(),
            "Next:  look for what prints, logs or writes payloads or keys. You may log how many \
             there are."
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
    let number = step.number();
    let mut passed = vec![if live.is_none() && has_live_run(step) {
        format!("Exercise {number}: quick checks passed; the live run decides.")
    } else {
        format!("Solved: exercise {number}.")
    }];
    if !costs.is_empty() {
        passed.push(format!("It has a cost: {}.", costs.join("; ")));
    }
    passed
}

/// The verdict on a codec that passes every check by itself, but not on a server.
fn of_live(step: Step, live: &Live) -> Option<Vec<String>> {
    let compare = format!("cargo workshop compare --mine {} shows it over time.", step.number());
    let log =
        format!("look at the worker's log, .workshop/verify/mine_{}.worker.log", step.number());
    let [verdict, means, next] = match live.verdict() {
        Verdict::Good => return None,
        Verdict::NotDone(cause) => [
            cause,
            "in a worker, the codec encodes and decodes for workflows and for activities, sees \
             two keys, and some calls to the key service fail.",
            &log,
        ],
        Verdict::OnServer(finding, _) if finding.is_readable() => [
            "the server stores data that is not encrypted.",
            "anyone with access to the server can read it.",
            "look for what your codec does not encrypt: which payloads, and in which context.",
        ],
        Verdict::OnServer(..) => [
            "the server stores payloads that are not encrypted as they should be.",
            "another worker or client may not be able to read them, or reads something else.",
            "look at which key your codec encrypts with, and what it encrypts.",
        ],
        Verdict::Slow => [
            "it passes the checks, but a worker that uses it is slow.",
            "something else holds the worker up under load, or this machine is busy.",
            &compare,
        ],
    };
    Some(vec![
        format!("Not solved yet: {verdict}"),
        format!("Seen:  {}.", live.seen().trim_end_matches('.')),
        format!("Means: {means}"),
        format!("Next:  {next}"),
    ])
}

#[cfg(test)]
mod tests {
    use judge::promises::{NEEDS_NO_THREAD, PAYLOADS, RELEASES_IT_ALWAYS, RELEASES_THREAD};

    use super::*;

    #[test]
    fn what_another_failure_implies_is_not_explained() {
        let of = |outcomes: [Outcome; 4]| {
            let promises = [PAYLOADS, RELEASES_THREAD, RELEASES_IT_ALWAYS, NEEDS_NO_THREAD];
            let checks: Vec<_> = promises
                .into_iter()
                .zip(outcomes)
                .map(|(promise, outcome)| Check {
                    promise,
                    outcome,
                    fault: None,
                    seen: String::new(),
                })
                .collect();
            others(&checks).into_iter().map(|check| check.promise).collect::<Vec<_>>()
        };
        let [kept, broken] = [Outcome::Kept, Outcome::Broken];
        let all = || [broken.clone(), broken.clone(), broken.clone(), broken.clone()];
        assert_eq!(of(all()), [RELEASES_THREAD]);
        let releases = [broken.clone(), kept, broken.clone(), broken.clone()];
        assert_eq!(of(releases), [RELEASES_IT_ALWAYS, NEEDS_NO_THREAD]);
        // A panic ends what it is seen in.
        let panicked = [broken.clone(), broken.clone(), broken, Outcome::Panicked];
        assert_eq!(of(panicked), Vec::<&Promise>::new());
        assert_eq!(of([const { Outcome::Kept }; 4]), Vec::<&Promise>::new());
    }
}
