//! Releases the thread while it waits.

use solutions::Step;

use crate::{
    measure::{self, JudgeError, Operation},
    promise::{Finding, Promise, STALL, ms},
    stage::Subject,
};

/// Releases the thread while it waits.
pub const RELEASES_THREAD: &Promise = &Promise {
    name: "releases_thread",
    says: "releases the thread while it waits",
    fails: "it blocks the thread while it waits for its key",
    means: "While this codec waits for its key, nothing else runs on the worker's thread: no poll, no timer, no other workflow.",
    next: "What runs before the future is returned, and between two awaits, runs on that thread.",
    of: |step| step >= Step::SpawnBlocking,
    broken_by: &[],
    alone: true,
    by_time: true,
    unless_broken: &[],
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::one_stall(subject, Operation::Encode, STALL)?;
    let said = format!("longest block {}, in a stall of {}", ms(seen.longest_poll), ms(seen.stall));
    Ok(Finding::kept_if(seen.releases_thread(), said))
}
