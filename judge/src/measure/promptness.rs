//! How long a call takes that does not wait.

use std::time::{Duration, Instant};

use crate::{
    measure::{JudgeError, Operation, common::POOL_THREADS},
    script::Behaviour,
    stage::{Stage, Subject},
};

/// Calls of each operation.
const CALLS: usize = 3;

/// How long calls take while the key service answers at once.
#[derive(Clone, Copy, Debug)]
pub struct Promptness {
    /// How long it took to make the codec.
    pub construction: Duration,
    /// How long the quickest of a few calls took.
    pub call: Duration,
}

/// Has the codec encode and decode while the key service answers at once.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn promptness(subject: &Subject<'_>) -> Result<Promptness, JudgeError> {
    let stage = Stage::new(subject, POOL_THREADS)?;
    let began = Instant::now();
    let trial = stage.trial(2, Behaviour::default());
    let construction = began.elapsed();
    let call = stage.run(async move {
        let mut slowest = Duration::ZERO;
        for operation in Operation::BOTH {
            let mut quickest = Duration::MAX;
            for _ in 0..CALLS {
                let began = Instant::now();
                trial.small_call(operation, 1).await;
                quickest = quickest.min(began.elapsed());
            }
            slowest = slowest.max(quickest);
        }
        slowest
    })?;
    Ok(Promptness { construction, call })
}
