//! Codecs that are wrong just beyond what the checks used to try, and right ones that go as far as they may.

use std::{
    array,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    future::Future,
    iter, mem,
    pin::Pin,
    slice,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use codec_kit::{
    AnyCodec, CodecFuture, DataKey, DataKeys, KeyService, KeyServiceError, Payload, PayloadCodec,
    SerializationContextData, key_ids, open_all, seal_all,
};
use futures::future::{join_all, select_ok};
use judge::promises::{
    ANSWERS_PROMPTLY, KEEPS_KEYS_APART, LEAVES_NOTHING, LETS_KEYS_EXPIRE, NEEDS_NO_THREAD,
    PASSES_ERRORS_ON, PAYLOADS, SHARES_CALLS, WAITS_FOR_KEY, WIRE_FORMAT,
};
use moka::future::Cache;
use tokio::{
    sync::{Mutex, OnceCell, OwnedMutexGuard, Semaphore, mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    Cached, ask, ask_blocking, good, last, lock, request, second, third, unseen_caching::Slots,
};
use crate::{
    AnyError, Done, Variant,
    Verdict::{RightAtAnyCost, Wrong},
    Which, both, codec, encodes, gets_keys, opens,
};

pub(super) fn variants() -> Vec<Variant> {
    [time(), size(), places(), expiry(), waiting(), right(), right_caching()]
        .into_iter()
        .flatten()
        .collect()
}

/// They wait, but not for as long as it takes.
fn time() -> Vec<Variant> {
    vec![
        Variant {
            name: "after 5 s without a key, encode returns plaintext",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    match timeout(Duration::from_secs(5), keys.data_key()).await {
                        Ok(key) => Ok(seal_all(&key?, payloads)?),
                        Err(_) => Ok(payloads),
                    }
                })
            },
            expected: both(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "after 2 s without a key, decode returns what it was given",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let given = payloads.clone();
                    let opened = timeout(Duration::from_secs(2), opens(keys, payloads)).await;
                    opened.unwrap_or(Ok(given))
                })
            },
            expected: third(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "a request that takes 3 s is dropped and made again, for ever",
            make: |keys| {
                gets_keys(keys, |keys, which| async move {
                    loop {
                        tokio::select! {
                            key = ask(&keys, &which) => return key,
                            () = sleep(Duration::from_secs(3)) => tracing::warn!("no key yet"),
                        }
                    }
                })
            },
            expected: third(Wrong(&[WAITS_FOR_KEY])),
        },
    ]
}

/// They are wrong about large calls, or those that come together.
fn size() -> Vec<Variant> {
    vec![
        Variant {
            name: "of more than 100 payloads, encode drops those after the last full hundred",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    if payloads.len() <= 100 {
                        return good(keys, payloads).await;
                    }
                    let key = keys.data_key().await?;
                    let parts = payloads.chunks_exact(100).map(|part| {
                        let (key, part) = (key.clone(), part.to_vec());
                        spawn_blocking(move || seal_all(&key, part))
                    });
                    let mut sealed = Vec::new();
                    for part in parts.collect::<Vec<_>>() {
                        sealed.extend(part.await??);
                    }
                    Ok(sealed)
                })
            },
            expected: third(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "a call of more than 64 KiB waits for its key on a thread",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    if bytes(&payloads) <= 64 << 10 {
                        return good(keys, payloads).await;
                    }
                    let work = move || seal_all(&keys.data_key_blocking()?, payloads);
                    Ok(spawn_blocking(work).await??)
                })
            },
            expected: third(Wrong(&[NEEDS_NO_THREAD])),
        },
        Variant {
            name: "cache: encode remembers what it made of calls of more than 256 KiB",
            make: |keys| {
                let cache = moka(&keys);
                let (sealing, sealed) = (cache.clone(), Cache::new(8));
                codec(
                    keys,
                    move |keys, payloads| {
                        let (cache, known) = (sealing.clone(), sealed.clone());
                        async move {
                            let key = cached(&cache, &keys, None);
                            if bytes(&payloads) <= 256 << 10 {
                                return Ok(seal_all(&key.await?, payloads)?);
                            }
                            let call = contents(&payloads);
                            if let Some(sealed) = known.get(&call).await {
                                return Ok(sealed);
                            }
                            let sealed = seal_all(&key.await?, payloads)?;
                            known.insert(call, sealed.clone()).await;
                            Ok(sealed)
                        }
                    },
                    move |keys, payloads| opens_cached(cache.clone(), keys, payloads),
                )
            },
            // The same ciphertext twice, and its key may have expired.
            expected: last(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "after a cancelled call, a batch's answers go to the wrong calls",
            make: |keys| in_batches(keys, true),
            expected: third(Wrong(&[PAYLOADS])),
        },
    ]
}

