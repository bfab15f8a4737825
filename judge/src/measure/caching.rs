//! A codec that caches keys: for whom, and for how long.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use codec_kit::{Deal, Payload};
use futures::{
    future::{join, join_all},
    poll,
};
use tokio::time::{sleep, timeout};

use super::common::{CLEARLY, MARKER, NOISE_RETRIES, RECOVERY, SAMPLE_INTERVAL, came, recovers};
use crate::{
    checked::Evidence,
    fault::Kind,
    measure::{JudgeError, Operation},
    script::Behaviour,
    stage::{LONG_LIFETIME, Stage, Subject, Trial, contexts, small},
};

/// Calls that wait for the first one, before it is cancelled.
const FOLLOWERS: usize = 5;
/// Keys that are asked for at once.
const KEYS: usize = 5;
/// How much older than its lifetime a key is when it is checked.
const BEYOND: f64 = 1.25;
/// When the younger of two keys is requested, in shares of the older one's lifetime.
const YOUNGER: f64 = 0.35;
/// Until when the older one is requested again, if at all.
const NEARLY: f64 = 0.8;
/// How old a key is, in lifetimes, when it is used where it was not used before.
const HALF: f64 = 0.6;
/// How old it is when it must no longer be used there, although it has not been there for a lifetime.
const WELL_BEYOND: f64 = 1.45;
/// How long the codec is not called after the key service has failed for a long time.
const QUIET: Duration = Duration::from_millis(250);
/// How many requests it may make in that time: a retry in the background has to pause.
const REQUESTS_OF_NO_CALL: u64 = 20;

/// A codec on a runtime with this many threads in the blocking pool, and a stalling service with this many
/// keys.
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

/// Calls one after another, with a codec that had no key cached.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Sequence {
    /// How many stalls they took.
    pub stalls: f64,
    /// How many there were.
    pub calls: usize,
}

/// Between calls: some of these, and a cache has had the time to tidy up.
const PAUSE: Duration = Duration::from_millis(60);

/// The call of an attempt: by the attempt's number and the call's, what it does, and the key to decode with.
type CallOf = fn(usize, usize) -> (Operation, usize);

/// Makes up to `calls` calls of each operation, one after another, then as many of both in turn, with a second key to
/// decode with. Ends early when it is plain that each waits. The slowest of the three counts.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn calls_in_a_row(
    subject: &Subject<'_>,
    calls: usize,
    stall: Duration,
) -> Result<Sequence, JudgeError> {
    const ROTATED: usize = 1 + NOISE_RETRIES;
    let (stage, trial) = stalling(subject, 1, 1 + ROTATED, stall)?;
    let sequences: [(CallOf, Duration); 3] = [
        (|attempt, _| (Operation::Encode, 1 + attempt), Duration::ZERO),
        (|attempt, _| (Operation::Decode, 1 + attempt), Duration::ZERO),
        // As in a worker while keys are rotated: a cache with room for fewer keys is no cache then. With pauses,
        // because a cache may be late to remove what it has no room for.
        (
            |_, call| match call % 3 {
                0 => (Operation::Encode, 1),
                1 => (Operation::Decode, 1),
                _ => (Operation::Decode, ROTATED),
            },
            PAUSE,
        ),
    ];
    stage.run(async move {
        let mut worst = Sequence { stalls: 0.0, calls: 0 };
        for (sequence, pause) in sequences {
            let mut best = Sequence { stalls: f64::MAX, calls: 0 };
            for attempt in 0..NOISE_RETRIES {
                let mut made = Sequence { stalls: 0.0, calls: 0 };
                while made.calls < calls && made.stalls < CLEARLY {
                    let (operation, key) = sequence(attempt, made.calls);
                    sleep(pause).await;
                    let began = Instant::now();
                    trial.small_call(operation, key).await;
                    made.calls += 1;
                    made.stalls += began.elapsed().as_secs_f64() / stall.as_secs_f64();
                }
                if made.stalls < best.stalls {
                    best = made;
                }
                // Noise can make one attempt look like a codec that keeps no keys, not two.
                if best.stalls < 1.5 || attempt > 0 && best.stalls >= CLEARLY {
                    break;
                }
            }
            if best.stalls > worst.stalls {
                worst = best;
            }
            if worst.stalls >= CLEARLY {
                break;
            }
        }
        worst
    })
}

