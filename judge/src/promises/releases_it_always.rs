//! Never blocks the thread: any call, any payload, any branch.

use solutions::Step;

use crate::{
    fault::Kind,
    measure::{self, JudgeError, Operation},
    promise::{Finding, Promise, RARE, STALL, ms},
    promises::RELEASES_THREAD,
    stage::Subject,
};

/// Never blocks the thread: any call, any payload, any branch.
pub const RELEASES_IT_ALWAYS: &Promise = &Promise {
    name: "releases_it_always",
    says: "never blocks the thread: any call, any payload, any branch",
    fails: "it blocks the thread",
    means: "Most calls release the thread, but some do not. In production, that blocks the worker every now and then.",
    next: "Look at what runs rarely: decode, a retry, an error, a refresh, the drop of a future, a count or a size.",
    of: |step| step >= Step::SpawnBlocking,
    broken_by: &[Kind::Blocked, Kind::BlockedInTurn],
    alone: false,
    by_time: false,
    unless_broken: &[RELEASES_THREAD],
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    measure::many_calls(subject, RARE, STALL)?;
    let longest = |operation| ms(subject.evidence.longest_poll(operation).asleep);
    let said = format!(
        "{RARE} calls to encode, {RARE} to decode: longest block {} and {}",
        longest(Operation::Encode),
        longest(Operation::Decode)
    );
    // A call that blocks is a fault, wherever it is made.
    Ok(Finding::kept_if(true, said))
}