/// They let so many in at a time, and fewer after each mishap.
fn places() -> Vec<Variant> {
    vec![
        Variant {
            name: "64 requests at a time, and a cancelled call keeps its place",
            make: |keys| {
                let places = Arc::new(Semaphore::new(64));
                gets_keys(keys, move |keys, which| in_a_place(Arc::clone(&places), keys, which))
            },
            expected: third(Wrong(&[LEAVES_NOTHING])),
        },
        Variant {
            name: "32 requests at a time, and one that ends at a deadline of 1 s keeps its place",
            make: |keys| {
                let places = Arc::new(Semaphore::new(32));
                gets_keys(keys, move |keys, which| {
                    let call = in_a_place(Arc::clone(&places), keys, which);
                    async move { timeout(Duration::from_secs(1), call).await? }
                })
            },
            expected: third(Wrong(&[LEAVES_NOTHING, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "after 256 errors, each call is one too many",
            make: |keys| {
                let under_way = Arc::new(AtomicUsize::new(0));
                encodes(keys, move |keys, payloads| {
                    let under_way = Arc::clone(&under_way);
                    async move {
                        if under_way.fetch_add(1, Relaxed) >= 256 {
                            under_way.fetch_sub(1, Relaxed);
                            return Err("too many calls at a time".into());
                        }
                        let sealed = good(keys, payloads).await?;
                        under_way.fetch_sub(1, Relaxed);
                        Ok(sealed)
                    }
                })
            },
            // A cancelled call counts as well.
            expected: third(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "16 keys to decrypt with at a time, and calls with several wait for each other",
            make: |keys| {
                let places = Arc::new(Semaphore::new(16));
                codec(keys, good, move |keys, payloads| {
                    let places = Arc::clone(&places);
                    async move {
                        let (mut taken, mut found) = (Vec::new(), DataKeys::default());
                        for id in key_ids(&payloads) {
                            taken.push(places.acquire().await?);
                            found.insert(keys.data_key_by_id(&id).await?);
                        }
                        Ok(open_all(&found, payloads)?)
                    }
                })
            },
            expected: third(Wrong(&[PAYLOADS])),
        },
    ]
}

/// They are wrong about a key's age, or about what came instead of a key.
fn expiry() -> Vec<Variant> {
    vec![
        Variant {
            name: "cache: each call in the last tenth of a key's lifetime starts a refresh",
            make: |keys| {
                let cache = moka(&keys);
                gets_keys(keys, move |keys, which| {
                    let cache: Cache<_, Cached> = cache.clone();
                    async move {
                        let call = Cached::ask(&keys, &which);
                        let cached = cache.try_get_with(which.clone(), call).await;
                        let cached = cached.map_err(|error| error.to_string())?;
                        if cached.came.elapsed() > cached.lifetime.mul_f64(0.9) {
                            tokio::spawn(async move {
                                if let Ok(new) = Cached::ask(&keys, &which).await {
                                    cache.insert(which, new).await;
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
            name: "cache: each use to encrypt gives the key to decrypt with another lifetime",
            make: |keys| {
                let cache = moka(&keys);
                gets_keys(keys, move |keys, which| {
                    let cache = cache.clone();
                    async move {
                        let encrypts = which.is_none();
                        let key = cached(&cache, &keys, which).await?;
                        if encrypts {
                            cache.insert(Some(key.id().to_owned()), key.clone()).await;
                        }
                        Ok(key)
                    }
                })
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: one for each kind of context before one for all, and lifetimes add up",
            make: |keys| {
                let far = moka(&keys);
                AnyCodec::new(ByContext(array::from_fn(|_| {
                    let (near, far) = (moka(&keys), far.clone());
                    gets_keys(keys.clone(), move |keys, which| {
                        let (near, far): (Keys, _) = (near.clone(), far.clone());
                        async move {
                            let key = near.try_get_with(which.clone(), cached(&far, &keys, which));
                            Ok(key.await.map_err(Arc::unwrap_or_clone)?)
                        }
                    })
                })))
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "cache: a key that is unknown once is unknown for a lifetime",
            make: |keys| {
                let (cache, unknown) = (moka(&keys), moka(&keys));
                gets_keys(keys, move |keys, which| {
                    let (cache, unknown) = (cache.clone(), unknown.clone());
                    async move {
                        if let Some(error) = unknown.get(&which).await {
                            return Err(AnyError::from(error));
                        }
                        let key = cached(&cache, &keys, which.clone()).await;
                        if let Err(error @ KeyServiceError::UnknownKey { .. }) = &key {
                            unknown.insert(which, error.clone()).await;
                        }
                        Ok(key?)
                    }
                })
            },
            expected: last(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "cache: on an error, encrypts with whichever key it has",
            make: |keys| {
                let cache = moka(&keys);
                gets_keys(keys, move |keys, which| {
                    let cache = cache.clone();
                    async move {
                        let encrypts = which.is_none();
                        match cached(&cache, &keys, which).await {
                            Err(error) if encrypts => {
                                Ok(cache.iter().next().map(|(_, key)| key).ok_or(error)?)
                            }
                            key => Ok(key?),
                        }
                    }
                })
            },
            expected: last(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "cache: after one refresh that fails, no call asks for that key again",
            make: |keys| {
                let (slots, renewing) = (Slots::default(), Arc::new(StdMutex::new(HashSet::new())));
                gets_keys(keys, move |keys, which| {
                    let (slot, renewing) = (slots.slot(&which), Arc::clone(&renewing));
                    async move {
                        let mut cached = slot.lock().await;
                        if let Some(now) = cached.clone().filter(Cached::is_valid) {
                            if now.is_due() && lock(&renewing).insert(which.clone()) {
                                let slot = Arc::clone(&slot);
                                tokio::spawn(async move {
                                    if let Ok(new) = Cached::ask(&keys, &which).await {
                                        *slot.lock().await = Some(new);
                                        lock(&renewing).remove(&which);
                                    }
                                });
                            }
                            return Ok(now.key);
                        }
                        if !lock(&renewing).contains(&which) {
                            let new = Cached::ask(&keys, &which).await?;
                            return Ok(cached.insert(new).key.clone());
                        }
                        drop(cached);
                        for _ in 0..100 {
                            sleep(Duration::from_millis(10)).await;
                            if let Some(key) = slot.lock().await.as_ref().and_then(Cached::if_valid)
                            {
                                return Ok(key);
                            }
                        }
                        Err("no key came".into())
                    }
                })
            },
            expected: last(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "cache: a task renews the key to encrypt with, until that fails once",
            make: |keys| {
                let (cache, newest) = (moka(&keys), renewed_until_it_fails(keys.clone()));
                gets_keys(keys, move |keys, which| {
                    let (cache, mut newest) = (cache.clone(), newest.clone());
                    async move {
                        if which.is_some() {
                            return Ok(cached(&cache, &keys, which).await?);
                        }
                        let valid =
                            newest.wait_for(|newest| newest.as_ref().is_some_and(Cached::is_valid));
                        let newest = timeout(Duration::from_secs(1), valid).await??.clone();
                        Ok(newest.ok_or("no key")?.key)
                    }
                })
            },
            expected: last(Wrong(&[PASSES_ERRORS_ON])),
        },
    ]
}

/// They wait in a way that goes wrong where several things come together.
fn waiting() -> Vec<Variant> {
    vec![
        Variant {
            name: "only the waker of the first poll is woken",
            make: |keys| {
                gets_keys(keys, |keys, which| async move {
                    let waiting = FirstWaker::default();
                    let mailbox = Arc::clone(&waiting.0);
                    spawn_blocking(move || {
                        let answer = ask_blocking(&keys, &which);
                        let mut mailbox = lock(&mailbox);
                        mailbox.answer = Some(answer);
                        if let Some(waker) = mailbox.waker.take() {
                            waker.wake();
                        }
                    });
                    waiting.await
                })
            },
            expected: second(Wrong(&[ANSWERS_PROMPTLY, WIRE_FORMAT])),
        },
        Variant {
            name: "cache: a call locks its keys in the order of its payloads, until it has all",
            make: |keys| {
                let slots = Slots::default();
                let sealing = slots.clone();
                codec(
                    keys,
                    move |keys, payloads| {
                        let slots = sealing.clone();
                        async move {
                            let (_locked, key) = locked(&slots, &keys, &None).await?;
                            Ok(seal_all(&key, payloads)?)
                        }
                    },
                    move |keys, payloads| {
                        let slots = slots.clone();
                        async move {
                            let (mut slots_of_call, mut found) = (Vec::new(), DataKeys::default());
                            for payload in &payloads {
                                let id = key_ids(slice::from_ref(payload)).pop_first();
                                let Some(id) = id.filter(|id| found.get(id).is_none()) else {
                                    continue;
                                };
                                let (slot, key) = locked(&slots, &keys, &Some(id)).await?;
                                slots_of_call.push(slot);
                                found.insert(key);
                            }
                            Ok(open_all(&found, payloads)?)
                        }
                    },
                )
            },
            expected: last(Wrong(&[PAYLOADS])),
        },
        Variant {
            name: "cache: missing keys come in rounds, and a round waits for the one before it",
            make: |keys| {
                let known = Known::default();
                let asks = in_rounds(keys.clone(), Arc::clone(&known));
                gets_keys(keys, move |_, which| {
                    let (known, asks) = (Arc::clone(&known), asks.clone());
                    async move {
                        if let Some(key) = lock(&known).get(&which).and_then(Cached::if_valid) {
                            return Ok(key);
                        }
                        let (reply, answer) = oneshot::channel();
                        asks.send((which, reply))?;
                        Ok(answer.await??)
                    }
                })
            },
            expected: last(Wrong(&[KEEPS_KEYS_APART])),
        },
        Variant {
            name: "cache: moka, over the blocking call in spawn_blocking",
            make: |keys| {
                let cache = moka(&keys);
                gets_keys(keys, move |keys, which| {
                    let (cache, asked): (Keys, _) = (cache.clone(), which.clone());
                    async move {
                        let call = async move {
                            spawn_blocking(move || ask_blocking(&keys, &asked)).await?
                        };
                        let key = cache.try_get_with(which, call).await;
                        key.map_err(|error: Arc<AnyError>| error.to_string().into())
                    }
                })
            },
            expected: last(Wrong(&[NEEDS_NO_THREAD])),
        },
    ]
}

fn right() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: on an error, one try more with the blocking call in spawn_blocking",
            make: |keys| {
                gets_keys(keys, |keys, which| async move {
                    match ask(&keys, &which).await {
                        Ok(key) => Ok(key),
                        Err(_) => spawn_blocking(move || ask_blocking(&keys, &which)).await?,
                    }
                })
            },
            expected: second(RightAtAnyCost),
        },
        Variant {
            // Above the workshop's stall of 400 ms.
            name: "right: a deadline of 450 ms for each key, then an error",
            make: |keys| {
                gets_keys(keys, |keys, which| async move {
                    timeout(Duration::from_millis(450), ask(&keys, &which)).await?
                })
            },
            expected: third(RightAtAnyCost),
        },
        Variant {
            name: "right: calls to encode that come within 2 ms are a batch, with one key",
            make: |keys| in_batches(keys, false),
            expected: third(RightAtAnyCost),
        },
    ]
}

fn right_caching() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: a task renews the key to encrypt with every half lifetime, used or not",
            make: |keys| {
                let (cache, service) = (Arc::new(moka(&keys)), keys.clone());
                let renewed = Arc::downgrade(&cache);
                tokio::spawn(async move {
                    loop {
                        sleep(service.key_lifetime() / 2).await;
                        let Some(cache) = renewed.upgrade() else { return };
                        if let Ok(key) = service.data_key().await {
                            cache.insert(None, key).await;
                        }
                    }
                });
                caches(keys, cache)
            },
            expected: last(RightAtAnyCost),
        },
        Variant {
            name: "right: the key to encrypt with is asked for when the codec is made",
            make: |keys| {
                let cache = Arc::new(moka(&keys));
                let (early, service) = (Arc::clone(&cache), keys.clone());
                tokio::spawn(async move { cached(&early, &service, None).await });
                caches(keys, cache)
            },
            expected: last(RightAtAnyCost),
        },
        Variant {
            name: "right: moka, and a second request when the first one takes more than 150 ms",
            make: |keys| {
                let cache = moka(&keys);
                gets_keys(keys, move |keys, which| {
                    let cache: Keys = cache.clone();
                    async move {
                        let key = cache.try_get_with(which.clone(), hedged(&keys, &which)).await;
                        Ok(key.map_err(Arc::unwrap_or_clone)?)
                    }
                })
            },
            expected: last(RightAtAnyCost),
        },
        Variant {
            name: "right: a task for each key removes it shortly before it expires",
            make: |keys| {
                let cells: Arc<StdMutex<HashMap<Which, Arc<OnceCell<DataKey>>>>> = Arc::default();
                gets_keys(keys, move |keys, which| {
                    let cells = Arc::clone(&cells);
                    let cell = Arc::clone(lock(&cells).entry(which.clone()).or_default());
                    async move {
                        let call = async {
                            let key = ask(&keys, &which).await?;
                            let (cells, which) = (Arc::downgrade(&cells), which.clone());
                            let time = keys.key_lifetime().mul_f64(0.95);
                            tokio::spawn(async move {
                                sleep(time).await;
                                if let Some(cells) = cells.upgrade() {
                                    lock(&cells).remove(&which);
                                }
                            });
                            Ok::<_, AnyError>(key)
                        };
                        Ok(cell.get_or_try_init(|| call).await?.clone())
                    }
                })
            },
            expected: last(RightAtAnyCost),
        },
        Variant {
            name: "right: in the last quarter of a key's lifetime, one call waits for the next key",
            make: |keys| {
                let (known, turns) = (Known::default(), Turns::default());
                gets_keys(keys, move |keys, which| {
                    let known = Arc::clone(&known);
                    let turn = Arc::clone(lock(&turns).entry(which.clone()).or_default());
                    async move {
                        let valid =
                            || lock(&known).get(&which).filter(|cached| cached.is_valid()).cloned();
                        let renewed = async {
                            let new = Cached::ask(&keys, &which).await?;
                            lock(&known).insert(which.clone(), new.clone());
                            Ok(new.key)
                        };
                        let Some(cached) = valid() else {
                            let _turn = turn.lock().await;
                            return match valid() {
                                Some(cached) => Ok(cached.key),
                                None => renewed.await,
                            };
                        };
                        if cached.came.elapsed() < cached.lifetime.mul_f64(0.75) {
                            return Ok(cached.key);
                        }
                        match turn.try_lock() {
                            // The old key is good until it expires, also if this is an error.
                            Ok(_turn) => renewed.await.or_else(|error: AnyError| {
                                valid().map(|cached| cached.key).ok_or(error)
                            }),
                            Err(_) => Ok(cached.key),
                        }
                    }
                })
            },
            expected: last(RightAtAnyCost),
        },
    ]
}

fn bytes(payloads: &[Payload]) -> usize {
    payloads.iter().map(|payload| payload.data.len()).sum()
}

/// What tells a payload from another: its data and its metadata.
type Content = (Vec<u8>, BTreeMap<String, Vec<u8>>);

fn contents(payloads: &[Payload]) -> Vec<Content> {
    let contents = payloads.iter().map(|payload| {
        let metadata = payload.metadata.iter().map(|(name, value)| (name.clone(), value.clone()));
        (payload.data.clone(), metadata.collect())
    });
    contents.collect()
}

type Answer = Result<DataKey, KeyServiceError>;

type Keys = Cache<Which, DataKey>;

/// Keeps what is put into it for a key's lifetime.
fn moka<T: Clone + Send + Sync + 'static>(keys: &KeyService) -> Cache<Which, T> {
    Cache::builder().max_capacity(1000).time_to_live(keys.key_lifetime()).build()
}

/// Right by itself.
async fn cached(cache: &Keys, keys: &KeyService, which: Which) -> Answer {
    let key = cache.try_get_with(which.clone(), request(keys, &which)).await;
    key.map_err(Arc::unwrap_or_clone)
}

/// The key that comes first; an error only if both requests fail.
async fn hedged(keys: &KeyService, which: &Which) -> Answer {
    let mut first = Box::pin(request(keys, which));
    if let Ok(answer) = timeout(Duration::from_millis(150), &mut first).await {
        return answer;
    }
    let (key, _) = select_ok([first, Box::pin(request(keys, which))]).await?;
    Ok(key)
}

async fn opens_cached(cache: Keys, keys: KeyService, payloads: Vec<Payload>) -> Done {
    let mut found = DataKeys::default();
    for id in key_ids(&payloads) {
        found.insert(cached(&cache, &keys, Some(id)).await?);
    }
    Ok(open_all(&found, payloads)?)
}

/// The codec that caches its keys here.
fn caches(keys: KeyService, cache: Arc<Keys>) -> AnyCodec {
    gets_keys(keys, move |keys, which| {
        let cache = Arc::clone(&cache);
        async move { Ok(cached(&cache, &keys, which).await?) }
    })
}

/// Gives its place back when the key service has answered, and only then.
async fn in_a_place(
    places: Arc<Semaphore>,
    keys: KeyService,
    which: Which,
) -> Result<DataKey, AnyError> {
    places.acquire().await?.forget();
    let key = ask(&keys, &which).await;
    places.add_permits(1);
    key
}

/// Calls that are encrypted with one key, and where each result goes.
#[derive(Default)]
struct Batch {
    calls: Vec<Vec<Payload>>,
    replies: Vec<oneshot::Sender<Result<Vec<Payload>, String>>>,
}

impl Batch {
    async fn encode(self, keys: KeyService, forgets_cancelled: bool) {
        let Self { calls, mut replies } = self;
        let key = keys.data_key().await;
        let sealed: Vec<_> = calls
            .into_iter()
            .map(|call| match &key {
                Ok(key) => seal_all(key, call).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            })
            .collect();
        if forgets_cancelled {
            replies.retain(|reply| !reply.is_closed());
        }
        for (reply, sealed) in replies.into_iter().zip(sealed) {
            reply.send(sealed).ok();
        }
    }
}

/// The codec that encodes calls together which come within 2 ms.
fn in_batches(keys: KeyService, forgets_cancelled: bool) -> AnyCodec {
    let batch: Arc<StdMutex<Batch>> = Arc::default();
    encodes(keys, move |keys, payloads| {
        let batch = Arc::clone(&batch);
        async move {
            let (reply, sealed) = oneshot::channel();
            let is_first = {
                let mut batch = lock(&batch);
                batch.calls.push(payloads);
                batch.replies.push(reply);
                batch.calls.len() == 1
            };
            if is_first {
                tokio::spawn(async move {
                    sleep(Duration::from_millis(2)).await;
                    let batch = mem::take(&mut *lock(&batch));
                    batch.encode(keys, forgets_cancelled).await;
                });
            }
            Ok(sealed.await??)
        }
    })
}

/// A codec for each kind of context.
struct ByContext([AnyCodec; 4]);

impl ByContext {
    fn of(&self, context: &SerializationContextData) -> &AnyCodec {
        let Self([workflows, activities, nexus, others]) = self;
        match context {
            SerializationContextData::Workflow(_) => workflows,
            SerializationContextData::Activity(_) => activities,
            SerializationContextData::Nexus(_) => nexus,
            _ => others,
        }
    }
}

impl PayloadCodec for ByContext {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.of(context).encode(context, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.of(context).decode(context, payloads)
    }
}

/// A key, and its lock for as long as the caller likes.
async fn locked(
    slots: &Slots,
    keys: &KeyService,
    which: &Which,
) -> Result<(OwnedMutexGuard<Option<Cached>>, DataKey), AnyError> {
    let mut slot = slots.slot(which).lock_owned().await;
    let key = match slot.as_ref().and_then(Cached::if_valid) {
        Some(key) => key,
        None => slot.insert(Cached::ask(keys, which).await?).key.clone(),
    };
    Ok((slot, key))
}

type Known = Arc<StdMutex<HashMap<Which, Cached>>>;
/// Whose turn it is to ask for a key.
type Turns = Arc<StdMutex<HashMap<Which, Arc<Mutex<()>>>>>;

/// The newest key to encrypt with. After the first, each comes half a lifetime after the one before.
fn renewed_until_it_fails(keys: KeyService) -> watch::Receiver<Option<Cached>> {
    let (newest, receiver) = watch::channel(None);
    tokio::spawn(async move {
        let mut key = keys.data_key().await;
        while key.is_err() {
            sleep(Duration::from_millis(600)).await;
            key = keys.data_key().await;
        }
        while let Ok(new) = key {
            if newest.send(Some(Cached::new(&keys, new))).is_err() {
                return;
            }
            sleep(keys.key_lifetime() / 2).await;
            key = keys.data_key().await;
        }
    });
    receiver
}

/// Which key, and where it goes.
type Ask = (Which, oneshot::Sender<Answer>);

/// A task that asks at once for all keys that have been missed since it last did.
fn in_rounds(keys: KeyService, known: Known) -> mpsc::UnboundedSender<Ask> {
    let (asks, mut asked) = mpsc::unbounded_channel::<Ask>();
    tokio::spawn(async move {
        while let Some(first) = asked.recv().await {
            let round: Vec<_> =
                iter::once(first).chain(iter::from_fn(|| asked.try_recv().ok())).collect();
            let missing: BTreeSet<_> = round.iter().map(|(which, _)| which.clone()).collect();
            let answers = missing.into_iter().map(|which| {
                let (keys, known) = (&keys, &known);
                async move {
                    let valid = lock(known).get(&which).and_then(Cached::if_valid);
                    if let Some(key) = valid {
                        return (which, Ok(key));
                    }
                    let answer = request(keys, &which).await;
                    if let Ok(key) = &answer {
                        lock(known).insert(which.clone(), Cached::new(keys, key.clone()));
                    }
                    (which, answer)
                }
            });
            let answers: HashMap<_, _> = join_all(answers).await.into_iter().collect();
            for (which, reply) in round {
                reply.send(answers[&which].clone()).ok();
            }
        }
    });
    asks
}

/// An answer, and who is to be woken for it.
#[derive(Default)]
struct Mailbox {
    answer: Option<Result<DataKey, AnyError>>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct FirstWaker(Arc<StdMutex<Mailbox>>);

impl Future for FirstWaker {
    type Output = Result<DataKey, AnyError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut mailbox = lock(&self.0);
        if let Some(answer) = mailbox.answer.take() {
            return Poll::Ready(answer);
        }
        mailbox.waker.get_or_insert_with(|| context.waker().clone());
        Poll::Pending
    }
}
