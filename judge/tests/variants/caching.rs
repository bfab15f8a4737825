//! Codecs that cache keys, correct and wrong.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex as StdMutex, PoisonError},
    time::{Duration, Instant},
};

use codec_kit::{AnyCodec, DataKey, KeyService, seal_all};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use judge::promises::{
    KEEPS_KEYS, KEEPS_KEYS_APART, LEAVES_NOTHING, LETS_KEYS_EXPIRE, PASSES_ERRORS_ON, SHARES_CALLS,
    WAITS_FOR_KEY,
};
use moka::future::Cache;
use solutions::Step;
use tokio::sync::{Mutex, Notify};

use crate::{
    AnyError, Variant,
    Verdict::{self, AtACost, Right, Wrong},
    Which, encodes, gets_keys,
};

pub(crate) fn variants() -> Vec<Variant> {
    right().into_iter().chain(wrong()).collect()
}

/// Of the last step.
fn last(verdict: Verdict) -> Vec<(Step, Verdict)> {
    vec![(Step::BeyondAsync, verdict)]
}

fn right() -> Vec<Variant> {
    const SHARED: Verdict = AtACost("keys are shared");
    vec![
        Variant {
            name: "reference of step 4",
            make: |keys| Step::BeyondAsync.codec(keys),
            expected: vec![
                (Step::SpawnBlocking, SHARED),
                (Step::Async, SHARED),
                (Step::BeyondAsync, Right),
            ],
        },
        Variant {
            name: "keeps keys for half their lifetime",
            make: |keys| keeps_keys_for(keys.key_lifetime() / 2, keys),
            expected: last(Right),
        },
        Variant {
            name: "keeps keys for a tenth of their lifetime",
            make: |keys| keeps_keys_for(keys.key_lifetime() / 10, keys),
            expected: last(Right),
        },
        Variant {
            name: "a call for each key that all await, in a map of its own",
            make: |keys| {
                let flights = Flights::default();
                gets_keys(keys, move |keys, which| flights.clone().get(keys, which))
            },
            expected: last(Right),
        },
        Variant {
            name: "a lock for each key",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| slots.clone().get(keys, which))
            },
            expected: last(AtACost("waited for a failed request repeats it")),
        },
        Variant {
            name: "asks again before a key ends, and uses it until then",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| slots.clone().refreshed(keys, which))
            },
            expected: last(AtACost("waited for a failed request repeats it")),
        },
        Variant {
            name: "a task for each call, which can't be cancelled",
            make: |keys| {
                let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
                gets_keys(keys, move |keys, which| {
                    let cache = cache.clone();
                    async move { tokio::spawn(of_moka(cache, keys, which)).await? }
                })
            },
            // However many are cancelled, one request for each key continues.
            expected: last(Right),
        },
    ]
}

