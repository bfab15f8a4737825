//! Needs no thread for a wait.

use std::{num::NonZero, thread};

use solutions::Step;

use crate::{
    measure::{JudgeError, POOL_THREADS},
    promise::{AT_ONCE, Finding, Promise, SHARED, Threads},
    promises::RELEASES_THREAD,
    stage::Subject,
};

/// Needs no thread for a wait.
pub const NEEDS_NO_THREAD: &Promise = &Promise {
    name: "needs_no_thread",
    says: "needs no thread for a wait",
    fails: "every wait occupies a thread",
    means: "Every wait still occupies a thread that does nothing else. Under load there are many waits, and the pool is finite.",
    next: "The key service has a second call. Which of the two needs a thread?",
    of: |step| step >= Step::Async,
    broken_by: &[],
    alone: true,
    by_time: false,
    unless_broken: &[RELEASES_THREAD],
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let Some([encode, decode]) = Threads::of(subject, AT_ONCE, POOL_THREADS)? else {
        return Ok(Finding::kept_if(true, "this system does not count threads".to_owned()));
    };
    let said = format!(
        "threads needed by encode: {} for one stall, {} for {AT_ONCE} at once; by decode: {} and {}",
        encode.one, encode.many, decode.one, decode.many
    );
    // A runtime of the codec's own has as many threads as the machine has processors.
    let own = thread::available_parallelism().map_or(1, NonZero::get) + SHARED;
    let few = |seen: Threads| seen.one <= own && seen.many <= seen.one + SHARED;
    Ok(Finding::kept_if(few(encode) && few(decode), said))
}
