//! Its thread is free while it waits.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, STALL, Subject, ms},
};

/// Its thread is free while it waits.
pub const RELEASES_THREAD: &Promise = &Promise {
    name: "releases_thread",
    says: "lets its thread go while it waits",
    means: "While it waits for its key, nothing else runs on the worker's thread: no poll, no timer, no other workflow.",
    next: "What runs before the future is returned, and between two awaits, runs on that thread.",
    of: |step| step >= Step::SpawnBlocking,
    by_noise: true,
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::one_stall(subject.make, STALL)?;
    let said = format!("longest poll {} in a stall of {}", ms(seen.longest_poll), ms(seen.stall));
    Ok(Finding::kept_if(seen.releases_thread(), said))
}
