//! Codecs for the last step that cache keys wrongly.

use std::{
    collections::{HashMap, HashSet},
    slice,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use codec_kit::{
    AnyCodec, DataKey, DataKeys, KeyService, Payload, key_ids, open, open_all, seal_all,
};
use futures::{TryStreamExt, stream::FuturesUnordered};
use judge::promises::{
    KEEPS_KEYS, KEEPS_KEYS_APART, LETS_KEYS_EXPIRE, PASSES_ERRORS_ON, RELEASES_IT_ALWAYS,
    RELEASES_THREAD, SHARES_CALLS,
};
use moka::future::Cache;
use tokio::{
    sync::{Mutex, OnceCell, RwLock, watch},
    time::sleep,
};

use super::{Cached, ask, ask_blocking, last, lock};
use crate::{
    AnyError, Done, Variant,
    Verdict::{RightAtAnyCost, Wrong, WrongSomehow},
    Which, codec, gets_keys,
};

pub(super) fn variants() -> Vec<Variant> {
    [blocks(), mixes_up_keys(), expires_late(), asks_too_often(), caches_errors()]
        .into_iter()
        .flatten()
        .collect()
}

type Key = Result<DataKey, AnyError>;

/// They block where the first request is long over.
fn blocks() -> Vec<Variant> {
    vec![
        Variant {
            name: "cache: every request after the first blocks",
            make: |keys| {
                let (slots, asked) = (Slots::default(), Arc::new(StdMutex::new(HashSet::new())));
                gets_keys(keys, move |keys, which| {
                    let first = lock(&asked).insert(which.clone());
                    blocks_unless(first, slots.clone(), keys, which)
                })
            },
            expected: last(Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "cache: every request after the first one of all keys blocks",
            make: |keys| {
                let (slots, asked) = (Slots::default(), Arc::new(AtomicBool::new(false)));
                gets_keys(keys, move |keys, which| {
                    let first = !asked.swap(true, Relaxed);
                    blocks_unless(first, slots.clone(), keys, which)
                })
            },
            expected: last(Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS, KEEPS_KEYS_APART])),
        },
        Variant {
            name: "cache: a task that refreshes a key blocks",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| {
                    slots.clone().refreshed(keys, which, |keys, which| async move {
                        ask_blocking(&keys, &which)
                    })
                })
            },
            expected: last(Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "cache: a task that refreshes keys holds the lock of all",
            make: |keys| {
                let (slots, cache) = (Slots::default(), Arc::new(RwLock::new(HashMap::new())));
                gets_keys(keys, move |keys, which| {
                    let (slots, cache): (_, Arc<RwLock<HashMap<Which, Cached>>>) =
                        (slots.clone(), Arc::clone(&cache));
                    async move {
                        let cached =
                            cache.read().await.get(&which).cloned().filter(Cached::is_valid);
                        let Some(cached) = cached else {
                            let new = slots.cached(&keys, &which).await?;
                            cache.write().await.insert(which, new.clone());
                            return Ok(new.key);
                        };
                        if cached.is_due() {
                            tokio::spawn(async move {
                                let Ok(mut cache) = cache.try_write() else { return };
                                if let Ok(new) = Cached::ask(&keys, &which).await {
                                    cache.insert(which, new);
                                }
                            });
                        }
                        Ok(cached.key)
                    }
                })
            },
            expected: last(Wrong(&[KEEPS_KEYS_APART, KEEPS_KEYS])),
        },
        Variant {
            name: "cache: a thread that refreshes keys holds a std lock, and calls wait for that",
            make: |keys| {
                let (slots, cache) = (Slots::default(), Arc::new(StdMutex::new(HashMap::new())));
                gets_keys(keys, move |keys, which| {
                    let (slots, cache): (_, Arc<StdMutex<HashMap<Which, Cached>>>) =
                        (slots.clone(), Arc::clone(&cache));
                    async move {
                        let cached = lock(&cache).get(&which).cloned().filter(Cached::is_valid);
                        let Some(cached) = cached else {
                            let new = slots.cached(&keys, &which).await?;
                            lock(&cache).insert(which, new.clone());
                            return Ok(new.key);
                        };
                        if cached.is_due() {
                            thread::spawn(move || {
                                let Ok(mut cache) = cache.try_lock() else { return };
                                if let Ok(key) = ask_blocking(&keys, &which) {
                                    cache.insert(which, Cached::new(&keys, key));
                                }
                            });
                        }
                        Ok(cached.key)
                    }
                })
            },
            expected: last(Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
    ]
}

/// They use or find the wrong key.
fn mixes_up_keys() -> Vec<Variant> {
    vec![
        Variant {
            name: "cache: room for one key only",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| {
                    lock(&slots.slots).retain(|of, _| *of == which);
                    slots.clone().get(keys, which)
                })
            },
            expected: last(Wrong(&[KEEPS_KEYS_APART, KEEPS_KEYS])),
        },
        Variant {
            name: "cache: encrypts with the key it decrypted with last",
            make: |keys| {
                let (slots, last) = (Slots::default(), Arc::new(StdMutex::new(None::<Cached>)));
                gets_keys(keys, move |keys, which| {
                    let (slots, last) = (slots.clone(), Arc::clone(&last));
                    async move {
                        let newest = lock(&last).clone();
                        if let (None, Some(key)) = (&which, newest.and_then(|last| last.if_valid()))
                        {
                            return Ok(key);
                        }
                        let by_id = which.is_some();
                        let key = slots.get(keys.clone(), which).await?;
                        if by_id {
                            *lock(&last) = Some(Cached::new(&keys, key.clone()));
                        }
                        Ok(key)
                    }
                })
            },
            expected: last(WrongSomehow),
        },
        Variant {
            name: "cache: each use, to encrypt or to decrypt, gives the key by id another lifetime",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| {
                    let slots = slots.clone();
                    async move {
                        let key = slots.clone().get(keys.clone(), which).await?;
                        *slots.slot(&Some(key.id().to_owned())).lock().await =
                            Some(Cached::new(&keys, key.clone()));
                        Ok(key)
                    }
                })
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: two keys of one call that come in another order are mixed up",
            make: |keys| {
                decodes(keys, |slots, keys, payloads| async move {
                    let ids = key_ids(&payloads);
                    let asked: FuturesUnordered<_> = ids
                        .iter()
                        .map(|id| slots.clone().get(keys.clone(), Some(id.clone())))
                        .collect();
                    let came: Vec<DataKey> = asked.try_collect().await?;
                    let by_id: HashMap<_, _> = ids.into_iter().zip(came).collect();
                    let opened = payloads.into_iter().map(|payload| {
                        let id = key_ids(slice::from_ref(&payload)).pop_first().unwrap_or_default();
                        Ok(open(&by_id.get(&id).cloned().into_iter().collect(), payload)?)
                    });
                    opened.collect()
                })
            },
            expected: last(WrongSomehow),
        },
        Variant {
            name: "cache: a call with two keys asks for the first one only",
            make: |keys| {
                decodes(keys, |slots, keys, payloads| async move {
                    let mut found = DataKeys::default();
                    if let Some(id) = key_ids(&payloads).pop_first() {
                        found.insert(slots.get(keys, Some(id)).await?);
                    }
                    Ok(open_all(&found, payloads)?)
                })
            },
            expected: last(WrongSomehow),
        },
        Variant {
            name: "cache: ids are compared by their first eight characters",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| {
                    let short = which.as_ref().map(|id| id.chars().take(8).collect::<String>());
                    let slot = slots.slot(&short);
                    async move {
                        let mut cached = slot.lock().await;
                        if let Some(key) = cached.as_ref().and_then(Cached::if_valid) {
                            return Ok(key);
                        }
                        Ok(cached.insert(Cached::ask(&keys, &which).await?).key.clone())
                    }
                })
            },
            expected: last(WrongSomehow),
        },
    ]
}

