//! Codecs that do something wrong after a stall, or in one call of a hundred.

use std::{
    sync::{Arc, Mutex as StdMutex},
    time::{Duration, Instant},
};

use codec_kit::{AnyCodec, DataKey, KeyService, Payload, open, seal_all};
use judge::promises::{
    LETS_KEYS_EXPIRE, PASSES_ERRORS_ON, PAYLOADS, RELEASES_IT_ALWAYS, WAITS_FOR_KEY, WIRE_FORMAT,
};
use tokio::time::timeout;

use super::{Counter, good, lock, test_key};
use crate::{Done, Variant, Verdict::Wrong, Verdict::WrongSomehow, both, codec, encodes, opens};

/// A call that takes so long has met a stall.
const STALLED: Duration = Duration::from_millis(100);
/// What a deadline allows that no stall meets.
const DEADLINE: Duration = Duration::from_millis(50);

pub(super) fn variants() -> Vec<Variant> {
    [after_a_stall(), after_a_deadline(), now_and_then()].into_iter().flatten().collect()
}

fn after_a_stall() -> Vec<Variant> {
    vec![
        Variant {
            name: "after a stall, encode returns plaintext",
            make: |keys| stalled(keys, |_, payloads| Ok(payloads)),
            expected: both(Wrong(&[PAYLOADS, WAITS_FOR_KEY])),
        },
        Variant {
            name: "after a stall, encode returns nothing",
            make: |keys| stalled(keys, |_, _| Ok(Vec::new())),
            expected: both(Wrong(&[PAYLOADS, WAITS_FOR_KEY])),
        },
        Variant {
            name: "after a stall, encode loses all but the first payload",
            make: |keys| {
                stalled(keys, |key, mut payloads| {
                    payloads.truncate(1);
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Wrong(&[PAYLOADS, WAITS_FOR_KEY])),
        },
        Variant {
            name: "after a stall, encode encrypts the payloads in reverse order",
            make: |keys| {
                stalled(keys, |key, mut payloads| {
                    payloads.reverse();
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Wrong(&[PAYLOADS, WAITS_FOR_KEY])),
        },
        Variant {
            name: "after a stall, encode uses another key",
            make: |keys| stalled(keys, |_, payloads| Ok(seal_all(&test_key(), payloads)?)),
            expected: both(Wrong(&[PAYLOADS, WAITS_FOR_KEY])),
        },
        Variant {
            name: "after a stall, encode encrypts twice",
            make: |keys| {
                stalled(keys, |key, payloads| Ok(seal_all(&key, seal_all(&key, payloads)?)?))
            },
            expected: both(Wrong(&[PAYLOADS, WAITS_FOR_KEY])),
        },
        Variant {
            name: "after a stall, encode panics",
            make: |keys| stalled(keys, |_, _| panic!("the key service was too slow")),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "after a stall, decode leaves payloads as they are",
            make: |keys| stalled_decode(keys, |_, given| Ok(given)),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "after a stall, decode loses all but the first payload",
            make: |keys| {
                stalled_decode(keys, |mut opened, _| {
                    opened.truncate(1);
                    Ok(opened)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "after a stall, decode is an error",
            make: |keys| stalled_decode(keys, |_, _| Err("the key came too late".into())),
            expected: both(WrongSomehow),
        },
        Variant {
            // A circuit breaker that takes slow answers for failures.
            name: "after three stalls, nothing but errors for 30 s",
            make: |keys| {
                let (stalls, broken) = (Counter::default(), Arc::new(StdMutex::new(None)));
                encodes(keys, move |keys, payloads| {
                    let (stalls, broken) = (stalls.clone(), Arc::clone(&broken));
                    async move {
                        let began = Instant::now();
                        if lock(&broken).is_some_and(|until| began < until) {
                            return Err("the key service is too slow".into());
                        }
                        let key = keys.data_key().await?;
                        if began.elapsed() > STALLED && stalls.is_every(3) {
                            *lock(&broken) = Some(began + Duration::from_secs(30));
                        }
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: both(WrongSomehow),
        },
    ]
}

fn after_a_deadline() -> Vec<Variant> {
    vec![
        Variant {
            name: "after one deadline of 50 ms, the last key for ever",
            make: |keys| {
                let last = Arc::new(StdMutex::new((None::<DataKey>, false)));
                encodes(keys, move |keys, payloads| {
                    let last = Arc::clone(&last);
                    async move {
                        let (cached, degraded) = lock(&last).clone();
                        if let (Some(key), true) = (&cached, degraded) {
                            return Ok(seal_all(key, payloads)?);
                        }
                        let mut call = Box::pin(keys.data_key());
                        let key = match (timeout(DEADLINE, &mut call).await, cached) {
                            (Ok(key), _) => key?,
                            (Err(_), Some(cached)) => {
                                lock(&last).1 = true;
                                cached
                            }
                            (Err(_), None) => call.await?,
                        };
                        lock(&last).0 = Some(key.clone());
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY, LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "a deadline of 50 ms, then the key of the call before",
            make: |keys| {
                let last = Arc::new(StdMutex::new(None::<DataKey>));
                encodes(keys, move |keys, payloads| {
                    let last = Arc::clone(&last);
                    async move {
                        let before = lock(&last).clone();
                        let key = match (timeout(DEADLINE, keys.data_key()).await, before) {
                            (Err(_), Some(before)) => before,
                            (Err(_), None) => keys.data_key().await?,
                            (Ok(key), _) => key?,
                        };
                        *lock(&last) = Some(key.clone());
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY, LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "a deadline of 50 ms, then decode leaves payloads as they are",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let call = timeout(DEADLINE, opens(keys, payloads.clone())).await;
                    call.unwrap_or(Ok(payloads))
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            // No stall of the workshop takes that long: the judge needs a longer one to see it.
            name: "a deadline of 2 s, then plaintext",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    match timeout(Duration::from_secs(2), keys.data_key()).await {
                        Ok(key) => Ok(seal_all(&key?, payloads)?),
                        Err(_) => Ok(payloads),
                    }
                })
            },
            expected: both(WrongSomehow),
        },
    ]
}

fn now_and_then() -> Vec<Variant> {
    vec![
        Variant {
            name: "three encodes in 300 are an error",
            make: |keys| {
                now_and_again(
                    keys,
                    |_| Err("a connection was closed".into()),
                    |opened, _| Ok(opened),
                )
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "three encodes in 300 panic",
            make: |keys| {
                now_and_again(keys, |_| panic!("index out of bounds"), |opened, _| Ok(opened))
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "three encodes in 300 return nothing",
            make: |keys| now_and_again(keys, |_| Ok(Vec::new()), |opened, _| Ok(opened)),
            expected: both(Wrong(&[PAYLOADS, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "three decodes in 300 are an error",
            make: |keys| now_and_again(keys, Ok, |_, _| Err("a connection was closed".into())),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "three decodes in 300 leave payloads as they are",
            make: |keys| now_and_again(keys, Ok, |_, given| Ok(given)),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "three decodes in 300 decrypt with the test key",
            make: |keys| {
                now_and_again(keys, Ok, |_, given| {
                    let keys = [test_key()].into_iter().collect();
                    Ok(given
                        .into_iter()
                        .map(|payload| open(&keys, payload))
                        .collect::<Result<_, _>>()?)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS, PASSES_ERRORS_ON])),
        },
    ]
}

/// Encodes as it should, unless its key met a stall.
fn stalled(keys: KeyService, then: fn(DataKey, Vec<Payload>) -> Done) -> AnyCodec {
    encodes(keys, move |keys, payloads| async move {
        let began = Instant::now();
        let key = keys.data_key().await?;
        if began.elapsed() < STALLED { Ok(seal_all(&key, payloads)?) } else { then(key, payloads) }
    })
}

/// Decodes as it should, unless a key met a stall. `then` gets what was opened, and what was given.
fn stalled_decode(keys: KeyService, then: fn(Vec<Payload>, Vec<Payload>) -> Done) -> AnyCodec {
    codec(keys, good, move |keys, given| async move {
        let began = Instant::now();
        let opened = opens(keys, given.clone()).await?;
        if began.elapsed() < STALLED { Ok(opened) } else { then(opened, given) }
    })
}

/// Every hundredth call of each kind changes what it returns. `opened` gets what was decrypted, and
/// what was given.
fn now_and_again(
    keys: KeyService,
    sealed: fn(Vec<Payload>) -> Done,
    opened: fn(Vec<Payload>, Vec<Payload>) -> Done,
) -> AnyCodec {
    let (encodes, decodes) = (Counter::default(), Counter::default());
    codec(
        keys,
        move |keys, payloads| {
            let wrong = encodes.is_every(100);
            async move {
                let done = good(keys, payloads).await?;
                if wrong { sealed(done) } else { Ok(done) }
            }
        },
        move |keys, given| {
            let wrong = decodes.is_every(100);
            async move {
                let done = opens(keys, given.clone()).await?;
                if wrong { opened(done, given) } else { Ok(done) }
            }
        },
    )
}
