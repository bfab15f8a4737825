//! Whether this machine can judge at all. What a busy machine does to a codec looks like what a codec does
//! to its thread; the reference codecs tell the two apart, here and now.

use std::time::Duration;

use solutions::Step;

use crate::{
    Check, clock,
    measure::{self, JudgeError, Operation},
    stage::Subject,
};

/// The stall that the machine is tried with.
const STALL: Duration = Duration::from_millis(200);
/// Tries, of which one without noise is enough.
const TRIES: usize = 5;

/// Tries the machine: on one where the reference codec, which waits without a thread, seems to block its
/// thread or waits for much longer than its key takes, no codec is judged.
///
/// # Errors
/// [`JudgeError::TooBusy`], with what was seen.
pub fn quiet() -> Result<(), JudgeError> {
    let mut quickest = None::<Duration>;
    for _ in 0..TRIES {
        let make = |keys| Step::Async.codec(keys);
        let subject = Subject::new(&make, Step::Async, 1);
        let seen = measure::one_stall(&subject, Operation::Encode, STALL)?;
        if seen.longest_poll < STALL / 8 && seen.wall < STALL * 3 / 2 {
            return Ok(());
        }
        quickest = Some(quickest.map_or(seen.wall, |wall| wall.min(seen.wall)));
    }
    Err(JudgeError::TooBusy(format!(
        "the reference codec, which waits without a thread, took {} ms for a stall of {} ms",
        quickest.unwrap_or_default().as_millis(),
        STALL.as_millis()
    )))
}

/// Whether the system says what a thread did with its time, so that a busy machine can't look like a
/// codec that blocks.
pub fn is_accounted_for() -> bool {
    clock::is_exact()
}

/// Tries a promise that noise can break: a reference codec keeps every promise of its step. `broken` is the
/// one that it seems to break.
///
/// # Errors
/// [`JudgeError::TooBusy`] when there is one.
pub fn not_to_blame(broken: Option<&Check>) -> Result<(), JudgeError> {
    match broken {
        None => Ok(()),
        Some(Check { seen, .. }) => Err(JudgeError::TooBusy(format!(
            "the reference codec fails this check as well: {seen}"
        ))),
    }
}
