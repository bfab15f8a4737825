//! Measurements of what a codec does.
//!
//! Every measure is taken against the stall that the codec was dealt, not against absolute
//! milliseconds: a slow machine makes everything slower, the stall included. Where another program
//! on the machine can only make a figure worse, the best of a few tries counts.
//!
//! | module | what it measures |
//! | --- | --- |
//! | `payloads` | the wire format, and whether payloads come through whole and in order |
//! | `waiting` | one stall, a long one, many: whether it waits, and what that does to its thread |
//! | `together` | several stalls at once: the time and the threads that they take |
//! | `failing` | a key service that fails |
//! | `given_up` | what is left of calls that were dropped |
//! | `keeping` | a codec that keeps keys: for whom, and for how long |
//! | `running` | what all of these need to run a codec |

mod failing;
mod given_up;
mod keeping;
mod payloads;
mod running;
mod together;
mod waiting;

use std::time::Duration;

use codec_kit::{AnyCodec, KeyService, Keyring, KeyringError};

pub use failing::{Failure, failure};
pub use given_up::{GivenUp, given_up};
pub use keeping::{
    Apart, Expiry, OneCall, SharedFailure, calls_in_a_row, expiry, keys_apart, one_call_for_many,
    shared_failure, when_the_first_gives_up,
};
pub use payloads::{payloads, wire_format};
pub use running::Way;
pub use together::{AtOnce, at_once, stalls_of_one_call, threads_at_once};
pub use waiting::{
    LongStall, ManyCalls, OneStall, long_stall, many_calls, one_stall, polls_of_one_stall,
};

use running::{encode, on_one_thread, small};

/// Builds the codec under judgement around a key service.
pub type MakeCodec<'a> = &'a dyn Fn(KeyService) -> AnyCodec;

/// The payloads' data begins with it, so that it is known again where nobody should be able to read it.
pub const MARKER: &str = "judge-8Rk2vQ7mXw5d";

/// How often a measure is taken that only noise can spoil.
const TRIES: usize = 3;
/// The largest payload that is tried: Temporal's limit.
const LARGE: usize = 2 << 20;
/// Tokio's default for its blocking pool.
const MANY_THREADS: usize = 512;
/// Calls at once, enough for what happens once in a hundred.
const CALLS: usize = 130;
/// How often threads and tasks are counted.
const LOOK: Duration = Duration::from_millis(5);
/// A key that comes late, but soon: late enough to change the order of what waits for it.
const LATE: Duration = Duration::from_millis(10);
/// How long the judge waits for a measure that does not end. The longest that does takes 5 s.
const PATIENCE: Duration = Duration::from_secs(8);

/// The judge came to no result.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// No runtime to run the codec on.
    #[error("the judge could not start a tokio runtime to run the codec on: {0}")]
    Runtime(#[from] std::io::Error),
    /// No key to seal with.
    #[error("the judge could not make a data key: {0}")]
    Key(#[from] KeyringError),
    /// The reference codec does not keep the promise either, here and now.
    #[error("the reference codec does not keep the promise either: {0}")]
    TooBusy(String),
    /// The codec holds its thread for ever, or waits for what never comes.
    #[error("it did not come to an end within {} s", .0.as_secs())]
    Stuck(Duration),
}

/// Has the codec encode once, and returns how many calls `codec_call_seconds` counted in the default
/// registry, which is what a worker's `/metrics` serves.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn calls_counted(make: MakeCodec<'_>) -> Result<u64, JudgeError> {
    let codec = make(KeyService::new(Keyring::test_key()));
    let before = counted();
    on_one_thread(1, async move { encode(&codec, vec![small()]).await.ok() })?;
    Ok(counted() - before)
}

fn counted() -> u64 {
    let families = prometheus::gather();
    let calls = families.iter().filter(|family| family.name() == "codec_call_seconds");
    calls.flat_map(|calls| calls.get_metric()).map(|m| m.get_histogram().get_sample_count()).sum()
}
