//! A codec that caches keys: for whom, and for how long.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use codec_kit::Deal;
use futures::{
    future::{join, join_all},
    poll,
};
use tokio::time::{sleep, timeout};

use super::common::{NOISE_RETRIES, SAMPLE_INTERVAL, came};
use crate::{
    checked::Evidence,
    fault::Kind,
    measure::{JudgeError, Operation},
    script::Behaviour,
    stage::{LONG_LIFETIME, Stage, Subject, Trial, small},
};

/// Calls that wait for the first one, before it is cancelled.
const FOLLOWERS: usize = 5;
/// Keys that are asked for at once.
const KEYS: usize = 5;
/// How much older than its lifetime a key is when it is looked at.
const BEYOND: f64 = 1.25;
/// When a key is asked for that is younger than another one, in shares of the other's lifetime.
const YOUNGER: f64 = 0.35;
/// Until when the other one is asked for again, if it is.
const NEARLY: f64 = 0.8;
/// How long a codec is not called, after the key service has failed for long.
const QUIET: Duration = Duration::from_millis(250);
/// Meanwhile it may ask so often: a retry in the background pauses.
const REQUESTS_OF_NO_CALL: u64 = 20;

/// A codec on a runtime with so many threads to block on, and a service with so many keys that stalls.
fn stalling<'a>(
    subject: &'a Subject<'a>,
    pool: usize,
    keys: usize,
    stall: Duration,
) -> Result<(Stage<'a>, Trial), JudgeError> {
    expiring(subject, pool, keys, stall, LONG_LIFETIME)
}

