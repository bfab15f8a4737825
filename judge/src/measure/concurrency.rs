//! Several stalls at once: the time and the threads that they take.

use std::{
    thread,
    time::{Duration, Instant},
};

use codec_kit::Payload;
use tokio::time::timeout;

use super::harness::{
    JudgeError, MakeCodec, NOISE_RETRIES, Operation, SAMPLE_INTERVAL, all_at_once, on_one_thread,
    small, stalling, start, threads,
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
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn at_once(
    make: MakeCodec<'_>,
    operation: Operation,
    calls: usize,
    pool: usize,
    stall: Duration,
) -> Result<AtOnce, JudgeError> {
    let wall = best_wall(make, operation, vec![vec![small()]; calls], pool, stall)?;
    Ok(AtOnce { calls, pool, stall, wall })
}

/// Has the codec encode `payloads` payloads in one call while the key service stalls, and tells how
/// many stalls one after another would have taken that long: more than one, if each payload waits for
/// a key of its own, and for that of the payload before.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn stalls_of_one_call(
    make: MakeCodec<'_>,
    payloads: usize,
    pool: usize,
    stall: Duration,
) -> Result<f64, JudgeError> {
    let wall = best_wall(make, Operation::Encode, vec![vec![small(); payloads]], pool, stall)?;
    Ok(wall.as_secs_f64() / stall.as_secs_f64())
}

/// How long these calls took, made at once, at their best of a few tries.
fn best_wall(
    make: MakeCodec<'_>,
    operation: Operation,
    calls: Vec<Vec<Payload>>,
    pool: usize,
    stall: Duration,
) -> Result<Duration, JudgeError> {
    let calls: Vec<_> = calls.into_iter().map(|plain| operation.given(plain)).collect();
    let mut best = Duration::MAX;
    for _ in 0..NOISE_RETRIES {
        let (codec, calls) = (make(stalling(stall)), calls.clone());
        let took = on_one_thread(pool, async move {
            let began = Instant::now();
            all_at_once(&codec, operation, calls).await;
            began.elapsed()
        })?;
        best = best.min(took);
        // Hardly any noise, or more than noise can do.
        if best < stall * 3 / 2 || best > stall * 6 {
            break;
        }
    }
    Ok(best)
}

/// Threads that the process had beyond those it had before, while `calls` calls waited at once for a
/// key service that stalls; `None` where the system does not tell (it does on Linux). Those that a
/// codec uses after its key has come are not counted: it may seal where it likes.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn threads_at_once(
    make: MakeCodec<'_>,
    operation: Operation,
    calls: usize,
    pool: usize,
    stall: Duration,
) -> Result<Option<usize>, JudgeError> {
    let Some(before) = threads() else { return Ok(None) };
    let began = Instant::now();
    let codec = make(stalling(stall));
    let running = start(pool, async move {
        let all = all_at_once(&codec, operation, vec![operation.given(vec![small()]); calls]);
        timeout(stall * 3 / 2, all).await.ok();
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
    running.result()?;
    // One of them ran the runtime.
    Ok(Some(peak.saturating_sub(1)))
}
