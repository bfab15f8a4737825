//! Whether this machine is quiet enough for the checks. A busy machine can make a codec look as if it
//! blocked. The reference codecs, run at the same time, tell the two apart.

use std::{num::NonZero, thread, time::Duration};

use solutions::Step;

use crate::{
    Check,
    clock::{self, NEVER_PAUSES},
    measure::{self, JudgeError, Operation},
    stage::Subject,
};

/// The stall that the machine is tested with.
const STALL: Duration = Duration::from_millis(200);
/// How many tries; one without noise is enough. On a quiet machine, the first is.
const TRIES: usize = 20;
/// Threads for each processor that never pause.
const TOO_MANY: usize = 4;

/// Tests the machine with the reference codec, which waits without a thread. If even that one seems to block
/// its thread, or waits much longer than its key takes, no codec is judged.
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

/// How many threads of this process never pause, if they are so many that it is they who keep the machine busy: the
/// checks have fewer.
pub fn threads_of_its_own() -> Option<usize> {
    let busy = clock::busy_threads(STALL * 3).into_iter();
    let threads = busy.filter(|share| *share > NEVER_PAUSES).count();
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    (threads >= processors * TOO_MANY).then_some(threads)
}

/// Whether the system accounts for thread time, so that a busy machine can't look like a codec that blocks.
pub fn is_accounted_for() -> bool {
    clock::is_exact()
}

/// Tests the reference codec, which keeps every promise of its step, on a promise that noise can break.
/// `broken` is the check that it seems to fail.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_keep_the_machine_busy_are_counted() {
        assert_eq!(threads_of_its_own(), None);
        let processors = thread::available_parallelism().unwrap().get();
        let many = processors * TOO_MANY * 2;
        let counted = clock::beside_spinning(many, threads_of_its_own);
        assert_eq!(counted.is_some(), is_accounted_for(), "{counted:?}");
    }
}
