//! Waits without keeping the thread busy.

use solutions::Step;

use crate::{
    fault::Kind,
    measure::{self, JudgeError, Operation, POOL_THREADS},
    promise::{Finding, Promise, STALL},
    promises::RELEASES_THREAD,
    stage::Subject,
};

/// Waits without keeping the thread busy.
pub const WAITS_QUIETLY: &Promise = &Promise {
    name: "waits_quietly",
    says: "waits without keeping the thread busy",
    fails: "it keeps the thread busy while it waits",
    means: "It checks again and again whether its key has come. No poll blocks, but the thread is never free.",
    next: "A future that waits is woken once, by whatever it waits for.",
    of: |step| step >= Step::SpawnBlocking,
    broken_by: &[Kind::Spun],
    alone: false,
    by_time: true,
    unless_broken: &[RELEASES_THREAD],
    measure,
};

/// Polls of one encoding; a wait needs two, and a lock or a channel a few more.
const POLLS: u64 = 50;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    for operation in Operation::BOTH {
        measure::at_once(subject, operation, 3, POOL_THREADS, STALL)?;
    }
    let polls = subject.evidence.most_polls();
    Ok(Finding::kept_if(polls <= POLLS, format!("{polls} polls of one future in a stall")))
}
