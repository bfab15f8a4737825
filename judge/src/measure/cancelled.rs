//! What is left of calls that were cancelled.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::time::{sleep, timeout};

use super::common::{POOL_THREADS, SAMPLE_INTERVAL, tasks, threads};
use crate::{
    measure::{JudgeError, Operation},
    script::Behaviour,
    stage::{Stage, Subject, Trial},
};

/// As many places as a codec may plausibly have for calls that wait.
const PLACES: usize = 70;

/// What is left of calls that were cancelled while they waited for their key.
#[derive(Clone, Copy, Debug)]
pub struct Cancelled {
    /// How many were cancelled, twice: as many encodings as decodings.
    pub calls: usize,
    /// Of those cancelled last: requests to the key service that continued until their key came.
    pub went_on: u64,
    /// Tasks of the runtime that the second lot of them added to those of the first.
    pub tasks: usize,
    /// Threads of the process that the second lot of them added to those of the first.
    pub threads: usize,
    /// Whether the codec could still encode and decode.
    pub still_works: bool,
}

/// Cancels so many encodings and decodings while they wait, as the SDK does when a worker stops.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn cancelled(
    subject: &Subject<'_>,
    of_each: usize,
    stall: Duration,
) -> Result<Cancelled, JudgeError> {
    let stage = Stage::new(subject, POOL_THREADS)?;
    let trial = stage.trial(2, Behaviour::stalling(stall));
    stage.run(async move {
        cancel(&trial, of_each, stall).await;
        until_quiet(&trial, stall).await;
        let (tasks_before, threads_before) = (tasks(), threads().unwrap_or_default());

        cancel(&trial, of_each, stall).await;
        let before = all_finished(&trial);
        until_quiet(&trial, stall).await;
        let went_on = all_finished(&trial) - before;
        let more = || {
            let threads = threads().unwrap_or_default().difference(&threads_before).count();
            (tasks().saturating_sub(tasks_before), threads)
        };
        // What is about to finish may need a moment on a busy machine.
        let began = Instant::now();
        while more() != (0, 0) && began.elapsed() < stall * 3 {
            sleep(SAMPLE_INTERVAL).await;
        }
        let (tasks, threads) = more();
        // A cancelled call must not hold its place forever, wherever places are few.
        cancel(&trial, PLACES, stall).await;
        // Calls that can't be cancelled are not to be in the way of the next ones. A codec may also ask in the background.
        trial.script.behave(Behaviour::default());
        timeout(stall * 5, until_quiet(&trial, stall)).await.ok();
        let mut still_works = true;
        for operation in Operation::BOTH {
            still_works &=
                timeout(stall * 10, trial.small_call(operation, 1)).await.unwrap_or_default();
        }
        Cancelled { calls: 2 * of_each, went_on, tasks, threads, still_works }
    })
}

/// Waits until no more keys arrive: cancelled requests may still be processed one after another.
async fn until_quiet(trial: &Trial, stall: Duration) {
    loop {
        let before = all_finished(trial);
        sleep(stall * 3 / 2).await;
        if all_finished(trial) == before {
            break;
        }
    }
}

/// Waits until all calls wait, but not long enough for a key to arrive.
async fn cancel(trial: &Trial, of_each: usize, stall: Duration) {
    let waiting = Operation::BOTH
        .iter()
        .flat_map(|operation| (0..of_each).map(|_| trial.small_call(*operation, 1)));
    timeout(stall / 4, join_all(waiting)).await.ok();
}

fn all_finished(trial: &Trial) -> u64 {
    Operation::BOTH.map(|operation| trial.key_calls(operation).finished).iter().sum()
}
