//! Cleans up when cancelled.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{FEW_AT_ONCE, Finding, Promise, SHARED, STALL},
    stage::Subject,
};

/// Cleans up when cancelled.
pub const LEAVES_NOTHING: &Promise = &Promise {
    name: "leaves_nothing",
    says: "cleans up when cancelled",
    fails: "a cancelled call leaves something behind",
    means: "The SDK cancels futures, when a worker stops for example. What continues all the same adds up.",
    next: "Look at what was started and does not belong to the future: tasks and threads.",
    of: |step| step >= Step::SpawnBlocking,
    broken_by: &[],
    alone: true,
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::cancelled(subject, FEW_AT_ONCE, STALL)?;
    let mut said = format!(
        "{} calls cancelled: {} more tasks and {} more threads stay, {} requests for keys \
         went on",
        seen.calls, seen.tasks, seen.threads, seen.went_on
    );
    if subject.step < Step::Async && seen.went_on > 0 {
        said.push_str(", as those do that block");
    }
    if !seen.still_works {
        said.push_str("; nothing was encoded, or decoded, after that");
    }
    // Nobody can end a blocking call: with threads, it goes on until its key comes.
    let goes_on = subject.step >= Step::Async && seen.went_on > SHARED as u64;
    let grows = seen.tasks > SHARED || seen.threads > SHARED;
    Ok(Finding::kept_if(seen.still_works && !goes_on && !grows, said))
}