fn wrong() -> Vec<Variant> {
    vec![
        Variant {
            name: "keeps nothing: reference of step 3",
            make: |keys| Step::Async.codec(keys),
            expected: last(Wrong(&[KEEPS_KEYS])),
        },
        Variant {
            name: "keeps only the key to seal with",
            make: |keys| {
                let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
                encodes(keys, move |keys, payloads| {
                    let key = of_moka(cache.clone(), keys, None);
                    async move { Ok(seal_all(&key.await?, payloads)?) }
                })
            },
            expected: last(Wrong(&[KEEPS_KEYS])),
        },
        Variant {
            name: "keeps keys for ever",
            make: |keys| {
                let cache = Cache::new(1000);
                gets_keys(keys, move |keys, which| of_moka(cache.clone(), keys, which))
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "keeps keys for 60 s, whatever their lifetime",
            make: |keys| keeps_keys_for(Duration::from_secs(60), keys),
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "keeps keys for as long as they are used",
            make: |keys| {
                let cache = Cache::builder().time_to_idle(keys.key_lifetime()).build();
                gets_keys(keys, move |keys, which| of_moka(cache.clone(), keys, which))
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "uses a key that has ended until the next one comes",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| slots.clone().stale_while_asking(keys, which))
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE, SHARES_CALLS])),
        },
        Variant {
            name: "uses a key that has ended if the key service fails",
            make: |keys| {
                let slots = Slots::default();
                gets_keys(keys, move |keys, which| slots.clone().stale_if_failing(keys, which))
            },
            expected: last(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "each who misses a key asks for it",
            make: |keys| {
                let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
                gets_keys(keys, move |keys, which| {
                    let cache: Cache<Which, DataKey> = cache.clone();
                    async move {
                        if let Some(key) = cache.get(&which).await {
                            return Ok(key);
                        }
                        let key = ask(keys, which.clone()).await?;
                        cache.insert(which, key.clone()).await;
                        Ok(key)
                    }
                })
            },
            expected: last(Wrong(&[SHARES_CALLS])),
        },
        Variant {
            name: "one lock for all keys, held across the await",
            make: |keys| {
                let kept = Arc::new(Mutex::new(HashMap::<Which, Kept>::new()));
                gets_keys(keys, move |keys, which| {
                    let kept = Arc::clone(&kept);
                    async move {
                        let mut kept = kept.lock().await;
                        if let Some(key) = kept.get(&which).and_then(Kept::if_valid) {
                            return Ok(key);
                        }
                        let key = Kept::ask(keys, which.clone()).await?;
                        Ok(kept.entry(which).insert_entry(key).get().key.clone())
                    }
                })
            },
            expected: last(Wrong(&[KEEPS_KEYS_APART])),
        },
        Variant {
            name: "one place for all keys",
            make: |keys| {
                let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
                gets_keys(keys, move |keys, which| {
                    let cache: Cache<(), DataKey> = cache.clone();
                    async move {
                        let key = cache.try_get_with((), ask(keys, which)).await;
                        key.map_err(|error| error.to_string().into())
                    }
                })
            },
            expected: last(Wrong(&[KEEPS_KEYS_APART, WAITS_FOR_KEY, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "keeps errors as well",
            make: |keys| {
                let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
                gets_keys(keys, move |keys, which| {
                    let cache: Cache<Which, Result<DataKey, String>> = cache.clone();
                    async move {
                        let call = ask(keys, which.clone());
                        let answer = call.map(|answer| answer.map_err(|error| error.to_string()));
                        Ok(cache.get_with(which, answer).await?)
                    }
                })
            },
            expected: last(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            name: "the first caller shares its key with the others, unless it is cancelled",
            make: |keys| {
                let board = Board::default();
                gets_keys(keys, move |keys, which| board.clone().get(keys, which))
            },
            // Once the first is cancelled, no caller asks any more.
            expected: last(Wrong(&[LEAVES_NOTHING, SHARES_CALLS])),
        },
    ]
}

async fn ask(keys: KeyService, which: Which) -> Result<DataKey, AnyError> {
    Ok(match which {
        None => keys.data_key().await?,
        Some(id) => keys.data_key_by_id(&id).await?,
    })
}

fn keeps_keys_for(lifetime: Duration, keys: KeyService) -> AnyCodec {
    let cache = Cache::builder().time_to_live(lifetime).build();
    gets_keys(keys, move |keys, which| of_moka(cache.clone(), keys, which))
}

async fn of_moka(
    cache: Cache<Which, DataKey>,
    keys: KeyService,
    which: Which,
) -> Result<DataKey, AnyError> {
    let key = cache.try_get_with(which.clone(), ask(keys, which)).await;
    key.map_err(|error| error.to_string().into())
}

/// A key, and when it ends.
#[derive(Clone)]
struct Kept {
    key: DataKey,
    came: Instant,
    lifetime: Duration,
}

impl Kept {
    async fn ask(keys: KeyService, which: Which) -> Result<Self, AnyError> {
        let lifetime = keys.key_lifetime();
        Ok(Self { key: ask(keys, which).await?, came: Instant::now(), lifetime })
    }

    fn if_valid(&self) -> Option<DataKey> {
        (self.came.elapsed() < self.lifetime).then(|| self.key.clone())
    }
}

/// A lock for each key.
#[derive(Clone, Default)]
struct Slots(Arc<StdMutex<HashMap<Which, Slot>>>);

type Slot = Arc<Mutex<Option<Kept>>>;

impl Slots {
    fn slot(&self, which: &Which) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(which.clone()).or_default())
    }

    async fn get(self, keys: KeyService, which: Which) -> Result<DataKey, AnyError> {
        let slot = self.slot(&which);
        let mut kept = slot.lock().await;
        if let Some(key) = kept.as_ref().and_then(Kept::if_valid) {
            return Ok(key);
        }
        Ok(kept.insert(Kept::ask(keys, which).await?).key.clone())
    }

    /// From half its lifetime on, the next key is requested in the background.
    async fn refreshed(self, keys: KeyService, which: Which) -> Result<DataKey, AnyError> {
        let slot = self.slot(&which);
        let old = slot.lock().await.clone();
        if let Some(old) = old
            && let Some(key) = old.if_valid()
        {
            if old.came.elapsed() > old.lifetime / 2 {
                tokio::spawn(async move {
                    // One is enough.
                    let Ok(mut kept) = slot.try_lock() else { return };
                    if let Ok(new) = Kept::ask(keys, which).await {
                        *kept = Some(new);
                    }
                });
                // The next caller may wait for it: this key is still valid for a while.
            }
            return Ok(key);
        }
        self.get(keys, which).await
    }

    async fn stale_while_asking(self, keys: KeyService, which: Which) -> Result<DataKey, AnyError> {
        let slot = self.slot(&which);
        let old = slot.try_lock().ok().and_then(|kept| kept.clone());
        let Some(old) = old else { return self.get(keys, which).await };
        if old.if_valid().is_none() {
            let key = Kept::ask(keys, which);
            tokio::spawn(async move {
                if let Ok(new) = key.await {
                    *slot.lock().await = Some(new);
                }
            });
        }
        Ok(old.key)
    }

    async fn stale_if_failing(self, keys: KeyService, which: Which) -> Result<DataKey, AnyError> {
        let slot = self.slot(&which);
        match self.get(keys, which).await {
            Ok(key) => Ok(key),
            Err(error) => slot.lock().await.as_ref().map(|old| old.key.clone()).ok_or(error),
        }
    }
}

type Flight = Shared<BoxFuture<'static, Result<Kept, Arc<str>>>>;

/// A request for each key: in progress, or answered.
#[derive(Clone, Default)]
struct Flights(Arc<StdMutex<HashMap<Which, Flight>>>);

impl Flights {
    fn under_way(&self, keys: KeyService, which: Which) -> Flight {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&which) {
            match flight.peek() {
                None => return flight.clone(),
                Some(Ok(kept)) if kept.if_valid().is_some() => return flight.clone(),
                Some(_) => {}
            }
        }
        let call =
            Kept::ask(keys, which.clone()).map(|kept| kept.map_err(|e| e.to_string().into()));
        let flight = call.boxed().shared();
        flights.insert(which, flight.clone());
        flight
    }

    async fn get(self, keys: KeyService, which: Which) -> Result<DataKey, AnyError> {
        match self.under_way(keys, which).await {
            Ok(kept) => Ok(kept.key),
            Err(error) => Err(error.to_string().into()),
        }
    }
}