/// What many concurrent calls for the same key did.
#[derive(Clone, Copy, Debug)]
pub struct OneCall {
    /// How many there were, of each operation.
    pub callers: usize,
    /// How many succeeded, in the worse operation.
    pub could: usize,
    /// The calls to the key service, in the worse operation.
    pub calls: u64,
}

/// Has the codec encode and decode for many concurrent callers: with no key cached, when the key is about to
/// expire, and when it has expired.
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
            for age in [0.0, 0.75, 0.93, BEYOND] {
                sleep(lifetime.mul_f64(age).saturating_sub(known.elapsed())).await;
                let before = trial.key_calls(operation).started;
                seen.could = seen.could.min(trial.all_at_once(operation, given.clone()).await);
                if age == 0.0 {
                    known = Instant::now();
                }
                // A key that is renewed early may be on its way.
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

/// Cancels the call that requested the key while others wait with it. Returns how many of these succeeded,
/// and how many there were, in the worse operation.
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
            // All different: an answer that reaches the wrong call must show.
            let call = async |number: usize| {
                let data = format!("{MARKER} {number}").into_bytes();
                let given = vec![Payload { data, ..Payload::default() }];
                trial.call(operation, trial.given(operation, given, 1)).await.is_ok()
            };
            let mut first = Box::pin(call(0));
            let mut followers = pin!(join_all((1..=FOLLOWERS).map(call)));
            if poll!(&mut first).is_pending() && poll!(&mut followers).is_pending() {
                sleep(stall / 4).await;
            }
            drop(first);
            // Each may have to make its own request, one after another.
            let time = stall * (FOLLOWERS as u32 + 3);
            let done = timeout(time, followers).await;
            worst = worst.min(done.map_or(0, |all| all.into_iter().filter(|ok| *ok).count()));
        }
        (worst, FOLLOWERS)
    })
}

/// What a failed request cost if many calls waited for it.
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

/// What calls with cached keys did while others waited for their keys.
#[derive(Clone, Copy, Debug)]
pub struct Apart {
    /// The longest call with a cached key, in stalls; the best of a few tries.
    pub at_hand: f64,
    /// How many other keys were asked for at once.
    pub keys: usize,
    /// With how many of them decoding succeeded.
    pub could: usize,
    /// How many stalls they took; the best of a few tries.
    pub others: f64,
}

/// Has the codec encode and decode with cached keys, while it decodes with several others, and while keys are
/// renewed. Repeats this when all of them have expired.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn keys_apart(subject: &Subject<'_>, stall: Duration) -> Result<Apart, JudgeError> {
    let (lifetime, stagger) = (stall * 8, stall / 40);
    let (stage, trial) = expiring(subject, KEYS, 2 + (KEYS + 1) * NOISE_RETRIES, stall, lifetime)?;
    stage.run(async move {
        let mut seen = Apart { at_hand: f64::MAX, keys: KEYS, could: 0, others: f64::MAX };
        let stalls = |time: Duration| time.as_secs_f64() / stall.as_secs_f64();
        let at_hand = async || {
            let began = Instant::now();
            trial.small_call(Operation::Encode, 0).await;
            trial.small_call(Operation::Decode, 1).await;
            stalls(began.elapsed())
        };
        let mut last_keys = Vec::new();
        for attempt in 0..NOISE_RETRIES {
            // From here on these two are cached. At once, because a codec may let keys expire early.
            join(trial.small_call(Operation::Encode, 0), trial.small_call(Operation::Decode, 1))
                .await;
            let known = Instant::now();
            last_keys = (0..KEYS).map(|key| 2 + attempt * KEYS + key).collect();
            let unknown = tokio::spawn(all_of(trial.clone(), last_keys.clone(), stagger));
            // The waiting calls must have started to wait.
            sleep(stall / 10).await;
            let at_hand = at_hand().await;
            let (could, others) = unknown.await.unwrap_or((0, Duration::MAX));
            // Now all of them should be cached.
            let (_, cached) = all_of(trial.clone(), last_keys.clone(), Duration::ZERO).await;
            // Renewing a key early must not hold up calls that need a younger key.
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
                // The caller may wait: a codec may let keys expire early.
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
        // They expire together, and are requested together.
        let mut expired = f64::MAX;
        for _ in 0..NOISE_RETRIES {
            sleep(lifetime.mul_f64(BEYOND)).await;
            let (could, others) = all_of(trial.clone(), last_keys.clone(), stagger).await;
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

/// Has the codec decode with each of these keys, each call a little later than the one before, so that it meets a
/// request that is under way: with how many it could, and how long the longest call took.
async fn all_of(trial: Trial, keys: Vec<usize>, stagger: Duration) -> (usize, Duration) {
    let all = keys.into_iter().enumerate().map(async |(number, key)| {
        sleep(stagger * number as u32).await;
        let began = Instant::now();
        (trial.small_call(Operation::Decode, key).await, began.elapsed())
    });
    let all = join_all(all).await;
    let could = all.iter().filter(|(decoded, _)| *decoded).count();
    (could, all.into_iter().map(|(_, took)| took).max().unwrap_or_default())
}

/// What a codec did with an expired key.
#[derive(Clone, Copy, Debug)]
pub struct Expiry {
    /// How it was used.
    pub operation: Operation,
    /// Whether the key service failed by then.
    pub failing: bool,
    /// How old the key was.
    pub age: Duration,
}

/// Has the codec encode and decode continuously until its key has expired, with a key service that works, and
/// with one that works only once. Returns how an expired key was used, if one was.
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
        // The first answer comes at once, so that a codec with a deadline has a key to fall back to. Set
        // before the codec is constructed, because it may ask for a key then.
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
                works_again(&trial, &evidence).await;
            }
            ages
        })?;
        for (operation, age) in Operation::BOTH.into_iter().zip(ages) {
            if let Some(age) = age {
                return Ok(Some(Expiry { operation, failing, age }));
            }
        }
    }
    half_aged(subject, lifetime)
}

