//! Codecs that block as many do in their first attempt.

use std::{
    sync::{Arc, Condvar, Mutex as StdMutex, OnceLock, mpsc},
    thread,
    time::Duration,
};

use codec_kit::{DataKey, DataKeys, KeyService, key_ids, open_all, seal_all};
use futures::{
    executor,
    future::{FutureExt, join_all},
};
use judge::promises::{
    ANSWERS_PROMPTLY, NEEDS_NO_THREAD, PASSES_ERRORS_ON, PAYLOADS, RELEASES_IT_ALWAYS,
    RELEASES_THREAD, WAITS_FOR_KEY, WIRE_FORMAT,
};
use solutions::Step;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Mutex, oneshot},
    task::{block_in_place, spawn_blocking},
    time::timeout,
};

use super::{Cached, ask, ask_blocking, blocking, good, last, lock, opens_blocking, second};
use crate::{
    AnyError, Variant,
    Verdict::{self, Wrong, WrongSomehow},
    Which, both, codec, encodes, gets_keys, opens,
};

const BLOCKS: Verdict = Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS]);
/// tokio refuses, with the first call.
const PANICS: Verdict = Wrong(&[WIRE_FORMAT, ANSWERS_PROMPTLY]);

pub(super) fn variants() -> Vec<Variant> {
    [blocks_on_async(), waits_for_threads(), locks()].into_iter().flatten().collect()
}

fn blocks_on_async() -> Vec<Variant> {
    vec![
        Variant {
            name: "block_in_place to decode",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    block_in_place(|| executor::block_on(opens_blocking(keys, payloads)))
                })
            },
            expected: both(PANICS),
        },
        Variant {
            // The worker's main task waits all the same, so timers in that task are late.
            name: "block_in_place on a runtime with several threads, async otherwise",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    match Handle::current().runtime_flavor() {
                        RuntimeFlavor::CurrentThread => good(keys, payloads).await,
                        _ => {
                            let key = block_in_place(|| keys.data_key_blocking())?;
                            Ok(seal_all(&key, payloads)?)
                        }
                    }
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "Handle::block_on to decode",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    Handle::current().block_on(opens(keys, payloads))
                })
            },
            expected: both(PANICS),
        },
        Variant {
            name: "blocking_recv of a tokio channel",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let (answer, key) = oneshot::channel();
                    spawn_blocking(move || answer.send(keys.data_key_blocking()));
                    Ok(seal_all(&key.blocking_recv()??, payloads)?)
                })
            },
            expected: both(PANICS),
        },
        Variant {
            name: "tokio::sync::Mutex::blocking_lock",
            make: |keys| {
                let cached = Arc::new(Mutex::new(None::<DataKey>));
                encodes(keys, move |keys, payloads| {
                    let cached = Arc::clone(&cached);
                    async move {
                        let key = keys.data_key().await?;
                        let mut cached = cached.blocking_lock();
                        Ok(seal_all(cached.insert(key), payloads)?)
                    }
                })
            },
            expected: both(PANICS),
        },
        Variant {
            name: "futures::executor::block_on around spawn_blocking",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = executor::block_on(spawn_blocking(move || keys.data_key_blocking()));
                    Ok(seal_all(&key??, payloads)?)
                })
            },
            // Where one task polls many such calls, it uses up tokio's budget for a task. Then no
            // poll of a JoinHandle is ready any more, and block_on never ends.
            expected: both(Wrong(&[PAYLOADS, RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "futures::executor::block_on around the blocking call",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    executor::block_on(blocking(keys, payloads))
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "futures::executor::block_on to decode",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    executor::block_on(opens(keys, payloads))
                })
            },
            // The timer that it waits for needs the thread that it blocks.
            expected: both(Wrong(&[PAYLOADS, WAITS_FOR_KEY, RELEASES_IT_ALWAYS, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "a timeout around the blocking call",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let call = async { keys.data_key_blocking() };
                    Ok(seal_all(&timeout(Duration::from_secs(5), call).await??, payloads)?)
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "join_all of blocking calls to decode",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let ids = key_ids(&payloads);
                    let calls = ids.iter().map(|id| async { keys.data_key_by_id_blocking(id) });
                    let found: DataKeys =
                        join_all(calls).await.into_iter().collect::<Result<_, _>>()?;
                    Ok(open_all(&found, payloads)?)
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "spawn_blocking to decode, blocks to encode",
            make: |keys| {
                codec(keys, blocking, |keys, payloads| async move {
                    spawn_blocking(|| executor::block_on(opens_blocking(keys, payloads))).await?
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "spawn_blocking for the encryption, and the wait for the key blocks",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key_blocking()?;
                    Ok(spawn_blocking(move || seal_all(&key, payloads)).await??)
                })
            },
            expected: both(BLOCKS),
        },
    ]
}

