//! What is left of calls that were dropped.

use std::time::{Duration, Instant};

use codec_kit::{AnyCodec, KeyService};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::{
    JudgeError, LOOK, MANY_THREADS, MakeCodec,
    running::{Way, on_one_thread, stalling, tasks, threads},
};

/// What is left of calls that were given up while they waited for their key.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp {
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
pub fn given_up(
    make: MakeCodec<'_>,
    of_each: usize,
    stall: Duration,
) -> Result<GivenUp, JudgeError> {
    let keys = stalling(stall);
    let codec = make(keys.clone());
    on_one_thread(MANY_THREADS, async move {
        give_up(&codec, of_each, stall).await;
        until_quiet(&keys, stall).await;
        let (tasks_before, threads_before) = (tasks(), threads().unwrap_or_default());

        give_up(&codec, of_each, stall).await;
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
            sleep(LOOK).await;
        }
        let (tasks, threads) = more();
        // One that was given up must not keep a place for ever.
        let mut still_works = true;
        for way in Way::BOTH {
            still_works &= timeout(stall * 5, way.small_call(&codec)).await.unwrap_or_default();
        }
        GivenUp { calls: 2 * of_each, went_on, tasks, threads, still_works }
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
async fn give_up(codec: &AnyCodec, of_each: usize, stall: Duration) {
    let waiting = Way::BOTH.iter().flat_map(|way| (0..of_each).map(|_| way.small_call(codec)));
    timeout(stall / 4, join_all(waiting)).await.ok();
}

fn all_finished(keys: &KeyService) -> u64 {
    Way::BOTH.map(|way| way.calls(keys).finished).iter().sum()
}