/// Has the codec use keys of half their age where it has not used them so far, in another context, and to decode what
/// it has encrypted. Returns how one was used beyond its lifetime: where it comes from a cache into another one, it must
/// not become younger.
fn half_aged(subject: &Subject<'_>, lifetime: Duration) -> Result<Option<Expiry>, JudgeError> {
    let stage = Stage::new(subject, 2)?;
    // Longer, because it has to be used neither too early nor too late.
    let lifetime = lifetime * 2;
    let trial = stage.trial_with_lifetime(2, Behaviour::default(), lifetime);
    stage.run(async move {
        let contexts = contexts();
        let call = async |operation, context: usize, given| {
            trial.call_in(operation, &contexts[context], given).await.unwrap_or_default()
        };
        let came = || Operation::BOTH.map(|operation| came(trial.key_calls(operation)));
        call(Operation::Encode, 0, vec![small()]).await;
        let (known, before) = (Instant::now(), came());
        sleep(lifetime.mul_f64(HALF)).await;
        let encrypted = call(Operation::Encode, 1, vec![small()]).await;
        sleep(lifetime.mul_f64(WELL_BEYOND).saturating_sub(known.elapsed())).await;
        let called = Instant::now();
        let decrypted = call(Operation::Decode, 1, encrypted.clone()).await;
        // It may have come again meanwhile, for either purpose.
        let expired = before == came() && !encrypted.is_empty() && !decrypted.is_empty();
        // The age of a key to encrypt with is checked with each call.
        call(Operation::Encode, 1, vec![small()]).await;
        let age = called - known;
        expired.then_some(Expiry { operation: Operation::Decode, failing: false, age })
    })
}

/// Notes a fault if the codec does not work again soon after the key service does.
async fn works_again(trial: &Trial, evidence: &Evidence) {
    trial.script.behave(Behaviour::default());
    for operation in Operation::BOTH {
        if !recovers(trial, operation, 1).await {
            let (method, seconds) = (operation.method(), RECOVERY.as_secs());
            let says =
                format!("{method} still fails {seconds} s after the key service answers again");
            evidence.note(Kind::UndueError, says);
        }
    }
}

/// Notes a fault if the codec asks the key service again and again although no call needs a key.
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

/// The age of a key that was used after it expired.
async fn used_beyond(trial: &Trial, operation: Operation, lifetime: Duration) -> Option<Duration> {
    if !trial.small_call(operation, 1).await {
        return None;
    }
    let came = || came(trial.key_calls(operation));
    let (mut known, mut since) = (came(), Instant::now());
    let began = Instant::now();
    while began.elapsed() < lifetime.mul_f64(2.0 * BEYOND) {
        // Used all the time, because use must not extend a key's lifetime.
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