fn waits_for_threads() -> Vec<Variant> {
    vec![
        Variant {
            name: "joins a thread of its own to decode",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let opened =
                        thread::spawn(|| executor::block_on(opens_blocking(keys, payloads))).join();
                    opened.map_err(|_| "the thread panicked")?
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "thread::scope: a thread for each of a call's keys",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let ids = key_ids(&payloads);
                    let found: DataKeys = thread::scope(|scope| {
                        let calls: Vec<_> = ids
                            .iter()
                            .map(|id| scope.spawn(|| keys.data_key_by_id_blocking(id)))
                            .collect();
                        calls
                            .into_iter()
                            .filter_map(|call| call.join().ok())
                            .collect::<Result<_, _>>()
                    })?;
                    Ok(open_all(&found, payloads)?)
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "recv of a std channel",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let (answer, key) = mpsc::channel();
                    spawn_blocking(move || answer.send(keys.data_key_blocking()));
                    Ok(seal_all(&key.recv()??, payloads)?)
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "recv of a std channel that a thread of its own answers",
            make: |keys| {
                let (ask, asked) = mpsc::channel::<mpsc::Sender<_>>();
                let service = keys.clone();
                thread::spawn(move || {
                    for answer in asked {
                        answer.send(service.data_key_blocking()).ok();
                    }
                });
                encodes(keys, move |_, payloads| {
                    let ask = ask.clone();
                    async move {
                        let (answer, key) = mpsc::channel();
                        ask.send(answer)?;
                        Ok(seal_all(&key.recv()??, payloads)?)
                    }
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "a Condvar that a thread notifies",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let answered = Arc::new((StdMutex::new(None), Condvar::new()));
                    let asked = Arc::clone(&answered);
                    thread::spawn(move || {
                        *lock(&asked.0) = Some(keys.data_key_blocking());
                        asked.1.notify_all();
                    });
                    let mut key = lock(&answered.0);
                    loop {
                        match key.take() {
                            Some(key) => return Ok(seal_all(&key?, payloads)?),
                            None => {
                                key = answered.1.wait(key).map_err(|_| "the thread panicked")?
                            }
                        }
                    }
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "a thread for each call to decode, awaited",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let (answer, opened) = oneshot::channel();
                    thread::spawn(|| {
                        answer.send(executor::block_on(opens_blocking(keys, payloads))).ok()
                    });
                    opened.await?
                })
            },
            expected: vec![(Step::Async, Wrong(&[NEEDS_NO_THREAD]))],
        },
    ]
}