/// They use a key beyond its lifetime.
fn expires_late() -> Vec<Variant> {
    vec![
        Variant {
            name: "cache: a use shortly before its expiry gives a key another lifetime",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| {
                    let slot = slots.slot(&which);
                    async move {
                        let mut cached = slot.lock().await;
                        if let Some(cached) = &mut *cached
                            && let Some(key) = cached.if_valid()
                        {
                            if cached.came.elapsed() > cached.lifetime.mul_f64(0.8) {
                                cached.came = Instant::now();
                            }
                            return Ok(key);
                        }
                        Ok(cached.insert(Cached::ask(&keys, &which).await?).key.clone())
                    }
                })
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: an error gives a key another lifetime",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| {
                    let slot = slots.slot(&which);
                    async move {
                        let mut cached = slot.lock().await;
                        if let Some(key) = cached.as_ref().and_then(Cached::if_valid) {
                            return Ok(key);
                        }
                        match (Cached::ask(&keys, &which).await, &mut *cached) {
                            (Ok(new), _) => *cached = Some(new),
                            (Err(_), Some(old)) => old.came = Instant::now(),
                            (Err(error), None) => return Err(error),
                        }
                        cached
                            .as_ref()
                            .map(|cached| cached.key.clone())
                            .ok_or_else(|| "no key".into())
                    }
                })
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "cache: keys are used for half as long again",
            make: |keys| lives(keys, |lifetime, _| lifetime.mul_f64(1.5)),
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: keys are used for a second at least",
            make: |keys| lives(keys, |lifetime, _| lifetime.max(Duration::from_secs(1))),
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: keys to decrypt with never expire",
            make: |keys| {
                lives(
                    keys,
                    |lifetime, which| if which.is_some() { Duration::MAX } else { lifetime },
                )
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: the key to encrypt with never expires",
            make: |keys| {
                lives(
                    keys,
                    |lifetime, which| if which.is_none() { Duration::MAX } else { lifetime },
                )
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: all keys expire together, a lifetime after the last one came",
            make: |keys| {
                let (slots, cache) = (Slots::default(), Arc::new(StdMutex::new(HashMap::new())));
                gets_keys(keys, move |keys, which| {
                    let (slots, cache): (_, Arc<StdMutex<HashMap<Which, Cached>>>) =
                        (slots.clone(), Arc::clone(&cache));
                    async move {
                        let any_valid = lock(&cache).values().any(Cached::is_valid);
                        let cached = lock(&cache).get(&which).cloned().filter(|_| any_valid);
                        if let Some(cached) = cached {
                            return Ok(cached.key);
                        }
                        let new = slots.cached(&keys, &which).await?;
                        lock(&cache).insert(which, new.clone());
                        Ok(new.key)
                    }
                })
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: decode remembers what it has decrypted",
            make: |keys| {
                let opened = Cache::new(1000);
                decodes(keys, move |slots, keys, payloads| {
                    let known: Cache<Vec<Vec<u8>>, Vec<Payload>> = opened.clone();
                    async move {
                        let call: Vec<_> =
                            payloads.iter().map(|payload| payload.data.clone()).collect();
                        if let Some(opened) = known.get(&call).await {
                            return Ok(opened);
                        }
                        let mut found = DataKeys::default();
                        for id in key_ids(&payloads) {
                            found.insert(slots.clone().get(keys.clone(), Some(id)).await?);
                        }
                        let opened = open_all(&found, payloads)?;
                        known.insert(call, opened.clone()).await;
                        Ok(opened)
                    }
                })
            },
            // It returns plaintext whose key has expired, and looks at the data alone, whatever the
            // metadata says.
            expected: last(WrongSomehow),
        },
    ]
}

