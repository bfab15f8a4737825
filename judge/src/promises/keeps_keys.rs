//! Caches a key it has had before.

use solutions::Step;

use crate::{
    measure::{self, CLEARLY, JudgeError, Sequence},
    promise::{Finding, Promise, STALL, TOGETHER},
    promises::RELEASES_THREAD,
    stage::Subject,
};

/// Caches a key it has had before.
pub const KEEPS_KEYS: &Promise = &Promise {
    name: "keeps_keys",
    says: "caches a key it has had before",
    fails: "it asks for the same key again and again",
    means: "Payloads are decoded one after another. A codec that asks for its key each time waits for every stall in turn, async or not.",
    next: "Which key did the last call use, and the one before it? Look at encode and at decode.",
    of: |step| step >= Step::BeyondAsync,
    broken_by: &[],
    alone: true,
    by_time: true,
    unless_broken: &[RELEASES_THREAD],
    measure,
};

/// Calls one after another, at most.
const SEQUENTIAL: usize = 20;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let Sequence { calls, stalls } = measure::calls_in_a_row(subject, SEQUENTIAL, STALL)?;
    let said = format!("{calls} calls one after another took as long as {stalls:.1} stalls");
    Ok(Finding::kept_if(stalls < TOGETHER, said).surely(stalls >= CLEARLY))
}
