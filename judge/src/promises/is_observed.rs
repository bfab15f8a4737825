//! The metrics tell of its calls.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, STALL, Subject},
};

/// The metrics tell of its calls.
pub const IS_OBSERVED: &Promise = &Promise {
    name: "is_observed",
    says: "is observed",
    means: "Nothing tells how long this codec holds its thread: its calls are not in the figures that /metrics serves.",
    next: "README of exercise 1, the task: what wraps a codec and records each poll, and where?",
    of: |step| step == Step::Blocking,
    by_noise: false,
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let counted = measure::calls_counted(subject.make)?;
    let said = format!("codec_call_seconds counted {counted} of 1 call");
    if counted != 1 {
        return Ok(Finding::broken(said));
    }
    let mut costs = Vec::new();
    if measure::one_stall(subject.make, STALL)?.releases_thread() {
        let cost =
            "it lets its thread go already, and the stall that exercise 1 shows is not to be seen";
        costs.push(cost.to_owned());
    }
    Ok(Finding::kept_at(costs, said))
}
