//! What is cancelled leaves nothing behind.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{FEW_AT_ONCE, Finding, Promise, SHARED, STALL, Subject},
};

/// What is cancelled leaves nothing behind.
pub const LEAVES_NOTHING: &Promise = &Promise {
    name: "leaves_nothing",
    says: "leaves nothing behind when it is given up",
    means: "The SDK gives up futures, when a worker stops for one. What goes on all the same adds up.",
    next: "Look at what was started and is not owned by the future: tasks and threads.",
    of: |step| step >= Step::SpawnBlocking,
    by_noise: false,
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::cancelled(subject.make, FEW_AT_ONCE, STALL)?;
    let mut said = format!(
        "of {} calls given up, {} more tasks and {} more threads stay, {} calls to the key service \
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
