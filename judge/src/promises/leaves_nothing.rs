//! Cleans up when cancelled.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{FEW_AT_ONCE, Finding, Promise, SHARED, STALL},
    promises::{NEEDS_NO_THREAD, RELEASES_THREAD},
    stage::Subject,
};

/// Cleans up when cancelled.
pub const LEAVES_NOTHING: &Promise = &Promise {
    name: "leaves_nothing",
    says: "cleans up when cancelled",
    fails: "a cancelled call leaves something behind",
    means: "The SDK cancels calls, for example when a worker stops. Whatever continues after that adds up.",
    next: "Look at what you start outside the future: tasks and threads.",
    of: |step| step >= Step::SpawnBlocking,
    broken_by: &[],
    alone: true,
    by_time: false,
    unless_broken: &[RELEASES_THREAD, NEEDS_NO_THREAD],
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::cancelled(subject, FEW_AT_ONCE, STALL)?;
    let mut said = format!(
        "{} calls cancelled: {} more tasks and {} more threads remain, {} requests for keys continued",
        seen.calls, seen.tasks, seen.threads, seen.went_on
    );
    if subject.step < Step::Async && seen.went_on > 0 {
        said.push_str(", because blocking calls can't be cancelled");
    }
    if !seen.still_works {
        said.push_str("; after that it no longer encoded, or no longer decoded");
    }
    // A blocking call can't be cancelled: on a thread, it continues until its key comes.
    let goes_on = subject.step >= Step::Async && seen.went_on > SHARED as u64;
    let grows = seen.tasks > SHARED || seen.threads > SHARED;
    Ok(Finding::kept_if(seen.still_works && !goes_on && !grows, said))
}
