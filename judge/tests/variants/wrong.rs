//! Codecs that break a promise.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex as StdMutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use codec_kit::{
    AnyCodec, DataKey, DataKeys, KeyService, Keyring, Payload, key_ids, open_all, seal, seal_all,
};
use futures::{StreamExt, executor, stream::FuturesUnordered};
use judge::promises::{
    ANSWERS_PROMPTLY, IS_OBSERVED, LEAVES_NOTHING, NEEDS_NO_THREAD, PASSES_ERRORS_ON, PAYLOADS,
    RELEASES_IT_ALWAYS, RELEASES_THREAD, STALLS_TOGETHER, WAITS_FOR_KEY, WAITS_QUIETLY,
    WIRE_FORMAT,
};
use solutions::Step;
use tokio::{
    runtime,
    sync::{Mutex, Notify, OnceCell},
    task::{JoinSet, block_in_place, spawn_blocking, yield_now},
    time::{sleep, timeout},
};

use crate::{
    Done, Variant,
    Verdict::{AtACost, Wrong},
    both, codec, encodes, opens,
};

pub(crate) fn variants() -> Vec<Variant> {
    [blocks(), does_not_wait(), treats_payloads_wrongly(), hides_errors(), leaves_something()]
        .into_iter()
        .flatten()
        .collect()
}

