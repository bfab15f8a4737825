//! Several concurrent stalls: the time and the threads that they take.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::common::{LARGE_PAYLOAD, NOISE_RETRIES, SAMPLE_INTERVAL, threads};
use crate::{
    clock,
    measure::{JudgeError, Operation},
    script::Behaviour,
    stage::{Stage, Subject, TIME_LIMIT, small},
};

/// What several concurrent calls did that each met one stall.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce {
    /// How many.
    pub calls: usize,
    /// The most threads that the blocking pool might have.
    pub pool: usize,
    /// The stall that each was dealt.
    pub stall: Duration,
    /// How long they took together; the best of a few tries.
    pub wall: Duration,
}

impl AtOnce {
    /// How many stalls one after another would have taken that long.
    pub fn stalls_in_a_row(&self) -> f64 {
        self.wall.as_secs_f64() / self.stall.as_secs_f64()
    }
}

/// Has the codec encode or decode in `calls` calls at once, on one thread and with a blocking pool of
/// at most `pool` threads, while the key service stalls.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn at_once(
    subject: &Subject<'_>,
    operation: Operation,
    calls: usize,
    pool: usize,
    stall: Duration,
) -> Result<AtOnce, JudgeError> {
    let wall = best_wall(subject, operation, calls, 1, pool, stall)?;
    Ok(AtOnce { calls, pool, stall, wall })
}

/// Has the codec encode `payloads` payloads in one call while the key service stalls. Returns how many stalls
/// one after another would have taken that long: more than one, if each payload waits for its own key after
/// that of the payload before.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn stalls_of_one_call(
    subject: &Subject<'_>,
    payloads: usize,
    pool: usize,
    stall: Duration,
) -> Result<f64, JudgeError> {
    let wall = best_wall(subject, Operation::Encode, 1, payloads, pool, stall)?;
    Ok(wall.as_secs_f64() / stall.as_secs_f64())
}

/// How long so many calls with so many payloads took, made at once, at their best of a few tries.
fn best_wall(
    subject: &Subject<'_>,
    operation: Operation,
    calls: usize,
    payloads: usize,
    pool: usize,
    stall: Duration,
) -> Result<Duration, JudgeError> {
    let stage = Stage::new(subject, pool)?;
    let trial = stage.trial(2, Behaviour::stalling(stall));
    stage.run(async move {
        let given = vec![trial.given(operation, vec![small(); payloads], 1); calls];
        let mut best = Duration::MAX;
        for attempt in 0..NOISE_RETRIES {
            let began = Instant::now();
            // If it takes this long, they certainly run one after another.
            timeout(stall * 15, trial.all_at_once(operation, given.clone())).await.ok();
            best = best.min(began.elapsed());
            // Either hardly any noise, or more than noise can explain twice.
            if best < stall * 3 / 2 || attempt > 0 && best > stall * 6 {
                break;
            }
        }
        best
    })
}

/// How many more threads the process had while `calls` concurrent calls waited for a stalling key service;
/// `None` if the system does not tell (Linux does). Threads that a codec uses after its key has come are not
/// counted: it may encrypt anywhere.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn threads_at_once(
    subject: &Subject<'_>,
    operation: Operation,
    calls: usize,
    pool: usize,
    stall: Duration,
) -> Result<Option<usize>, JudgeError> {
    let mut most = 0;
    // A codec that tries again may wait in another way then.
    for failures in [0, calls] {
        let Some(before) = threads() else { return Ok(None) };
        let waiting = Waiting { operation, calls, failures, pool, stall };
        let peak = while_they_wait(subject, waiting, |began| {
            let mut peak = 0;
            loop {
                let now = threads().unwrap_or_default();
                // Too late: keys may have arrived.
                if began.elapsed() >= stall * 9 / 10 {
                    return peak;
                }
                peak = peak.max(now.difference(&before).count());
                thread::sleep(SAMPLE_INTERVAL);
            }
        })?;
        most = most.max(peak);
    }
    // One of them ran the runtime.
    Ok(Some(most.saturating_sub(1)))
}

/// For what share of the time the busiest thread ran, or queued for a processor, while a call waited for a stalling key
/// service.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn busiest_thread(
    subject: &Subject<'_>,
    operation: Operation,
    pool: usize,
    stall: Duration,
) -> Result<f64, JudgeError> {
    let waiting = Waiting { operation, calls: 1, failures: 0, pool, stall };
    let busy = while_they_wait(subject, waiting, |_| {
        // The call must have started to wait, and its key may not have come yet.
        thread::sleep(stall / 10);
        clock::busy_threads(stall * 7 / 10)
    })?;
    Ok(busy.into_iter().fold(0.0, f64::max))
}

/// Calls that wait for a stalling key service.
struct Waiting {
    operation: Operation,
    calls: usize,
    /// How many requests fail at once, before the others stall.
    failures: usize,
    pool: usize,
    stall: Duration,
}

/// Has the codec make these calls at once. What `look` sees meanwhile on this thread; it is told when they began.
fn while_they_wait<T>(
    subject: &Subject<'_>,
    Waiting { operation, calls, failures, pool, stall }: Waiting,
    look: impl FnOnce(Instant) -> T,
) -> Result<T, JudgeError> {
    let stage = Stage::new(subject, pool)?;
    // Each decodes with a key of its own, and every other one has a large payload: nothing in a call makes a wait need a
    // thread.
    let trial = stage.trial(1 + calls, Behaviour::stalling(stall));
    let given = (0..calls).map(|call| {
        let mut plain = small();
        plain.data.resize(if call % 2 == 0 { plain.data.len() } else { LARGE_PAYLOAD }, b'.');
        trial.given(operation, vec![plain], 1 + call)
    });
    let given = given.collect();
    trial.script.fail_next(&operation.purpose(), failures);
    let began = Instant::now();
    let running = stage.start(async move {
        timeout(stall * 3 / 2, trial.all_at_once(operation, given)).await.ok();
    })?;
    let seen = look(began);
    running.result(TIME_LIMIT)?;
    Ok(seen)
}
