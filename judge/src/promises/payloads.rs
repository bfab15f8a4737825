//! Encrypts every payload, whole and in order.

use crate::{
    fault::Kind,
    measure::{self, JudgeError},
    promise::{Finding, Promise},
    stage::Subject,
};

/// Encrypts every payload, whole and in order.
pub const PAYLOADS: &Promise = &Promise {
    name: "payloads",
    says: "encrypts every payload, whole and in order",
    fails: "payloads do not come through whole",
    means: "A workflow would get its data back changed, in another order, or readable by anyone.",
    next: "Follow one payload from the argument to the result, then a thousand, then one whose key comes late. Does every branch encrypt all of them?",
    of: |_| true,
    broken_by: &[Kind::NotEncrypted, Kind::Count, Kind::Changed, Kind::Readable, Kind::Nonce],
    alone: false,
    by_time: false,
    unless_broken: &[],
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    measure::payloads(subject)?;
    let calls = subject.evidence.calls();
    Ok(Finding::kept_if(
        true,
        format!("{calls} calls: no payload, empty, 2 MiB, 1,000 in a call, two keys"),
    ))
}