/// They ask more often than once, or keep others waiting.
fn asks_too_often() -> Vec<Variant> {
    vec![
        Variant {
            name: "cache: callers share the first request, and after its expiry each makes one",
            make: |keys| {
                let first = Arc::new(StdMutex::new(HashMap::<Which, Arc<OnceCell<Cached>>>::new()));
                let later = Cache::builder().time_to_live(keys.key_lifetime()).build();
                gets_keys(keys, move |keys, which| {
                    let first = Arc::clone(lock(&first).entry(which.clone()).or_default());
                    let later: Cache<Which, DataKey> = later.clone();
                    async move {
                        let cached = first.get_or_try_init(|| Cached::ask(&keys, &which)).await?;
                        if let Some(key) = cached.if_valid() {
                            return Ok(key);
                        }
                        if let Some(key) = later.get(&which).await {
                            return Ok(key);
                        }
                        let key = ask(&keys, &which).await?;
                        later.insert(which, key.clone()).await;
                        Ok(key)
                    }
                })
            },
            expected: last(Wrong(&[SHARES_CALLS])),
        },
        Variant {
            name: "cache: each call in the second half of a key's lifetime starts a refresh",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| {
                    let slots = slots.clone();
                    async move {
                        let cached = slots.cached(&keys, &which).await?;
                        if cached.is_due() {
                            tokio::spawn(async move {
                                if let Ok(new) = Cached::ask(&keys, &which).await {
                                    *slots.slot(&which).lock().await = Some(new);
                                }
                            });
                        }
                        Ok(cached.key)
                    }
                })
            },
            expected: last(Wrong(&[SHARES_CALLS])),
        },
        Variant {
            name: "cache: a refresh that fails is tried again at once, for as long as it fails",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| {
                    slots.clone().refreshed(keys, which, |keys, which| async move {
                        loop {
                            if let Ok(key) = ask(&keys, &which).await {
                                return Ok(key);
                            }
                            sleep(Duration::from_millis(1)).await;
                        }
                    })
                })
            },
            expected: last(WrongSomehow),
        },
        Variant {
            name: "cache: followers fail if the caller they wait for is cancelled",
            make: |keys| {
                let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
                let waiting = Arc::new(StdMutex::new(HashMap::new()));
                gets_keys(keys, move |keys, which| {
                    let cache: Cache<Which, DataKey> = cache.clone();
                    let waiting: Waiting = Arc::clone(&waiting);
                    async move {
                        if let Some(key) = cache.get(&which).await {
                            return Ok(key);
                        }
                        let leader =
                            lock(&waiting).get(&which).cloned().filter(|w| w.has_changed().is_ok());
                        if let Some(mut answer) = leader {
                            let answer = answer.wait_for(Option::is_some).await?.clone();
                            return answer.ok_or("no answer")?.map_err(Into::into);
                        }
                        let (answer, follow) = watch::channel(None);
                        lock(&waiting).insert(which.clone(), follow);
                        let key = ask(&keys, &which).await.map_err(|error| error.to_string());
                        if let Ok(key) = &key {
                            cache.insert(which.clone(), key.clone()).await;
                        }
                        lock(&waiting).remove(&which);
                        answer.send_replace(Some(key.clone()));
                        Ok(key?)
                    }
                })
            },
            expected: last(Wrong(&[SHARES_CALLS, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "cache: one lock for all keys that have expired",
            make: |keys| {
                let slots = Slots::default();
                let (known, expired) = (Arc::new(StdMutex::new(HashSet::new())), Arc::default());
                gets_keys(keys, move |keys, which| {
                    let (slots, known) = (slots.clone(), Arc::clone(&known));
                    let expired: Arc<Mutex<()>> = Arc::clone(&expired);
                    async move {
                        let again = !lock(&known).insert(which.clone());
                        let valid =
                            slots.slot(&which).lock().await.as_ref().is_some_and(Cached::is_valid);
                        let _one_at_a_time =
                            if again && !valid { Some(expired.lock().await) } else { None };
                        slots.get(keys, which).await
                    }
                })
            },
            expected: last(Wrong(&[KEEPS_KEYS_APART])),
        },
        Variant {
            name: "cache: two calls at a time, those with a cached key included",
            make: |keys| {
                let (slots, places) = (Slots::default(), Arc::new(tokio::sync::Semaphore::new(2)));
                gets_keys(keys, move |keys, which| {
                    let (slots, places) = (slots.clone(), Arc::clone(&places));
                    async move {
                        let _place = places.acquire().await?;
                        slots.get(keys, which).await
                    }
                })
            },
            expected: last(Wrong(&[KEEPS_KEYS_APART])),
        },
    ]
}

type Waiting = Arc<StdMutex<HashMap<Which, watch::Receiver<Option<Result<DataKey, String>>>>>>;

/// They cache errors.
fn caches_errors() -> Vec<Variant> {
    vec![
        Variant {
            name: "cache: an error is an error for a lifetime",
            make: |keys| fails_for(keys, |keys| keys.key_lifetime()),
            expected: last(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            // A second is short, and the exercise says to cache no error.
            name: "cache: an error is an error for a second",
            make: |keys| fails_for(keys, |_| Duration::from_secs(1)),
            expected: last(RightAtAnyCost),
        },
        Variant {
            name: "cache: an unknown key is unknown for ever",
            make: |keys| {
                let (slots, unknown) = (Slots::default(), Arc::new(StdMutex::new(HashSet::new())));
                gets_keys(keys, move |keys, which| {
                    let (slots, unknown) = (slots.clone(), Arc::clone(&unknown));
                    async move {
                        if lock(&unknown).contains(&which) {
                            return Err("that key is not known".into());
                        }
                        let key = slots.get(keys, which.clone()).await;
                        if key.is_err() && which.is_some() {
                            lock(&unknown).insert(which);
                        }
                        key
                    }
                })
            },
            // It takes a failure of the key service for a key that is not known.
            expected: last(Wrong(&[PASSES_ERRORS_ON])),
        },
    ]
}

/// After an error for a key, nothing but that error for some time.
fn fails_for(keys: KeyService, time: fn(&KeyService) -> Duration) -> AnyCodec {
    let slots = Slots::default();
    let failed = Arc::new(StdMutex::new(HashMap::<Which, (Instant, String)>::new()));
    gets_keys(keys, move |keys, which| {
        let (slots, failed) = (slots.clone(), Arc::clone(&failed));
        async move {
            let before = lock(&failed).get(&which).cloned();
            if let Some((when, error)) = before
                && when.elapsed() < time(&keys)
            {
                return Err(error.into());
            }
            let key = slots.get(keys, which.clone()).await;
            if let Err(error) = &key {
                lock(&failed).insert(which, (Instant::now(), error.to_string()));
            }
            key
        }
    })
}

/// Asks for a key that is not cached, and blocks the thread for it except the first time.
async fn blocks_unless(first: bool, slots: Slots, keys: KeyService, which: Which) -> Key {
    if first {
        return slots.get(keys, which).await;
    }
    let blocking = async { ask_blocking(&keys, &which) };
    Ok(slots.cached_or(&keys, &which, blocking).await?.key)
}

/// The codec that encodes as it should, and decodes so.
fn decodes<F>(
    keys: KeyService,
    decode: impl Fn(Slots, KeyService, Vec<Payload>) -> F + Send + Sync + 'static,
) -> AnyCodec
where
    F: Future<Output = Done> + Send + 'static,
{
    let slots = Slots::default();
    let sealing = slots.clone();
    codec(
        keys,
        move |keys, payloads| {
            let key = sealing.clone().get(keys, None);
            async move { Ok(seal_all(&key.await?, payloads)?) }
        },
        move |keys, payloads| decode(slots.clone(), keys, payloads),
    )
}

/// A cache whose keys are used for so long, by their lifetime and which they are.
fn lives(keys: KeyService, time: fn(Duration, &Which) -> Duration) -> AnyCodec {
    let slots = Slots::default();
    gets_keys(keys, move |keys, which| {
        let slot = slots.slot(&which);
        async move {
            let mut cached = slot.lock().await;
            let time = time(keys.key_lifetime(), &which);
            if let Some(key) = cached.as_ref().and_then(|cached| cached.if_younger(time)) {
                return Ok(key);
            }
            Ok(cached.insert(Cached::ask(&keys, &which).await?).key.clone())
        }
    })
}

/// A lock for each key, which is right by itself.
#[derive(Clone, Default)]
pub(super) struct Slots {
    slots: Arc<StdMutex<HashMap<Which, Slot>>>,
    refreshing: Arc<StdMutex<HashSet<Which>>>,
}

type Slot = Arc<Mutex<Option<Cached>>>;

impl Slots {
    pub(super) fn slot(&self, which: &Which) -> Slot {
        Arc::clone(lock(&self.slots).entry(which.clone()).or_default())
    }

    async fn get(self, keys: KeyService, which: Which) -> Key {
        Ok(self.cached(&keys, &which).await?.key)
    }

    async fn cached(&self, keys: &KeyService, which: &Which) -> Result<Cached, AnyError> {
        self.cached_or(keys, which, ask(keys, which)).await
    }

    async fn cached_or(
        &self,
        keys: &KeyService,
        which: &Which,
        ask: impl Future<Output = Key>,
    ) -> Result<Cached, AnyError> {
        let slot = self.slot(which);
        let mut cached = slot.lock().await;
        match &*cached {
            Some(cached) if cached.if_valid().is_some() => Ok(cached.clone()),
            _ => Ok(cached.insert(Cached::new(keys, ask.await?)).clone()),
        }
    }

    /// In the second half of its lifetime, a task asks for a key's successor, with `ask`.
    async fn refreshed<F>(
        self,
        keys: KeyService,
        which: Which,
        ask: fn(KeyService, Which) -> F,
    ) -> Key
    where
        F: Future<Output = Key> + Send + 'static,
    {
        let cached = self.cached(&keys, &which).await?;
        if cached.is_due() && lock(&self.refreshing).insert(which.clone()) {
            tokio::spawn(async move {
                if let Ok(key) = ask(keys.clone(), which.clone()).await {
                    *self.slot(&which).lock().await = Some(Cached::new(&keys, key));
                }
                lock(&self.refreshing).remove(&which);
            });
        }
        Ok(cached.key)
    }
}
