//! A codec that keeps keys: for whom, and for how long.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{AnyCodec, KeyService, Keyring, Payload, Stalls, seal_all};
use futures::{future::join_all, poll};
use tokio::time::{sleep, timeout};

use super::{
    failing::seeded,
    harness::{
        JudgeError, MakeCodec, NOISE_RETRIES, Operation, SAMPLE_INTERVAL, all_at_once, came,
        decode, encode, on_one_thread, small, stalling,
    },
};

/// Calls that wait for the first one, before it is given up.
const FOLLOWERS: usize = 5;
/// Keys that are asked for at once.
const KEYS: usize = 5;
/// How much older than its lifetime a key is when it is looked at.
const BEYOND: f64 = 1.25;

/// How many stalls in a row these many calls took, one after another, to a codec that knew no key; at
/// its best of a few tries, and in the slower operation.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn calls_in_a_row(
    make: MakeCodec<'_>,
    calls: usize,
    stall: Duration,
) -> Result<f64, JudgeError> {
    let mut worst: f64 = 0.0;
    for operation in Operation::BOTH {
        let mut best = f64::MAX;
        for _ in 0..NOISE_RETRIES {
            let codec = make(stalling(stall));
            let took = on_one_thread(1, async move {
                let began = Instant::now();
                for _ in 0..calls {
                    // Errors are another measurement's business.
                    operation.small_call(&codec).await;
                }
                began.elapsed()
            })?;
            best = best.min(took.as_secs_f64() / stall.as_secs_f64());
            if !(1.5..6.0).contains(&best) {
                break;
            }
        }
        worst = worst.max(best);
    }
    Ok(worst)
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

/// Has the codec encode, or decode, for many at once while it knows no key.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn one_call_for_many(
    make: MakeCodec<'_>,
    callers: usize,
    stall: Duration,
) -> Result<OneCall, JudgeError> {
    let mut seen = OneCall { callers, could: callers, calls: 0 };
    for operation in Operation::BOTH {
        let keys = stalling(stall);
        let codec = make(keys.clone());
        let given = vec![operation.given(vec![small()]); callers];
        let could = on_one_thread(1, async move { all_at_once(&codec, operation, given).await })?;
        seen.could = seen.could.min(could);
        seen.calls = seen.calls.max(operation.calls(&keys).started);
    }
    Ok(seen)
}

