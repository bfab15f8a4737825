//! A codec that caches keys: for whom, and for how long.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use codec_kit::Deal;
use futures::{future::join_all, poll};
use tokio::time::{sleep, timeout};

use super::common::{NOISE_RETRIES, SAMPLE_INTERVAL, came};
use crate::{
    measure::{JudgeError, Operation},
    script::{Behaviour, Purpose, Script},
    stage::{Stage, Subject, Trial, small},
};

/// Calls that wait for the first one, before it is cancelled.
const FOLLOWERS: usize = 5;
/// Keys that are asked for at once.
const KEYS: usize = 5;
/// How much older than its lifetime a key is when it is looked at.
const BEYOND: f64 = 1.25;

/// A codec on a runtime with so many threads to block on, and a service with so many keys that stalls.
fn stalling<'a>(
    subject: &'a Subject<'a>,
    pool: usize,
    keys: usize,
    stall: Duration,
) -> Result<(Stage<'a>, Trial), JudgeError> {
    let stage = Stage::new(subject, pool)?;
    let script = Script::with_keys(keys, &mut fastrand::Rng::with_seed(subject.seed));
    script.behave(Behaviour::stalling(stall));
    let trial = stage.codec(script);
    Ok((stage, trial))
}

/// How many stalls in a row these many calls took, one after another, to a codec that knew no key; in
/// the slower operation.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn calls_in_a_row(
    subject: &Subject<'_>,
    calls: usize,
    stall: Duration,
) -> Result<f64, JudgeError> {
    let (stage, trial) = stalling(subject, 1, 2 + NOISE_RETRIES, stall)?;
    stage.run(async move {
        let mut worst: f64 = 0.0;
        for operation in Operation::BOTH {
            let mut best = f64::MAX;
            for attempt in 0..NOISE_RETRIES {
                let began = Instant::now();
                for _ in 0..calls {
                    trial.small_call(operation, 1 + attempt).await;
                }
                best = best.min(began.elapsed().as_secs_f64() / stall.as_secs_f64());
                if !(1.5..6.0).contains(&best) {
                    break;
                }
            }
            worst = worst.max(best);
        }
        worst
    })
}

/// What many calls at once did that all want the same key.
#[derive(Clone, Copy, Debug)]
pub struct OneCall {
    /// How many there were, of each operation.
    pub callers: usize,
    /// How many could do their work, in the worse operation.
    pub could: usize,
    /// The calls to the key service, in the worse operation.
    pub calls: u64,
}

/// Has the codec encode, and decode, for many at once while it knows no key.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn one_call_for_many(
    subject: &Subject<'_>,
    callers: usize,
    stall: Duration,
) -> Result<OneCall, JudgeError> {
    let (stage, trial) = stalling(subject, 1, 2, stall)?;
    stage.run(async move {
        let mut seen = OneCall { callers, could: callers, calls: 0 };
        for operation in Operation::BOTH {
            let given = vec![trial.given(operation, vec![small()], 1); callers];
            seen.could = seen.could.min(trial.all_at_once(operation, given).await);
            seen.calls = seen.calls.max(trial.key_calls(operation).started);
        }
        seen
    })
}

/// Cancels the call that asked for the key, while others wait with it; tells how many of these could
/// do their work, of how many, in the worse operation.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn when_the_first_is_cancelled(
    subject: &Subject<'_>,
    stall: Duration,
) -> Result<(usize, usize), JudgeError> {
    let (stage, trial) = stalling(subject, 1, 2, stall)?;
    stage.run(async move {
        let mut worst = FOLLOWERS;
        for operation in Operation::BOTH {
            let mut first = Box::pin(trial.small_call(operation, 1));
            let mut followers =
                pin!(join_all((0..FOLLOWERS).map(|_| trial.small_call(operation, 1))));
            if poll!(&mut first).is_pending() && poll!(&mut followers).is_pending() {
                sleep(stall / 4).await;
            }
            drop(first);
            // Each may have to ask for itself, one after another.
            let time = stall * (FOLLOWERS as u32 + 3);
            let done = timeout(time, followers).await;
            worst = worst.min(done.map_or(0, |all| all.into_iter().filter(|ok| *ok).count()));
        }
        (worst, FOLLOWERS)
    })
}

/// What a failure cost that many waited for.
#[derive(Clone, Copy, Debug)]
pub struct SharedFailure {
    /// How many there were.
    pub callers: usize,
    /// The calls to the key service.
    pub calls: u64,
}

