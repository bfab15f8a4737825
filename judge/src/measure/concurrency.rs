//! Several stalls at once: the time and the threads that they take.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::common::{NOISE_RETRIES, SAMPLE_INTERVAL, threads};
use crate::{
    measure::{JudgeError, Operation},
    script::Behaviour,
    stage::{Stage, Subject, TIME_LIMIT, small},
};

/// What several calls at once did, each dealt one stall.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce {
    /// How many.
    pub calls: usize,
    /// The most threads that the blocking pool might have.
    pub pool: usize,
    /// The stall that each was dealt.
    pub stall: Duration,
    /// How long they took together, at their best of a few tries.
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

/// Has the codec encode `payloads` payloads in one call while the key service stalls, and tells how
/// many stalls one after another would have taken that long: more than one, if each payload waits for
/// a key of its own, and for that of the payload before.
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
        for _ in 0..NOISE_RETRIES {
            let began = Instant::now();
            // As long as that, and they are one after another, without any doubt.
            timeout(stall * 15, trial.all_at_once(operation, given.clone())).await.ok();
            best = best.min(began.elapsed());
            // Hardly any noise, or more than noise can do.
            if best < stall * 3 / 2 || best > stall * 6 {
                break;
            }
        }
        best
    })
}

/// Threads that the process had beyond those it had before, while `calls` calls waited at once for a
/// key service that stalls; `None` where the system does not tell (it does on Linux). Those that a
/// codec uses after its key has come are not counted: it may encrypt where it likes.
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
    let Some(before) = threads() else { return Ok(None) };
    let stage = Stage::new(subject, pool)?;
    let trial = stage.trial(2, Behaviour::stalling(stall));
    let began = Instant::now();
    let running = stage.start(async move {
        let given = vec![trial.given(operation, vec![small()], 1); calls];
        timeout(stall * 3 / 2, trial.all_at_once(operation, given)).await.ok();
    })?;
    let mut peak = 0;
    loop {
        let now = threads().unwrap_or_default();
        // Looked at too late: keys may have come.
        if began.elapsed() >= stall * 9 / 10 {
            break;
        }
        peak = peak.max(now.difference(&before).count());
        thread::sleep(SAMPLE_INTERVAL);
    }
    running.result(TIME_LIMIT)?;
    // One of them ran the runtime.
    Ok(Some(peak.saturating_sub(1)))
}
