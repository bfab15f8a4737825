//! It encrypts whatever it is given, whole and in order, never twice the same way.

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, Subject},
};

/// It encrypts whatever it is given, whole and in order, never twice the same way.
pub const PAYLOADS: &Promise = &Promise {
    name: "payloads",
    says: "encrypts every payload, whole and in order",
    means: "A workflow would get its data back changed, in another order, or readable by everybody.",
    next: "Follow one payload, and then a thousand, from the argument to the result.",
    of: |_| true,
    by_noise: false,
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let wrong = measure::payloads(subject.make, subject.seed)?;
    Ok(Finding::none_wrong(&wrong, "none, empty, 2 MiB, 1,000 in a call"))
}