/// The same, with keys that expire.
fn expiring<'a>(
    subject: &'a Subject<'a>,
    pool: usize,
    keys: usize,
    stall: Duration,
    lifetime: Duration,
) -> Result<(Stage<'a>, Trial), JudgeError> {
    let stage = Stage::new(subject, pool)?;
    let trial = stage.trial_with_lifetime(keys, Behaviour::stalling(stall), lifetime);
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

/// Has the codec encode, and decode, for many at once: while it knows no key, when the key's lifetime is
/// nearly over, and when it is over.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn one_call_for_many(
    subject: &Subject<'_>,
    callers: usize,
    stall: Duration,
) -> Result<OneCall, JudgeError> {
    let lifetime = stall * 4;
    let (stage, trial) = expiring(subject, 1, 2, stall, lifetime)?;
    stage.run(async move {
        let one = async |operation: Operation| {
            let mut seen = OneCall { callers, could: callers, calls: 0 };
            let given = vec![trial.given(operation, vec![small()], 1); callers];
            let mut known = Instant::now();
            for age in [0.0, 0.75, BEYOND] {
                sleep(lifetime.mul_f64(age).saturating_sub(known.elapsed())).await;
                let before = trial.key_calls(operation).started;
                seen.could = seen.could.min(trial.all_at_once(operation, given.clone()).await);
                if age == 0.0 {
                    known = Instant::now();
                }
                // A key that is renewed beforehand is on its way.
                sleep(stall / 4).await;
                seen.calls = seen.calls.max(trial.key_calls(operation).started - before);
            }
            seen
        };
        let (encode, decode) = join(one(Operation::Encode), one(Operation::Decode)).await;
        OneCall {
            callers,
            could: encode.could.min(decode.could),
            calls: encode.calls.max(decode.calls),
        }
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
/// not know, and while keys are renewed; and when all of these have expired, again.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn keys_apart(subject: &Subject<'_>, stall: Duration) -> Result<Apart, JudgeError> {
    let lifetime = stall * 8;
    let (stage, trial) = expiring(subject, KEYS, 2 + (KEYS + 1) * NOISE_RETRIES, stall, lifetime)?;
    stage.run(async move {
        let mut seen = Apart { at_hand: f64::MAX, keys: KEYS, could: 0, others: f64::MAX };
        let stalls = |time: Duration| time.as_secs_f64() / stall.as_secs_f64();
        let warm = async || {
            let began = Instant::now();
            trial.small_call(Operation::Encode, 0).await;
            trial.small_call(Operation::Decode, 1).await;
            stalls(began.elapsed())
        };
        let mut last_keys = Vec::new();
        for attempt in 0..NOISE_RETRIES {
            // From here on these two are cached.
            warm().await;
            let known = Instant::now();
            last_keys = (0..KEYS).map(|key| 2 + attempt * KEYS + key).collect();
            let unknown = tokio::spawn(all_of(trial.clone(), last_keys.clone()));
            // Those who wait must be waiting.
            sleep(stall / 10).await;
            let at_hand = warm().await;
            let (could, others) = unknown.await.unwrap_or((0, Duration::MAX));
            // All of them are cached, are they?
            let (_, cached) = all_of(trial.clone(), last_keys.clone()).await;
            // A key that is asked for again beforehand holds up nothing either: not calls that need a
            // younger one.
            let mut renewing = stalls(cached);
            let younger = 2 + KEYS * NOISE_RETRIES + attempt;
            sleep(lifetime.mul_f64(YOUNGER).saturating_sub(known.elapsed())).await;
            trial.small_call(Operation::Decode, younger).await;
            while known.elapsed() < lifetime.mul_f64(NEARLY) {
                let trial_of_older = trial.clone();
                tokio::spawn(async move { trial_of_older.small_call(Operation::Encode, 0).await });
                sleep(stall / 10).await;
                let asked = trial.keys.decode_calls().started;
                let began = Instant::now();
                trial.small_call(Operation::Decode, younger).await;
                // Who asks may wait: a codec may let keys expire before their time.
                if trial.keys.decode_calls().started == asked {
                    renewing = renewing.max(stalls(began.elapsed()));
                }
            }
            seen.could = could;
            seen.at_hand = seen.at_hand.min(at_hand.max(renewing));
            seen.others = seen.others.min(stalls(others));
            if seen.at_hand < 0.25 && seen.others < 1.5 {
                break;
            }
        }
        // They expire together, and are asked for together.
        let mut expired = f64::MAX;
        for _ in 0..NOISE_RETRIES {
            sleep(lifetime.mul_f64(BEYOND)).await;
            let (could, others) = all_of(trial.clone(), last_keys.clone()).await;
            seen.could = seen.could.min(could);
            expired = expired.min(stalls(others));
            if expired < 1.5 {
                break;
            }
        }
        seen.others = seen.others.max(expired);
        seen
    })
}

/// Has the codec decode at once with each of these keys: with how many it could, and how long all took.
async fn all_of(trial: Trial, keys: Vec<usize>) -> (usize, Duration) {
    let began = Instant::now();
    let all = keys.into_iter().map(|key| trial.small_call(Operation::Decode, key));
    let could = join_all(all).await.into_iter().filter(|decoded| *decoded).count();
    (could, began.elapsed())
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
        let behaviour = match failing {
            true => Behaviour::failing(Duration::ZERO),
            false => Behaviour::stalling(stall),
        };
        // The first answer comes at once: a codec with a deadline has a key to fall back to. Dealt before the
        // codec is made, which may ask then.
        let script = stage.script(2, behaviour);
        for operation in Operation::BOTH {
            script.deal_next(&operation.purpose(), Deal::default());
        }
        let trial = stage.codec_with_lifetime(script, lifetime);
        let evidence = subject.evidence.clone();
        let ages = stage.run(async move {
            let both = Operation::BOTH.map(|operation| used_beyond(&trial, operation, lifetime));
            let ages = join_all(both).await;
            if failing {
                requests_of_no_call(&trial, &evidence).await;
            }
            ages
        })?;
        for (operation, age) in Operation::BOTH.into_iter().zip(ages) {
            if let Some(age) = age {
                return Ok(Some(Expiry { operation, failing, age }));
            }
        }
    }
    Ok(None)
}

/// Notes a codec that asks the key service again and again, while no call needs a key.
async fn requests_of_no_call(trial: &Trial, evidence: &Evidence) {
    let asked = || Operation::BOTH.map(|operation| trial.key_calls(operation).started);
    let before: u64 = asked().iter().sum();
    sleep(QUIET).await;
    let requests = asked().iter().sum::<u64>() - before;
    if requests > REQUESTS_OF_NO_CALL {
        let quiet = QUIET.as_millis();
        let says = format!(
            "it made {requests} requests for keys within {quiet} ms, although it was not called"
        );
        evidence.note(Kind::Storm, says);
    }
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
