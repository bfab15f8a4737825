//! Whether a codec is observed.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    measure::{JudgeError, Operation, common::POOL_THREADS},
    script::Behaviour,
    stage::{Stage, Subject},
};

/// Calls to encode and to decode: different numbers, so that the two can't be confused.
pub const CALLS: [u64; 2] = [2, 1];

/// What the metrics counted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Calls to encode, of [`CALLS`].
    pub encode: u64,
    /// Calls to decode, of [`CALLS`].
    pub decode: u64,
    /// The share of these calls' stalls that was measured.
    pub stalls: f64,
}

/// Has the codec encode and decode, each with a stall, and reads `codec_call_seconds` of the default registry,
/// which is what a worker's `/metrics` serves.
///
/// This has to be the first measurement in a process, because a codec can register its metrics only once.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn calls_counted(subject: &Subject<'_>, stall: Duration) -> Result<Counted, JudgeError> {
    let stage = Stage::new(subject, POOL_THREADS)?;
    let trial = stage.trial(2, Behaviour::stalling(stall));
    let keys = trial.keys.clone();
    let stalled = || keys.calls().stalled + keys.decode_calls().stalled;
    // A codec may have asked for a key when it was constructed, which is no call.
    let (before, stalled_before) = (Figures::read(), stalled());
    stage.run(async move {
        for (operation, calls) in Operation::BOTH.into_iter().zip(CALLS) {
            for _ in 0..calls {
                trial.small_call(operation, 1).await;
            }
        }
    })?;
    let after = Figures::read();
    let stalled = stall * (stalled() - stalled_before) as u32;
    Ok(Counted {
        encode: after.calls("encode") - before.calls("encode"),
        decode: after.calls("decode") - before.calls("decode"),
        stalls: (after.seconds - before.seconds) / stalled.as_secs_f64().max(f64::MIN_POSITIVE),
    })
}

/// The value of `codec_call_seconds`.
#[derive(Default)]
struct Figures {
    /// By the label `operation`.
    calls: BTreeMap<String, u64>,
    seconds: f64,
}

impl Figures {
    fn read() -> Self {
        let families = prometheus::gather();
        let calls = families.iter().filter(|family| family.name() == "codec_call_seconds");
        let mut figures = Self::default();
        for metric in calls.flat_map(|calls| calls.get_metric()) {
            let operation = metric.get_label().iter().find(|label| label.name() == "operation");
            let operation = operation.map(|label| label.value().to_owned()).unwrap_or_default();
            let histogram = metric.get_histogram();
            *figures.calls.entry(operation).or_default() += histogram.get_sample_count();
            figures.seconds += histogram.get_sample_sum();
        }
        figures
    }

    fn calls(&self, operation: &str) -> u64 {
        self.calls.get(operation).copied().unwrap_or(0)
    }
}
