//! Reads and writes the format of Temporal's samples, and refuses bad payloads.

use crate::{
    fault::Kind,
    measure::{self, JudgeError},
    promise::{Finding, Promise},
    stage::Subject,
};

/// Reads and writes the format of Temporal's samples, and refuses bad payloads.
pub const WIRE_FORMAT: &Promise = &Promise {
    name: "wire_format",
    says: "reads and writes the format of Temporal's samples, and refuses bad payloads",
    fails: "it does not keep to the wire format",
    means: "Other workers or clients can't read what this codec writes, or it accepts what it must refuse.",
    next: "Compare encode and decode with those the exercise starts with: only the wait should change.",
    of: |_| true,
    broken_by: &[Kind::Accepted],
    alone: false,
    by_time: false,
    unless_broken: &[],
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let wrong = measure::wire_format(subject)?;
    Ok(Finding::none_wrong(&wrong, "all test vectors of another implementation"))
}