/// Gives up the call that asked for the key, while others wait with it; tells how many of these could
/// do their work, of how many, in the worse operation.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn when_the_first_is_cancelled(
    make: MakeCodec<'_>,
    stall: Duration,
) -> Result<(usize, usize), JudgeError> {
    let mut worst = FOLLOWERS;
    for operation in Operation::BOTH {
        let codec = make(stalling(stall));
        let could = on_one_thread(1, async move {
            let mut first = Box::pin(operation.small_call(&codec));
            let mut followers =
                pin!(join_all((0..FOLLOWERS).map(|_| operation.small_call(&codec))));
            if poll!(&mut first).is_pending() && poll!(&mut followers).is_pending() {
                sleep(stall / 4).await;
            }
            drop(first);
            // Each may have to ask for itself, one after another.
            let time = stall * (FOLLOWERS as u32 + 3);
            timeout(time, followers).await.map_or(0, |all| all.into_iter().filter(|ok| *ok).count())
        })?;
        worst = worst.min(could);
    }
    Ok((worst, FOLLOWERS))
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
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn shared_failure(
    make: MakeCodec<'_>,
    callers: usize,
    stall: Duration,
) -> Result<SharedFailure, JudgeError> {
    let stalls = Stalls { failure_rate: 1.0, ..Stalls::always(stall) };
    let keys = KeyService::with_stalls(Keyring::test_key(), stalls);
    let codec = make(keys.clone());
    let given = vec![vec![small()]; callers];
    on_one_thread(1, async move {
        timeout(stall * 6, all_at_once(&codec, Operation::Encode, given)).await.ok();
    })?;
    Ok(SharedFailure { callers, calls: keys.calls().started })
}

/// What calls for keys at hand did while other keys were waited for.
#[derive(Clone, Copy, Debug)]
pub struct Apart {
    /// How long the longest call took whose key was at hand, in stalls; at its best of a few tries.
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
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn keys_apart(make: MakeCodec<'_>, stall: Duration) -> Result<Apart, JudgeError> {
    let key = |n: usize| format!("judge-{n}={}", STANDARD.encode([n as u8 + 1; 32]));
    let all: Vec<_> = (0..=KEYS).map(key).collect();
    let keyring = Keyring::parse(&all.join(","), None)?;
    let sealed = |n: usize| {
        let key = keyring.keys().get(&format!("judge-{n}")).expect("the judge made that key");
        seal_all(key, vec![small()]).expect("a small payload can be sealed")
    };
    let known = sealed(0);
    let others: Vec<_> = (1..=KEYS).map(sealed).collect();
    let mut seen = Apart { at_hand: f64::MAX, keys: KEYS, could: 0, others: f64::MAX };
    for _ in 0..NOISE_RETRIES {
        let keys = KeyService::with_stalls(keyring.clone(), Stalls::always(stall));
        let (codec, known, others) = (make(keys), known.clone(), others.clone());
        let (at_hand, could, others) = on_one_thread(KEYS, async move {
            // From here on these two are at hand.
            let warm = |codec: AnyCodec, known: Vec<Payload>| async move {
                encode(&codec, vec![small()]).await.ok();
                decode(&codec, known).await.ok();
            };
            warm(codec.clone(), known.clone()).await;
            let began = Instant::now();
            let unknown = tokio::spawn({
                let codec = codec.clone();
                async move {
                    let all = join_all(others.into_iter().map(|sealed| decode(&codec, sealed)));
                    let could = all.await.iter().filter(|opened| opened.is_ok()).count();
                    (could, began.elapsed())
                }
            });
            // Those who wait must be waiting.
            sleep(stall / 10).await;
            let since = Instant::now();
            warm(codec, known).await;
            let at_hand = since.elapsed();
            let (could, others) = unknown.await.unwrap_or((0, Duration::MAX));
            (at_hand, could, others)
        })?;
        let stalls = |time: Duration| time.as_secs_f64() / stall.as_secs_f64();
        seen.could = could;
        seen.at_hand = seen.at_hand.min(stalls(at_hand));
        seen.others = seen.others.min(stalls(others));
        if seen.at_hand < 0.25 && seen.others < 1.5 {
            break;
        }
    }
    Ok(seen)
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
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn expiry(
    make: MakeCodec<'_>,
    lifetime: Duration,
    stall: Duration,
) -> Result<Option<Expiry>, JudgeError> {
    for operation in Operation::BOTH {
        for failing in [false, true] {
            let keys = if failing { works_once(operation) } else { stalling(stall) };
            let keys = keys.with_key_lifetime(lifetime);
            let codec = make(keys.clone());
            let age = on_one_thread(1, async move { used_beyond(&codec, &keys, operation).await })?;
            if let Some(age) = age {
                return Ok(Some(Expiry { operation, failing, age }));
            }
        }
    }
    Ok(None)
}

/// How old a key was that was used longer than it lives.
async fn used_beyond(
    codec: &AnyCodec,
    keys: &KeyService,
    operation: Operation,
) -> Option<Duration> {
    if !operation.small_call(codec).await {
        return None;
    }
    let lifetime = keys.key_lifetime();
    let (mut known, mut since) = (came(operation.calls(keys)), Instant::now());
    let began = Instant::now();
    while began.elapsed() < lifetime.mul_f64(2.0 * BEYOND) {
        // Used all the time: that a key is in use does not make it younger.
        sleep(SAMPLE_INTERVAL).await;
        let called = Instant::now();
        let done = operation.small_call(codec).await;
        let now = came(operation.calls(keys));
        if now > known {
            (known, since) = (now, Instant::now());
        } else if done && called - since > lifetime.mul_f64(BEYOND) {
            return Some(called - since);
        }
    }
    None
}

/// A key service that answers once, and then fails for as long as it matters.
fn works_once(operation: Operation) -> KeyService {
    const FAILURES: usize = 100;
    let asks = move |keys: &KeyService| match operation {
        Operation::Encode => keys.data_key_blocking().is_ok(),
        Operation::Decode => keys.data_key_by_id_blocking("test-key-id").is_ok(),
    };
    let stalls = |seed| Stalls { failure_rate: 0.99, seed, ..Stalls::never() };
    seeded(stalls, move |keys| asks(keys) && (0..FAILURES).all(|_| !asks(keys)))
}