#[expect(clippy::await_holding_lock, reason = "that is what is wrong with one of them")]
fn locks() -> Vec<Variant> {
    vec![
        Variant {
            name: "a std mutex that spawn_blocking holds while it waits, and calls look into",
            make: |keys| {
                let cached = Arc::new(StdMutex::new(None::<Cached>));
                encodes(keys, move |keys, payloads| {
                    let cached = Arc::clone(&cached);
                    async move {
                        // Holds the thread for as long as another call waits.
                        let valid = lock(&cached).as_ref().and_then(Cached::if_valid);
                        let key = match valid {
                            Some(key) => key,
                            None => spawn_blocking(move || asks_under(&cached, &keys)).await??,
                        };
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: second(BLOCKS),
        },
        Variant {
            name: "a std mutex that a thread holds while it waits, and calls count with",
            make: |keys| {
                let calls = Arc::new(StdMutex::new(0_u64));
                encodes(keys, move |keys, payloads| {
                    let calls = Arc::clone(&calls);
                    async move {
                        *lock(&calls) += 1;
                        let key = spawn_blocking(move || {
                            let mut calls = lock(&calls);
                            let key = keys.data_key_blocking();
                            *calls -= 1;
                            key
                        });
                        Ok(seal_all(&key.await??, payloads)?)
                    }
                })
            },
            expected: second(BLOCKS),
        },
        Variant {
            name: "a OnceLock whose first use blocks",
            make: |keys| {
                let cached = Arc::new(OnceLock::new());
                encodes(keys, move |keys, payloads| {
                    let cached = Arc::clone(&cached);
                    async move {
                        if let Some(key) = cached.get() {
                            return Ok(seal_all(key, payloads)?);
                        }
                        let key = keys.data_key_blocking()?;
                        Ok(seal_all(cached.get_or_init(|| key), payloads)?)
                    }
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "a cache behind a std mutex that is held while a key is asked for",
            make: |keys| {
                let cached = Arc::new(StdMutex::new(std::collections::HashMap::new()));
                gets_keys(keys, move |keys, which| {
                    let cached: Arc<StdMutex<std::collections::HashMap<Which, Cached>>> =
                        Arc::clone(&cached);
                    async move {
                        let mut cached = lock(&cached);
                        if let Some(key) = cached.get(&which).and_then(Cached::if_valid) {
                            return Ok(key);
                        }
                        let key = ask_blocking(&keys, &which)?;
                        cached.insert(which, Cached::new(&keys, key.clone()));
                        Ok(key)
                    }
                })
            },
            expected: last(BLOCKS),
        },
        Variant {
            name: "a cache behind a std mutex that is held across the await of spawn_blocking",
            make: |keys| {
                let cached = Arc::new(StdMutex::new(std::collections::HashMap::new()));
                gets_keys(keys, move |keys, which| {
                    let cached: Arc<StdMutex<std::collections::HashMap<Which, Cached>>> =
                        Arc::clone(&cached);
                    async move {
                        // A look at the cache waits for the thread that holds it.
                        let valid = lock(&cached).get(&which).and_then(Cached::if_valid);
                        if let Some(key) = valid {
                            return Ok(key);
                        }
                        let handle = Handle::current();
                        let call = spawn_blocking(move || {
                            handle.block_on(async {
                                let mut cached = lock(&cached);
                                let key = ask(&keys, &which).await?;
                                cached.insert(which, Cached::new(&keys, key.clone()));
                                Ok::<_, AnyError>(key)
                            })
                        });
                        call.await?
                    }
                })
            },
            expected: last(WrongSomehow),
        },
        Variant {
            name: "now_or_never, and the blocking call if the key is not there",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    match keys.data_key().now_or_never() {
                        Some(key) => Ok(seal_all(&key?, payloads)?),
                        None => blocking(keys, payloads).await,
                    }
                })
            },
            expected: both(BLOCKS),
        },
    ]
}

/// Asks for a key while others are kept from looking.
fn asks_under(cached: &StdMutex<Option<Cached>>, keys: &KeyService) -> Result<DataKey, AnyError> {
    let mut cached = lock(cached);
    if let Some(key) = cached.as_ref().and_then(Cached::if_valid) {
        return Ok(key);
    }
    Ok(cached.insert(Cached::new(keys, keys.data_key_blocking()?)).key.clone())
}
