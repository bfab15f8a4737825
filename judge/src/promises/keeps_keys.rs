//! A key that it has had is at hand for the next call.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, STALL, Subject, TOGETHER},
};

/// A key that it has had is at hand for the next call.
pub const KEEPS_KEYS: &Promise = &Promise {
    name: "keeps_keys",
    says: "has a key at hand that it has had before",
    means: "Payloads are decoded in line: whoever asks for a key each time waits for all stalls, one after another, however asynchronously.",
    next: "Which key did the last call have, and the one before it? Look at encode and at decode.",
    of: |step| step >= Step::BeyondAsync,
    by_noise: false,
    measure,
};

/// Calls one after another.
const SEQUENTIAL: usize = 20;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let row = measure::calls_in_a_row(subject.make, SEQUENTIAL, STALL)?;
    let said = format!("{SEQUENTIAL} calls one after another took {row:.1} stalls");
    Ok(Finding::kept_if(row < TOGETHER, said))
}
