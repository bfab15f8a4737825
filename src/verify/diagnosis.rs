//! What was found, in words: what was seen, what it means, where to look next. Never the solution.

use solutions::{
    Step,
    judge::{Outcome, Promise},
};

use super::{
    examination::{Ended, Examination, Leak},
    live::Live,
};
use crate::exercise;

/// What a promise says, for the list.
pub fn promises(promise: Promise) -> &'static str {
    match promise {
        Promise::WireFormat => "reads and writes the format of Temporal's samples",
        Promise::Payloads => "encrypts every payload, whole and in order",
        Promise::WaitsForKey => "seals only with the key it asked for",
        Promise::PassesErrorsOn => "passes an error of the key service on",
        Promise::IsObserved => "is observed",
        Promise::ReleasesThread => "lets its thread go while it waits",
        Promise::ReleasesItAlways => "lets it go on every call, large ones and decoding included",
        Promise::WaitsQuietly => "waits without asking all the time",
        Promise::StallsTogether => "many stalls at once take as long as one",
        Promise::NeedsNoThread => "needs no thread for a wait",
        Promise::LeavesNothing => "leaves nothing behind when it is given up",
        Promise::KeepsKeys => "has a key at hand that it has had before",
        Promise::SharesCalls => "asks once for a key that many want",
        Promise::KeepsKeysApart => {
            "a key that is waited for keeps nobody waiting who needs another"
        }
        Promise::LetsKeysExpire => "uses no key beyond its lifetime",
    }
}

/// What a broken promise means, and where to look next.
fn meaning(promise: Promise) -> [&'static str; 2] {
    match promise {
        Promise::WireFormat => [
            "Another worker or client could not read what this one writes, or this one takes what it \
             must refuse.",
            "Compare encode and decode with those of the exercise's start: only the wait was to change.",
        ],
        Promise::Payloads => [
            "A workflow would get its data back changed, in another order, or readable by everybody.",
            "Follow one payload, and then a thousand, from the argument to the result.",
        ],
        Promise::WaitsForKey => [
            "It seals without the key that it asked for: fast, because it skips the wait, and with a \
             real key service not encrypted with that key.",
            "Find the call to the key service: what becomes of its result, and who waits for it?",
        ],
        Promise::PassesErrorsOn => [
            "When the key service fails, Temporal tries the task again, if it is told. What is sealed \
             all the same is sealed with the wrong key, or not at all; and a loop of tries is a storm.",
            "Follow the error from the key service to what encode returns.",
        ],
        Promise::IsObserved => [
            "Nothing tells how long this codec holds its thread: its calls are not in the figures that \
             /metrics serves.",
            "README of exercise 1, the task: what wraps a codec and records each poll, and where?",
        ],
        Promise::ReleasesThread => [
            "While it waits for its key, nothing else runs on the worker's thread: no poll, no timer, \
             no other workflow.",
            "What runs before the future is returned, and between two awaits, runs on that thread.",
        ],
        Promise::ReleasesItAlways => [
            "Most calls let the thread go, and some do not, or decoding does not: in production that \
             is a stall that comes now and then.",
            "Look at what depends on a count or a size, and at decode.",
        ],
        Promise::WaitsQuietly => [
            "It asks again and again whether its key has come: the thread is never held for long, and \
             never free.",
            "A future that waits is woken once, by whatever it waits for.",
        ],
        Promise::StallsTogether => [
            "Calls wait for each other: under load the last one waits for all the stalls before it.",
            "Look for what only one call can have at a time, and is kept across an await.",
        ],
        Promise::NeedsNoThread => [
            "Each wait has a thread of its own that does nothing but wait. Under load these are many, \
             and the pool has an end.",
            "The key service has a second call. Which one of the two needs a thread?",
        ],
        Promise::LeavesNothing => [
            "The SDK gives up futures, when a worker stops for one. What goes on all the same adds up.",
            "Look at what was started and is not owned by the future: tasks and threads.",
        ],
        Promise::KeepsKeys => [
            "Payloads are decoded in line: whoever asks for a key each time waits for all stalls, one \
             after another, however asynchronously.",
            "Which key did the last call have, and the one before it? Look at encode and at decode.",
        ],
        Promise::SharesCalls => [
            "When a key is missing, all who want it ask at that moment, or lose it with the one who \
             asked: a slow key service gets fifty calls instead of one.",
            "What does the second one do who misses a key that is asked for already? And if the first \
             is given up?",
        ],
        Promise::KeepsKeysApart => [
            "One slow key stops those who have theirs at hand: the line stands still again.",
            "Look for a lock, or a place, that all keys share.",
        ],
        Promise::LetsKeysExpire => [
            "A key that was withdrawn is used on: what is sealed with it should not be, and what it \
             opens should not open.",
            "KeyService::key_lifetime says how long a key may be used. From when, and what happens \
             when the next one can't be had?",
        ],
    }
}

/// The same of a codec that does not come to an end.
const NEVER_ENDS: [&str; 2] = [
    "A task that is never answered times out, and is tried again, for ever.",
    "Look for what is waited for and never comes: a loop, a lock, a channel.",
];

/// When there is nothing to judge: the file is none, by that fault, or the compiler has said what is
/// wrong with it.
pub fn of_no_program(step: Step, fault: Option<String>) -> Vec<String> {
    let codec = exercise::codec(step);
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
            _ => meaning(broken.promise),
        };
        return vec![
            format!("Not solved: it does not keep \"{}\".", promises(broken.promise)),
            format!("Seen:  {}.", broken.seen),
            format!("Means: {means}"),
            format!("Next:  {next}"),
        ];
    }
    let during = |promise: &Option<Promise>| match promise {
        Some(promise) => format!("while it was judged whether it {}", promises(*promise)),
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
