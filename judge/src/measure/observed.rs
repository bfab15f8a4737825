//! Whether a codec is observed.

use std::collections::BTreeMap;

use crate::{
    measure::{JudgeError, Operation, common::POOL_THREADS},
    script::Script,
    stage::{Stage, Subject},
};

/// How many calls of each operation the metrics counted, of one made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of one call to encode.
    pub encode: u64,
    /// Of one call to decode.
    pub decode: u64,
}

/// Has the codec encode once and decode once, and counts these calls in `codec_call_seconds` of the
/// default registry, which is what a worker's `/metrics` serves.
///
/// To be the first measure of a process: a codec may register its figures once.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn calls_counted(subject: &Subject<'_>) -> Result<Counted, JudgeError> {
    let stage = Stage::new(subject, POOL_THREADS)?;
    let trial = stage.codec(Script::with_keys(2, &mut fastrand::Rng::with_seed(subject.seed)));
    let before = counts();
    stage.run(async move {
        for operation in Operation::BOTH {
            trial.small_call(operation, 1).await;
        }
    })?;
    let after = counts();
    let counted = |operation: &str| {
        let count = |counts: &BTreeMap<String, u64>| counts.get(operation).copied().unwrap_or(0);
        count(&after) - count(&before)
    };
    Ok(Counted { encode: counted("encode"), decode: counted("decode") })
}

/// By the label `operation`.
fn counts() -> BTreeMap<String, u64> {
    let families = prometheus::gather();
    let calls = families.iter().filter(|family| family.name() == "codec_call_seconds");
    let mut counts = BTreeMap::new();
    for metric in calls.flat_map(|calls| calls.get_metric()) {
        let operation = metric.get_label().iter().find(|label| label.name() == "operation");
        let operation = operation.map(|label| label.value().to_owned()).unwrap_or_default();
        *counts.entry(operation).or_default() += metric.get_histogram().get_sample_count();
    }
    counts
}