/// Has the codec encode for many at once while the key service stalls and then fails.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn shared_failure(
    subject: &Subject<'_>,
    callers: usize,
    stall: Duration,
) -> Result<SharedFailure, JudgeError> {
    let (stage, trial) = stalling(subject, 1, 2, stall)?;
    trial.script.behave(Behaviour::failing(stall));
    let keys = trial.keys.clone();
    stage.run(async move {
        let given = vec![vec![small()]; callers];
        timeout(stall * 6, trial.all_at_once(Operation::Encode, given)).await.ok();
    })?;
    Ok(SharedFailure { callers, calls: keys.calls().started })
}

/// What calls for cached keys did while other keys were waited for.
#[derive(Clone, Copy, Debug)]
pub struct Apart {
    /// How long the longest call took whose key was cached, in stalls; at its best of a few tries.
    pub at_hand: f64,
    /// How many other keys were asked for at once.
    pub keys: usize,
    /// With how many of them was decoded.
    pub could: usize,
    /// How many stalls in a row they took; at their best of a few tries.
    pub others: f64,
}

/// Has the codec encode and decode with keys that it knows, while it decodes with several that it does
/// not know.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn keys_apart(subject: &Subject<'_>, stall: Duration) -> Result<Apart, JudgeError> {
    let (stage, trial) = stalling(subject, KEYS, 2 + KEYS * NOISE_RETRIES, stall)?;
    stage.run(async move {
        let mut seen = Apart { at_hand: f64::MAX, keys: KEYS, could: 0, others: f64::MAX };
        // From here on these two are cached.
        let warm = async || {
            trial.small_call(Operation::Encode, 0).await;
            trial.small_call(Operation::Decode, 1).await;
        };
        for attempt in 0..NOISE_RETRIES {
            warm().await;
            let began = Instant::now();
            let unknown = tokio::spawn({
                let trial = trial.clone();
                async move {
                    let keys = (0..KEYS).map(|key| 2 + attempt * KEYS + key);
                    let all = join_all(keys.map(|key| trial.small_call(Operation::Decode, key)));
                    let could = all.await.iter().filter(|decoded| **decoded).count();
                    (could, began.elapsed())
                }
            });
            // Those who wait must be waiting.
            sleep(stall / 10).await;
            let since = Instant::now();
            warm().await;
            let at_hand = since.elapsed();
            let (could, others) = unknown.await.unwrap_or((0, Duration::MAX));
            let stalls = |time: Duration| time.as_secs_f64() / stall.as_secs_f64();
            seen.could = could;
            seen.at_hand = seen.at_hand.min(stalls(at_hand));
            seen.others = seen.others.min(stalls(others));
            if seen.at_hand < 0.25 && seen.others < 1.5 {
                break;
            }
        }
        seen
    })
}

/// What a codec did with a key whose lifetime was over.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// How it was used.
    pub operation: Operation,
    /// Whether the key service failed by then.
    pub failing: bool,
    /// How old the key was.
    pub age: Duration,
}

/// Has the codec encode, and decode, all the time until its key is older than the key service lets it
/// be used, with a key service that works, and with one that works only once; tells how such a key was
/// used, if it was.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn expiry(
    subject: &Subject<'_>,
    lifetime: Duration,
    stall: Duration,
) -> Result<Option<Expiry>, JudgeError> {
    for failing in [false, true] {
        let stage = Stage::new(subject, 2)?;
        let script = Script::with_keys(2, &mut fastrand::Rng::with_seed(subject.seed));
        if failing {
            script.behave(Behaviour::failing(Duration::ZERO));
            for purpose in [Purpose::Encrypt, Purpose::Decrypt(String::new())] {
                script.deal_next(&purpose, Deal::default());
            }
        } else {
            script.behave(Behaviour::stalling(stall));
        }
        let trial = stage.codec_with_lifetime(script, lifetime);
        let ages = stage.run(async move {
            let both = Operation::BOTH.map(|operation| used_beyond(&trial, operation, lifetime));
            join_all(both).await
        })?;
        for (operation, age) in Operation::BOTH.into_iter().zip(ages) {
            if let Some(age) = age {
                return Ok(Some(Expiry { operation, failing, age }));
            }
        }
    }
    Ok(None)
}

/// How old a key was that was used longer than it lives.
async fn used_beyond(trial: &Trial, operation: Operation, lifetime: Duration) -> Option<Duration> {
    if !trial.small_call(operation, 1).await {
        return None;
    }
    let came = || came(trial.key_calls(operation));
    let (mut known, mut since) = (came(), Instant::now());
    let began = Instant::now();
    while began.elapsed() < lifetime.mul_f64(2.0 * BEYOND) {
        // Used all the time: that a key is in use does not make it younger.
        sleep(SAMPLE_INTERVAL).await;
        let called = Instant::now();
        let done = trial.small_call(operation, 1).await;
        let now = came();
        if now > known {
            (known, since) = (now, Instant::now());
        } else if done && called - since > lifetime.mul_f64(BEYOND) {
            return Some(called - since);
        }
    }
    None
}
