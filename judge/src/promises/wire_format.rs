//! It reads and writes the format of Temporal's samples, and refuses what must be refused.

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, Subject},
};

/// It reads and writes the format of Temporal's samples, and refuses what must be refused.
pub const WIRE_FORMAT: &Promise = &Promise {
    name: "wire_format",
    says: "reads and writes the format of Temporal's samples",
    means: "Another worker or client could not read what this one writes, or this one takes what it must refuse.",
    next: "Compare encode and decode with those of the exercise's start: only the wait was to change.",
    of: |_| true,
    by_noise: false,
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let wrong = measure::wire_format(subject.make)?;
    Ok(Finding::none_wrong(&wrong, "every vector of another implementation"))
}
