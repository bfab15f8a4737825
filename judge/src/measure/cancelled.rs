//! What is left of calls that were dropped.

use std::time::{Duration, Instant};

use codec_kit::{AnyCodec, KeyService};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::harness::{
    JudgeError, MakeCodec, Operation, POOL_THREADS, SAMPLE_INTERVAL, on_one_thread, stalling,
    tasks, threads,
};

/// What is left of calls that were given up while they waited for their key.
#[derive(Clone, Copy, Debug)]
pub struct Cancelled {
    /// How many were given up, twice: as many encodings as decodings.
    pub calls: usize,
    /// Of those given up last: calls to the key service that went on until their key came.
    pub went_on: u64,
    /// Tasks of the runtime that the second lot of them added to those of the first.
    pub tasks: usize,
    /// Threads of the process that the second lot of them added to those of the first.
    pub threads: usize,
    /// Whether the codec could still encode and decode.
    pub still_works: bool,
}

/// Gives up so many encodings and decodings while they wait, as the SDK does when a worker stops.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn cancelled(
    make: MakeCodec<'_>,
    of_each: usize,
    stall: Duration,
) -> Result<Cancelled, JudgeError> {
    let keys = stalling(stall);
    let codec = make(keys.clone());
    on_one_thread(POOL_THREADS, async move {
        cancel(&codec, of_each, stall).await;
        until_quiet(&keys, stall).await;
        let (tasks_before, threads_before) = (tasks(), threads().unwrap_or_default());

        cancel(&codec, of_each, stall).await;
        let before = all_finished(&keys);
        until_quiet(&keys, stall).await;
        let went_on = all_finished(&keys) - before;
        let more = || {
            let threads = threads().unwrap_or_default().difference(&threads_before).count();
            (tasks().saturating_sub(tasks_before), threads)
        };
        // What is about to end may need a moment on a busy machine.
        let began = Instant::now();
        while more() != (0, 0) && began.elapsed() < stall * 3 {
            sleep(SAMPLE_INTERVAL).await;
        }
        let (tasks, threads) = more();
        // One that was given up must not keep a place for ever.
        let mut still_works = true;
        for operation in Operation::BOTH {
            still_works &=
                timeout(stall * 5, operation.small_call(&codec)).await.unwrap_or_default();
        }
        Cancelled { calls: 2 * of_each, went_on, tasks, threads, still_works }
    })
}

/// Waits until no more keys come: what was given up may still be worked off, one after another.
async fn until_quiet(keys: &KeyService, stall: Duration) {
    loop {
        let before = all_finished(keys);
        sleep(stall * 3 / 2).await;
        if all_finished(keys) == before {
            break;
        }
    }
}

/// Waits long enough that all wait, and too short for a key.
async fn cancel(codec: &AnyCodec, of_each: usize, stall: Duration) {
    let waiting = Operation::BOTH
        .iter()
        .flat_map(|operation| (0..of_each).map(|_| operation.small_call(codec)));
    timeout(stall / 4, join_all(waiting)).await.ok();
}

fn all_finished(keys: &KeyService) -> u64 {
    Operation::BOTH.map(|operation| operation.calls(keys).finished).iter().sum()
}