/// A caller that finds no request in progress makes one, and puts the answer here.
#[derive(Clone, Default)]
struct Board(Arc<StdMutex<HashMap<Which, Pinned>>>);

#[derive(Clone)]
enum Pinned {
    UnderWay(Arc<Notify>),
    Here(Kept),
}

impl Board {
    async fn get(self, keys: KeyService, which: Which) -> Result<DataKey, AnyError> {
        loop {
            let told = {
                let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                match board.get(&which) {
                    Some(Pinned::UnderWay(told)) => Some(Arc::clone(told).notified_owned()),
                    Some(Pinned::Here(kept)) if kept.if_valid().is_some() => {
                        return Ok(kept.key.clone());
                    }
                    _ => {
                        board.insert(which.clone(), Pinned::UnderWay(Arc::default()));
                        None
                    }
                }
            };
            match told {
                Some(told) => told.await,
                None => return self.ask(keys, which).await,
            }
        }
    }

    async fn ask(self, keys: KeyService, which: Which) -> Result<DataKey, AnyError> {
        let answer = Kept::ask(keys, which.clone()).await;
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Pinned::UnderWay(told)) = board.remove(&which) {
            told.notify_waiters();
        }
        let kept = answer?;
        board.insert(which, Pinned::Here(kept.clone()));
        Ok(kept.key)
    }
}
