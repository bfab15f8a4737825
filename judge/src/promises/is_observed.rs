//! Its calls are measured.

use solutions::Step;

use crate::{
    measure::{self, Counted, JudgeError, Operation},
    promise::{Finding, Promise, STALL},
    stage::Subject,
};

/// Its calls are measured.
pub const IS_OBSERVED: &Promise = &Promise {
    name: "is_observed",
    says: "its calls are measured",
    fails: "nothing measures this codec",
    means: "Nothing shows how long this codec blocks its thread: its calls are not in the metrics that /metrics serves.",
    next: "See the task in the README of exercise 1: what wraps a codec and records every poll, and where do you put it?",
    of: |step| step == Step::Blocking,
    broken_by: &[],
    alone: true,
    by_time: false,
    unless_broken: &[],
    measure,
};

/// Of a call that is measured from start to end, wait included, at least this share shows.
const MEASURED: f64 = 0.9;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let Counted { encode, decode, stalls } = measure::calls_counted(subject, STALL / 2)?;
    let [encoded, decoded] = measure::CALLS;
    let mut said = format!(
        "codec_call_seconds counted {encode} of {encoded} encode and {decode} of {decoded} decode calls"
    );
    if [encode, decode] != measure::CALLS {
        return Ok(Finding::broken(said));
    }
    if stalls < MEASURED {
        said.push_str(&format!(", but only {:.0}% of the time they waited", stalls * 100.0));
        return Ok(Finding::broken(said));
    }
    let mut costs = Vec::new();
    if measure::one_stall(subject, Operation::Encode, STALL)?.releases_thread() {
        let cost = "it releases its thread already, so the stall of exercise 1 does not show";
        costs.push(cost.to_owned());
    }
    Ok(Finding::kept_at(costs, said))
}
