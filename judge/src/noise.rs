//! Whether this machine can judge at all. What a busy machine does to a codec looks like what a codec does
//! to its thread; the reference codecs tell the two apart, here and now.

use std::time::Duration;

use solutions::Step;

use crate::measure::{self, JudgeError};

/// The stall that the machine is tried with.
const STALL: Duration = Duration::from_millis(200);

/// Tries the machine: on one where the reference codec, which waits without a thread, seems to hold its
/// thread, no codec is judged.
///
/// # Errors
/// [`JudgeError::TooBusy`], with what was seen.
pub fn quiet() -> Result<(), JudgeError> {
    let seen = measure::one_stall(&|keys| Step::Async.codec(keys), STALL)?;
    if seen.longest_poll < STALL / 8 && seen.wall < STALL * 3 / 2 {
        return Ok(());
    }
    Err(JudgeError::TooBusy(format!(
        "the reference codec, which waits without a thread, held it for {} ms and took {} ms for a \
         stall of {} ms",
        seen.longest_poll.as_millis(),
        seen.wall.as_millis(),
        STALL.as_millis()
    )))
}

/// Tries a promise that noise can break: a reference codec keeps every promise of its step. `kept` is whether
/// it seems to keep this one, and `seen` what was measured.
///
/// # Errors
/// [`JudgeError::TooBusy`] when it seems not to.
pub fn not_to_blame(kept: bool, seen: &str) -> Result<(), JudgeError> {
    if kept {
        return Ok(());
    }
    Err(JudgeError::TooBusy(format!(
        "the reference codec does not keep the promise either: {seen}"
    )))
}