/// They block their thread.
fn blocks() -> Vec<Variant> {
    vec![
        Variant {
            name: "not observed: reference of step 0",
            make: |keys| Step::Start.codec(keys),
            expected: vec![(Step::Blocking, Wrong(&[IS_OBSERVED]))],
        },
        Variant {
            name: "blocks before the future is returned",
            make: |keys| {
                encodes(keys, |keys, payloads| {
                    let key = keys.data_key_blocking();
                    async move { Ok(seal_all(&key?, payloads)?) }
                })
            },
            expected: both(Wrong(&[RELEASES_THREAD])),
        },
        Variant {
            name: "blocks in the async block",
            make: |keys| encodes(keys, blocking),
            expected: both(Wrong(&[RELEASES_THREAD])),
        },
        Variant {
            name: "blocks after a yield",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    yield_now().await;
                    blocking(keys, payloads).await
                })
            },
            expected: both(Wrong(&[RELEASES_THREAD])),
        },
        Variant {
            name: "blocks in a task of its own",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    tokio::spawn(blocking(keys, payloads)).await?
                })
            },
            // The codec's own polls are short: the thread is held all the same.
            expected: both(Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "blocks behind a std mutex",
            make: |keys| {
                let lock = Arc::new(StdMutex::new(()));
                encodes(keys, move |keys, payloads| {
                    let lock = Arc::clone(&lock);
                    async move {
                        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
                        Ok(seal_all(&keys.data_key_blocking()?, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[RELEASES_THREAD])),
        },
        Variant {
            name: "joins a thread of its own",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = thread::spawn(move || keys.data_key_blocking()).join();
                    Ok(seal_all(&key.map_err(|_| "panicked")??, payloads)?)
                })
            },
            expected: both(Wrong(&[RELEASES_THREAD])),
        },
        Variant {
            name: "a runtime for each call, on a thread that is joined",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = thread::spawn(move || new_runtime().block_on(keys.data_key())).join();
                    Ok(seal_all(&key.map_err(|_| "panicked")??, payloads)?)
                })
            },
            expected: both(Wrong(&[RELEASES_THREAD])),
        },
        Variant {
            name: "a runtime for each call, in the async block",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = new_runtime().block_on(keys.data_key())?;
                    Ok(seal_all(&key, payloads)?)
                })
            },
            // tokio panics: a runtime can't be started, or blocked on, from within a runtime.
            expected: both(Wrong(&[WIRE_FORMAT, ANSWERS_PROMPTLY])),
        },
        Variant {
            name: "Handle::block_on in the async block",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = runtime::Handle::current().block_on(keys.data_key())?;
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, ANSWERS_PROMPTLY])),
        },
        Variant {
            name: "block_in_place",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = block_in_place(|| keys.data_key_blocking())?;
                    Ok(seal_all(&key, payloads)?)
                })
            },
            // tokio panics on a runtime of one thread. On several it would block all the same: the
            // worker is one task.
            expected: both(Wrong(&[WIRE_FORMAT, ANSWERS_PROMPTLY])),
        },
        Variant {
            name: "futures::executor::block_on in the async block",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    Ok(seal_all(&executor::block_on(keys.data_key())?, payloads)?)
                })
            },
            // The timer that it waits for needs the thread that it holds: it never ends, and the
            // first key that is late shows it.
            expected: both(Wrong(&[RELEASES_THREAD])),
        },
        Variant {
            name: "spins until a thread has the key",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let call = spawn_blocking(move || keys.data_key_blocking());
                    while !call.is_finished() {
                        thread::yield_now();
                    }
                    Ok(seal_all(&call.await??, payloads)?)
                })
            },
            expected: both(Wrong(&[RELEASES_THREAD, WAITS_QUIETLY])),
        },
        Variant {
            name: "yields again and again until a thread has the key",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let call = spawn_blocking(move || keys.data_key_blocking());
                    while !call.is_finished() {
                        yield_now().await;
                    }
                    Ok(seal_all(&call.await??, payloads)?)
                })
            },
            // It never rests, so a machine with other work takes its thread away in the middle of a poll.
            expected: both(Wrong(&[WAITS_QUIETLY, RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "blocks every 100th call",
            make: |keys| {
                let calls = Arc::new(AtomicUsize::new(1));
                encodes(keys, move |keys, payloads| {
                    let blocks = calls.fetch_add(1, Relaxed).is_multiple_of(100);
                    async move {
                        if blocks {
                            blocking(keys, payloads).await
                        } else {
                            good(keys, payloads).await
                        }
                    }
                })
            },
            expected: both(Wrong(&[RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "blocks every 100th call, in a task of its own",
            make: |keys| {
                let calls = Arc::new(AtomicUsize::new(1));
                encodes(keys, move |keys, payloads| {
                    let blocks = calls.fetch_add(1, Relaxed).is_multiple_of(100);
                    async move {
                        if blocks {
                            return tokio::spawn(blocking(keys, payloads)).await?;
                        }
                        good(keys, payloads).await
                    }
                })
            },
            expected: both(Wrong(&[RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "blocks for large payloads",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let large = payloads.iter().any(|payload| payload.data.len() > 1 << 20);
                    if large { blocking(keys, payloads).await } else { good(keys, payloads).await }
                })
            },
            expected: both(Wrong(&[RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "blocks for the second payload of a call",
            make: |keys| {
                encodes(keys, |keys, mut payloads| async move {
                    let others = payloads.split_off(payloads.len().min(1));
                    let mut sealed = good(keys.clone(), payloads).await?;
                    if !others.is_empty() {
                        sealed.extend(blocking(keys, others).await?);
                    }
                    Ok(sealed)
                })
            },
            expected: both(Wrong(&[RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "decode asks for a key with the blocking call",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let mut found = DataKeys::default();
                    for id in key_ids(&payloads) {
                        found.insert(keys.data_key_by_id_blocking(&id)?);
                    }
                    Ok(open_all(&found, payloads)?)
                })
            },
            expected: both(Wrong(&[RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "decode asks for a key on the blocking pool",
            make: |keys| codec(keys, good, opens_on_the_pool),
            expected: vec![(Step::Async, Wrong(&[NEEDS_NO_THREAD]))],
        },
        Variant {
            name: "decode asks for keys behind one lock",
            make: |keys| {
                let lock = Arc::new(Mutex::new(()));
                codec(keys, good, move |keys, payloads| {
                    let lock = Arc::clone(&lock);
                    async move {
                        let _held = lock.lock().await;
                        opens(keys, payloads).await
                    }
                })
            },
            expected: vec![
                (Step::SpawnBlocking, AtACost("stalls wait for each other")),
                (Step::Async, Wrong(&[STALLS_TOGETHER])),
            ],
        },
        Variant {
            name: "decode sleeps on its thread",
            make: |keys| {
                codec(keys, good, |keys, payloads| {
                    thread::sleep(Duration::from_millis(100));
                    opens(keys, payloads)
                })
            },
            expected: both(Wrong(&[RELEASES_IT_ALWAYS])),
        },
    ]
}

/// The time after which a codec that guesses assumes a stall.
const GUESS: Duration = Duration::from_millis(200);

/// They seal before their key has come, with one that they have from elsewhere.
fn does_not_wait() -> Vec<Variant> {
    vec![
        Variant {
            name: "never asks for a key",
            make: |keys| {
                encodes(keys, |_, payloads| async move { Ok(seal_all(&test_key(), payloads)?) })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "sleeps on its thread instead of asking",
            make: |keys| {
                encodes(keys, |_, payloads| async move {
                    thread::sleep(GUESS);
                    Ok(seal_all(&test_key(), payloads)?)
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "sleeps without a thread instead of asking",
            make: |keys| {
                encodes(keys, |_, payloads| async move {
                    sleep(GUESS).await;
                    Ok(seal_all(&test_key(), payloads)?)
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "spawn_blocking that is not awaited",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    spawn_blocking(move || keys.data_key_blocking());
                    Ok(seal_all(&test_key(), payloads)?)
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "tokio::spawn that is not awaited",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    tokio::spawn(async move { keys.data_key().await });
                    Ok(seal_all(&test_key(), payloads)?)
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "a request that is not awaited, and a sleep that lasts as long",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let stall = GUESS;
                    spawn_blocking(move || keys.data_key_blocking());
                    sleep(stall + Duration::from_millis(5)).await;
                    Ok(seal_all(&test_key(), payloads)?)
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "another key if the call takes longer than 50 ms",
            make: |keys| falls_back(keys, Duration::from_millis(50)),
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "another key if the call takes longer than 1 s",
            make: |keys| falls_back(keys, Duration::from_secs(1)),
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "does not wait every 100th call",
            make: |keys| {
                let calls = Arc::new(AtomicUsize::new(1));
                encodes(keys, move |keys, payloads| {
                    let waits = !calls.fetch_add(1, Relaxed).is_multiple_of(100);
                    async move {
                        if waits {
                            return good(keys, payloads).await;
                        }
                        Ok(seal_all(&test_key(), payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "asks for a key in the background, uses another until then",
            make: |keys| {
                let cache = Arc::new(OnceCell::new());
                encodes(keys, move |keys, payloads| {
                    let cache = Arc::clone(&cache);
                    async move {
                        if let Some(key) = cache.get() {
                            return Ok(seal_all(key, payloads)?);
                        }
                        tokio::spawn(async move {
                            cache.get_or_try_init(|| keys.data_key()).await.cloned()
                        });
                        Ok(seal_all(&test_key(), payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
    ]
}

/// The output is not what it should be.
fn treats_payloads_wrongly() -> Vec<Variant> {
    vec![
        Variant {
            name: "passes plaintext through",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    keys.data_key().await?;
                    Ok(payloads)
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "has a key of its own",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    keys.data_key().await?;
                    Ok(seal_all(Keyring::test_key().active(), payloads)?)
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY])),
        },
        Variant {
            name: "seals equal payloads to equal bytes",
            make: |keys| {
                let memo = Arc::new(StdMutex::new(HashMap::new()));
                encodes(keys, move |keys, payloads| {
                    let memo = Arc::clone(&memo);
                    async move {
                        let key = keys.data_key().await?;
                        let mut memo = memo.lock().unwrap_or_else(PoisonError::into_inner);
                        let mut sealed = |payload: Payload| -> Result<Payload, _> {
                            let new = seal(&key, &payload)?;
                            Ok(memo.entry(payload.data).or_insert(new).clone())
                        };
                        payloads.into_iter().map(&mut sealed).collect()
                    }
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "seals equal calls to equal bytes",
            make: |keys| {
                let memo = Arc::new(StdMutex::new(Vec::<(Vec<Payload>, Vec<Payload>)>::new()));
                encodes(keys, move |keys, payloads| {
                    let memo = Arc::clone(&memo);
                    async move {
                        let key = keys.data_key().await?;
                        let mut memo = memo.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some((_, sealed)) = memo.iter().find(|(plain, _)| *plain == payloads)
                        {
                            return Ok(sealed.clone());
                        }
                        let sealed = seal_all(&key, payloads.clone())?;
                        memo.push((payloads, sealed.clone()));
                        Ok(sealed)
                    }
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "seals only the first payload",
            make: |keys| {
                encodes(keys, |keys, mut payloads| async move {
                    let key = keys.data_key().await?;
                    if let Some(first) = payloads.first_mut() {
                        *first = seal(&key, first)?;
                    }
                    Ok(payloads)
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "leaves large payloads as they are",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let sealed = payloads.into_iter().map(|payload| {
                        if payload.data.len() > 1 << 20 {
                            return Ok(payload);
                        }
                        Ok(seal(&key, &payload)?)
                    });
                    sealed.collect()
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "drops empty payloads",
            make: |keys| {
                encodes(keys, |keys, mut payloads| async move {
                    payloads.retain(|payload| !payload.data.is_empty());
                    good(keys, payloads).await
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "drops what it has had in the same call",
            make: |keys| {
                encodes(keys, |keys, mut payloads| async move {
                    payloads.dedup();
                    good(keys, payloads).await
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "panics where there is no payload",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let mut sealed = vec![seal(&key, &payloads[0])?];
                    sealed.extend(seal_all(&key, payloads[1..].to_vec())?);
                    Ok(sealed)
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "a key for each payload, in a JoinSet: the sooner one first",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let mut tasks = JoinSet::new();
                    for payload in payloads {
                        tasks.spawn(good(keys.clone(), vec![payload]));
                    }
                    let mut sealed = Vec::new();
                    while let Some(one) = tasks.join_next().await {
                        sealed.extend(one??);
                    }
                    Ok(sealed)
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "a key for each payload, FuturesUnordered: the sooner one first",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let mut calls: FuturesUnordered<_> = payloads
                        .into_iter()
                        .map(|payload| good(keys.clone(), vec![payload]))
                        .collect();
                    let mut sealed = Vec::new();
                    while let Some(one) = calls.next().await {
                        sealed.extend(one?);
                    }
                    Ok(sealed)
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "seals on many threads: the sooner one first",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let mut tasks = JoinSet::new();
                    for payload in payloads {
                        let key = key.clone();
                        tasks.spawn_blocking(move || seal(&key, &payload));
                    }
                    let mut sealed = Vec::new();
                    while let Some(one) = tasks.join_next().await {
                        sealed.push(one??);
                    }
                    Ok(sealed)
                })
            },
            // With two equal payloads, and one thread, order can't be lost.
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "calls that wait take each other's payloads",
            make: |keys| {
                let waiting = Arc::new(StdMutex::new(Vec::new()));
                encodes(keys, move |keys, payloads| {
                    let waiting = Arc::clone(&waiting);
                    waiting.lock().unwrap_or_else(PoisonError::into_inner).push(payloads);
                    async move {
                        let key = keys.data_key().await?;
                        let payloads = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                        Ok(seal_all(&key, payloads.unwrap_or_default())?)
                    }
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "mixes up calls every 100th time",
            make: |keys| {
                let (calls, last) = (Arc::new(AtomicUsize::new(1)), Arc::new(StdMutex::default()));
                encodes(keys, move |keys, payloads| {
                    let mixes = calls.fetch_add(1, Relaxed).is_multiple_of(100);
                    let last: Arc<StdMutex<Vec<Payload>>> = Arc::clone(&last);
                    async move {
                        let sealed = good(keys, payloads).await?;
                        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                        let before = std::mem::replace(&mut *last, sealed.clone());
                        Ok(if mixes { before } else { sealed })
                    }
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "leaves the metadata readable",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let sealed = payloads.into_iter().map(|payload| {
                        let mut sealed = seal(&key, &payload)?;
                        for (name, value) in payload.metadata {
                            sealed.metadata.entry(name).or_insert(value);
                        }
                        Ok(sealed)
                    });
                    sealed.collect()
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "puts the data into the metadata",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let sealed = payloads.into_iter().map(|payload| {
                        let mut sealed = seal(&key, &payload)?;
                        sealed.metadata.insert("debug".to_owned(), payload.data);
                        Ok(sealed)
                    });
                    sealed.collect()
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "decode passes on what it can't open",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let mut opened = Vec::new();
                    for payload in payloads {
                        match opens(keys.clone(), vec![payload.clone()]).await {
                            Ok(one) => opened.extend(one),
                            Err(_) => opened.push(payload),
                        }
                    }
                    Ok(opened)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT])),
        },
        Variant {
            name: "decode drops what it can't open",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let mut opened = Vec::new();
                    for payload in payloads {
                        opened.extend(opens(keys.clone(), vec![payload]).await.unwrap_or_default());
                    }
                    Ok(opened)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT])),
        },
        Variant {
            name: "decode opens with the active key whatever key is named",
            make: |keys| {
                codec(keys, good, |keys, mut payloads| async move {
                    for payload in &mut payloads {
                        if let Some(id) = payload.metadata.get_mut(codec_kit::KEY_ID) {
                            *id = keys.data_key().await?.id().into();
                        }
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "decode refuses what is not encrypted",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    if payloads.iter().any(|p| !p.metadata.contains_key(codec_kit::KEY_ID)) {
                        return Err("not encrypted".into());
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT])),
        },
    ]
}

/// They do not return the key service's errors.
fn hides_errors() -> Vec<Variant> {
    vec![
        Variant {
            name: "an error: plaintext",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let Ok(key) = keys.data_key().await else { return Ok(payloads) };
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "an error: another key",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await;
                    let key = key.unwrap_or_else(|_| test_key());
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "an error: the last key there was",
            make: |keys| {
                let last = Arc::new(StdMutex::new(None::<DataKey>));
                encodes(keys, move |keys, payloads| {
                    let last = Arc::clone(&last);
                    async move {
                        let key = keys.data_key().await;
                        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                        let key = match (key, &*last) {
                            (Ok(key), _) => last.insert(key).clone(),
                            (Err(_), Some(last)) => last.clone(),
                            (Err(error), None) => return Err(error.into()),
                        };
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "an error: no payload",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let Ok(key) = keys.data_key().await else { return Ok(Vec::new()) };
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "an error: decode passes on what it has no key for",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let key_service = opens(keys, payloads.clone()).await;
                    Ok(match key_service {
                        Err(error) if error.to_string().contains("key service failed") => payloads,
                        opened => opened?,
                    })
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "an error: a panic",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await.expect("the key service gives keys");
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "an error: every 100th time another key",
            make: |keys| {
                let calls = Arc::new(AtomicUsize::new(1));
                encodes(keys, move |keys, payloads| {
                    let hides = calls.fetch_add(1, Relaxed).is_multiple_of(100);
                    async move {
                        let key = match keys.data_key().await {
                            Err(_) if hides => test_key(),
                            key => key?,
                        };
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "an error: asks again for ever",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    loop {
                        if let Ok(key) = keys.data_key().await {
                            return Ok(seal_all(&key, payloads)?);
                        }
                    }
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "an error: asks again for ever, on its thread",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    loop {
                        if let Ok(key) = keys.data_key_blocking() {
                            return Ok(seal_all(&key, payloads)?);
                        }
                    }
                })
            },
            // It blocks even without an error. One step is enough: its thread stays for as long as the test runs.
            expected: vec![(Step::SpawnBlocking, Wrong(&[RELEASES_THREAD]))],
        },
        Variant {
            name: "an error: asks twenty times",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    for _ in 0..19 {
                        if let Ok(key) = keys.data_key().await {
                            return Ok(seal_all(&key, payloads)?);
                        }
                        sleep(Duration::from_millis(20)).await;
                    }
                    good(keys, payloads).await
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "an error: the same one for ever",
            make: |keys| {
                let cache = Arc::new(OnceCell::new());
                encodes(keys, move |keys, payloads| {
                    let cache = Arc::clone(&cache);
                    async move {
                        let call = || async { keys.data_key().await.map_err(|e| e.to_string()) };
                        Ok(seal_all(
                            cache.get_or_init(call).await.as_ref().map_err(String::as_str)?,
                            payloads,
                        )?)
                    }
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "a key fetched when the codec is made, or never",
            make: |keys| {
                let key = Arc::new(keys.data_key_blocking().map_err(|error| error.to_string()));
                encodes(keys, move |_, payloads| {
                    let key = Arc::clone(&key);
                    async move { Ok(seal_all((*key).as_ref().map_err(String::as_str)?, payloads)?) }
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
    ]
}

/// Cancelled calls continue, or their place is never freed.
fn leaves_something() -> Vec<Variant> {
    vec![
        Variant {
            name: "a task for each call that never ends",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    tokio::spawn(async {
                        loop {
                            sleep(Duration::from_secs(60)).await;
                        }
                    });
                    good(keys, payloads).await
                })
            },
            expected: both(Wrong(&[LEAVES_NOTHING])),
        },
        Variant {
            name: "ten places, and a cancelled call keeps its place",
            make: |keys| {
                let (taken, free) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
                encodes(keys, move |keys, payloads| {
                    let (taken, free) = (Arc::clone(&taken), Arc::clone(&free));
                    async move {
                        while taken
                            .fetch_update(Relaxed, Relaxed, |taken| {
                                (taken < 10).then_some(taken + 1)
                            })
                            .is_err()
                        {
                            free.notified().await;
                        }
                        let sealed = good(keys, payloads).await;
                        taken.fetch_sub(1, Relaxed);
                        free.notify_one();
                        sealed
                    }
                })
            },
            expected: both(Wrong(&[LEAVES_NOTHING])),
        },
    ]
}

/// The key that the judge's key services give most of the time, without asking any of them.
fn test_key() -> DataKey {
    Keyring::test_key().active().clone()
}

async fn opens_on_the_pool(keys: KeyService, payloads: Vec<Payload>) -> Done {
    let mut found = DataKeys::default();
    for id in key_ids(&payloads) {
        let keys = keys.clone();
        found.insert(spawn_blocking(move || keys.data_key_by_id_blocking(&id)).await??);
    }
    Ok(open_all(&found, payloads)?)
}

/// As it should be.
async fn good(keys: KeyService, payloads: Vec<Payload>) -> Done {
    Ok(seal_all(&keys.data_key().await?, payloads)?)
}

/// As it was found.
async fn blocking(keys: KeyService, payloads: Vec<Payload>) -> Done {
    Ok(seal_all(&keys.data_key_blocking()?, payloads)?)
}

fn new_runtime() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be started")
}

fn falls_back(keys: KeyService, after: Duration) -> AnyCodec {
    encodes(keys, move |keys, payloads| async move {
        let key = match timeout(after, keys.data_key()).await {
            Ok(key) => key?,
            Err(_) => test_key(),
        };
        Ok(seal_all(&key, payloads)?)
    })
}
