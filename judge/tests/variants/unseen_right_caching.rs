//! Codecs that cache keys correctly.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex as StdMutex, RwLock as StdRwLock, Weak},
    time::{Duration, Instant},
};

use codec_kit::{
    AnyCodec, CodecFuture, DataKey, DataKeys, KeyService, Payload, PayloadCodec,
    SerializationContextData, key_ids, open_all, seal_all,
};
use futures::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared, try_join_all},
};
use moka::{Expiry, future::Cache};
use tokio::{
    sync::{Mutex, Notify, OnceCell, RwLock, mpsc, oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Cached, ask, last, lock};
use crate::{
    AnyError, Variant,
    Verdict::{self, AtACost, Right, RightAtAnyCost},
    Which, codec, gets_keys,
};

/// Each caller that waited for a failed request repeats it.
const AGAIN: Verdict = AtACost("waited for a failed request repeats it");

type Key = Result<DataKey, AnyError>;

pub(super) fn variants() -> Vec<Variant> {
    [moka(), cells_and_locks(), tasks(), structure()].into_iter().flatten().collect()
}

fn moka() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: moka with an expiry for each entry",
            make: |keys| {
                let cache = Cache::builder().expire_after(ByLifetime).build();
                gets_keys(keys, move |keys, which| {
                    let cache: Cache<Which, Cached> = cache.clone();
                    async move {
                        let call = Cached::ask(&keys, &which);
                        let cached = cache.try_get_with(which.clone(), call).await;
                        Ok(cached.map_err(|error| error.to_string())?.key)
                    }
                })
            },
            expected: last(Right),
        },
        Variant {
            name: "right: one moka for the key to encrypt with, one for those to decrypt with",
            make: |keys| {
                let lifetime = keys.key_lifetime();
                let sealing = Cache::builder().time_to_live(lifetime).max_capacity(1).build();
                let opening = Cache::builder().time_to_live(lifetime).max_capacity(64).build();
                codec(
                    keys,
                    move |keys, payloads| {
                        let cache: Cache<(), DataKey> = sealing.clone();
                        async move {
                            let key = cache.try_get_with((), async { keys.data_key().await }).await;
                            Ok(seal_all(&key?, payloads)?)
                        }
                    },
                    move |keys, payloads| {
                        let cache: Cache<String, DataKey> = opening.clone();
                        async move {
                            let found = key_ids(&payloads).into_iter().map(|id| {
                                let keys = keys.clone();
                                let call = {
                                    let id = id.clone();
                                    async move { keys.data_key_by_id(&id).await }
                                };
                                cache.try_get_with(id, call)
                            });
                            let found = try_join_all(found).await?.into_iter().collect();
                            Ok(open_all(&found, payloads)?)
                        }
                    },
                )
            },
            expected: last(Right),
        },
        Variant {
            name: "right: moka, one try more after an error, and a deadline of 5 s",
            make: |keys| {
                let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
                gets_keys(keys, move |keys, which| {
                    let cache: Cache<Which, DataKey> = cache.clone();
                    async move {
                        let call = async {
                            match ask(&keys, &which).await {
                                Err(_) => {
                                    sleep(Duration::from_millis(100)).await;
                                    ask(&keys, &which).await
                                }
                                key => key,
                            }
                        };
                        let key = cache.try_get_with(which.clone(), call);
                        let key = timeout(Duration::from_secs(5), key).await?;
                        key.map_err(|error| error.to_string().into())
                    }
                })
            },
            expected: last(Right),
        },
    ]
}

fn cells_and_locks() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: a OnceCell for each key, replaced when the key expires",
            make: |keys| {
                let cells = Arc::new(StdMutex::new(HashMap::new()));
                gets_keys(keys, move |keys, which| {
                    let cell = {
                        let mut cells: std::sync::MutexGuard<'_, HashMap<Which, Cell>> =
                            lock(&cells);
                        let cell = cells.entry(which.clone()).or_default();
                        if cell.get().is_some_and(|cached| !cached.is_valid()) {
                            *cell = Cell::default();
                        }
                        Arc::clone(cell)
                    };
                    async move {
                        let cached = cell.get_or_try_init(|| Cached::ask(&keys, &which)).await?;
                        Ok(cached.key.clone())
                    }
                })
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: Shared futures that only those who wait for them hold",
            make: |keys| {
                let flights = Flights::default();
                gets_keys(keys, move |keys, which| flights.clone().get(keys, which))
            },
            expected: last(Right),
        },
        Variant {
            name: "right: an RwLock, and a Notify for each request under way",
            make: |keys| {
                let board = Board::default();
                gets_keys(keys, move |keys, which| board.clone().get(keys, which))
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: a lock for each key, and a std RwLock for those that are cached",
            make: |keys| {
                let cached = Arc::new(StdRwLock::new(HashMap::<Which, Cached>::new()));
                let asking = Arc::new(StdMutex::new(HashMap::<Which, Arc<Mutex<()>>>::new()));
                gets_keys(keys, move |keys, which| {
                    let (cached, asking) = (Arc::clone(&cached), Arc::clone(&asking));
                    async move {
                        let valid = || cached.read().ok()?.get(&which)?.if_valid();
                        if let Some(key) = valid() {
                            return Ok(key);
                        }
                        let turn = Arc::clone(lock(&asking).entry(which.clone()).or_default());
                        let _turn = turn.lock().await;
                        if let Some(key) = valid() {
                            return Ok(key);
                        }
                        let new = Cached::ask(&keys, &which).await?;
                        let key = new.key.clone();
                        if let Ok(mut cached) = cached.write() {
                            cached.insert(which.clone(), new);
                        }
                        Ok(key)
                    }
                })
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: a map that is replaced as a whole, and a lock for each key",
            make: |keys| {
                let snapshot = Arc::new(StdRwLock::new(Arc::new(BTreeMap::<Which, Cached>::new())));
                let cells = Cells::default();
                gets_keys(keys, move |keys, which| {
                    let (snapshot, cells) = (Arc::clone(&snapshot), cells.clone());
                    async move {
                        let current =
                            || snapshot.read().map(|map| Arc::clone(&map)).unwrap_or_default();
                        if let Some(key) = current().get(&which).and_then(Cached::if_valid) {
                            return Ok(key);
                        }
                        let new = cells.get(&keys, &which).await?;
                        let mut next = BTreeMap::clone(&current());
                        next.retain(|_, cached| cached.is_valid());
                        next.insert(which, new.clone());
                        if let Ok(mut snapshot) = snapshot.write() {
                            *snapshot = Arc::new(next);
                        }
                        Ok(new.key)
                    }
                })
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: generations: all keys expire together, a lifetime after the first came",
            make: |keys| {
                let generation = Arc::new(StdMutex::new((Instant::now(), Cells::default())));
                gets_keys(keys, move |keys, which| {
                    let cells = {
                        let mut generation = lock(&generation);
                        if generation.0.elapsed() > keys.key_lifetime().mul_f64(0.9) {
                            *generation = (Instant::now(), Cells::default());
                        }
                        generation.1.clone()
                    };
                    async move {
                        // One that was asked for in time and came late is still this generation's.
                        Ok(cells.get(&keys, &which).await?.key)
                    }
                })
            },
            // We are not sure: when a generation ends while a key is waited for, the key is asked
            // for again.
            expected: last(RightAtAnyCost),
        },
        Variant {
            name: "right: keys are used for 80% to 95% of their lifetime, at random",
            make: |keys| {
                let cells =
                    Arc::new(StdMutex::new(HashMap::<Which, Arc<Mutex<Option<Cached>>>>::new()));
                gets_keys(keys, move |keys, which| {
                    let cell = Arc::clone(lock(&cells).entry(which.clone()).or_default());
                    async move {
                        let mut cached = cell.lock().await;
                        if let Some(key) = cached.as_ref().and_then(Cached::if_valid) {
                            return Ok(key);
                        }
                        let mut new = Cached::ask(&keys, &which).await?;
                        new.lifetime = new.lifetime.mul_f64(0.8 + 0.15 * fastrand::f64());
                        Ok(cached.insert(new).key.clone())
                    }
                })
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: room for 64 keys, the one that is used least recently makes room",
            make: |keys| {
                let recent =
                    Arc::new(StdMutex::new(Vec::<(Which, Arc<Mutex<Option<Cached>>>)>::new()));
                gets_keys(keys, move |keys, which| {
                    let cell = {
                        let mut recent = lock(&recent);
                        let place = recent.iter().position(|(of, _)| *of == which);
                        let entry = place.map(|place| recent.remove(place));
                        let entry = entry.unwrap_or_else(|| (which.clone(), Arc::default()));
                        let cell = Arc::clone(&entry.1);
                        recent.insert(0, entry);
                        recent.truncate(64);
                        cell
                    };
                    async move {
                        let mut cached = cell.lock().await;
                        if let Some(key) = cached.as_ref().and_then(Cached::if_valid) {
                            return Ok(key);
                        }
                        Ok(cached.insert(Cached::ask(&keys, &which).await?).key.clone())
                    }
                })
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: a watch channel for each key, and a task for each request",
            make: |keys| {
                let channels = Channels::default();
                gets_keys(keys, move |keys, which| channels.clone().get(keys, which))
            },
            // A request that no caller waits for any more is completed: one for each key at most.
            expected: last(Right),
        },
    ]
}

fn tasks() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: a task that lives as long as the runtime owns the cache",
            make: |keys| {
                let actor = Arc::new(OnceCell::new());
                gets_keys(keys, move |keys, which| {
                    let actor = Arc::clone(&actor);
                    async move {
                        let ask = actor.get_or_init(async || Owner::start(keys)).await;
                        let (answer, key) = oneshot::channel();
                        ask.send(Request { which, answer })
                            .await
                            .map_err(|_| "the task is gone")?;
                        Ok(key.await??)
                    }
                })
            },
            expected: last(Right),
        },
        Variant {
            // `codec()` has to be called on the runtime for that: see `unseen_right.rs`.
            name: "right: a task that is made with the codec owns the cache",
            make: |keys| {
                let ask = Owner::start(keys.clone());
                gets_keys(keys, move |_, which| {
                    let ask = ask.clone();
                    async move {
                        let (answer, key) = oneshot::channel();
                        ask.send(Request { which, answer })
                            .await
                            .map_err(|_| "the task is gone")?;
                        Ok(key.await??)
                    }
                })
            },
            expected: last(Right),
        },
        Variant {
            name: "right: a key is refreshed in the background in the second half of its lifetime",
            make: |keys| {
                let cells = Cells::default();
                gets_keys(keys, move |keys, which| {
                    let cells = cells.clone();
                    async move {
                        let cached = cells.get(&keys, &which).await?;
                        if cached.is_due() {
                            cells.refresh(keys, which, cached.came);
                        }
                        Ok(cached.key)
                    }
                })
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: a timer purges keys that have expired",
            make: |keys| {
                let cells = Cells::default();
                let purging = Arc::new(OnceCell::new());
                gets_keys(keys, move |keys, which| {
                    let (cells, purging) = (cells.clone(), Arc::clone(&purging));
                    async move {
                        purging.get_or_init(async || cells.purge(keys.key_lifetime())).await;
                        Ok(cells.get(&keys, &which).await?.key)
                    }
                })
            },
            expected: last(AGAIN),
        },
    ]
}

fn structure() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: a layer that caches around any source of keys",
            make: |keys| {
                AnyCodec::new(Encryption {
                    source: Caching { inner: Arc::new(keys), cells: Cells::default() },
                })
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: a cache for each runtime thread in front of one for all",
            make: |keys| {
                thread_local! {
                    static NEAR: std::cell::RefCell<HashMap<(usize, Which), Cached>> =
                        std::cell::RefCell::default();
                }
                let cells = Cells::default();
                // Tests make many codecs on one thread: each has its own place.
                let of = Arc::as_ptr(&cells.0) as usize;
                gets_keys(keys, move |keys, which| {
                    let cells = cells.clone();
                    async move {
                        let place = (of, which.clone());
                        let near =
                            NEAR.with_borrow(|near| near.get(&place).and_then(Cached::if_valid));
                        if let Some(key) = near {
                            return Ok(key);
                        }
                        let new = cells.get(&keys, &which).await?;
                        NEAR.with_borrow_mut(|near| near.insert(place, new.clone()));
                        Ok(new.key)
                    }
                })
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: all keys of a call at once, each in a task that ends with the call",
            make: |keys| {
                let cells = Cells::default();
                let sealing = cells.clone();
                codec(
                    keys,
                    move |keys, payloads| {
                        let cells = sealing.clone();
                        async move { Ok(seal_all(&cells.get(&keys, &None).await?.key, payloads)?) }
                    },
                    move |keys, payloads| {
                        let cells = cells.clone();
                        async move {
                            let mut calls = JoinSet::new();
                            for id in key_ids(&payloads) {
                                let (cells, keys) = (cells.clone(), keys.clone());
                                calls.spawn(async move { cells.get(&keys, &Some(id)).await });
                            }
                            let mut found = DataKeys::default();
                            while let Some(cached) = calls.join_next().await {
                                found.insert(cached??.key);
                            }
                            Ok(open_all(&found, payloads)?)
                        }
                    },
                )
            },
            expected: last(AGAIN),
        },
        Variant {
            name: "right: decode finds the key to encrypt with in the cache, with the same expiry",
            make: |keys| {
                let cells = Cells::default();
                gets_keys(keys, move |keys, which| {
                    let cells = cells.clone();
                    async move {
                        let cached = cells.get(&keys, &which).await?;
                        if which.is_none() {
                            cells.put(Some(cached.key.id().to_owned()), cached.clone());
                        }
                        Ok(cached.key)
                    }
                })
            },
            expected: last(AGAIN),
        },
    ]
}

type Cell = Arc<OnceCell<Cached>>;

/// An entry lives as long as its key may be used.
struct ByLifetime;

impl Expiry<Which, Cached> for ByLifetime {
    fn expire_after_create(&self, _: &Which, cached: &Cached, _: Instant) -> Option<Duration> {
        Some(cached.lifetime)
    }
}

/// A cell for each key, which is replaced when its key has expired.
#[derive(Clone, Default)]
struct Cells(Arc<StdMutex<HashMap<Which, Cell>>>);

impl Cells {
    fn cell(&self, which: &Which) -> Cell {
        let mut cells = lock(&self.0);
        let cell = cells.entry(which.clone()).or_default();
        if cell.get().is_some_and(|cached| !cached.is_valid()) {
            *cell = Cell::default();
        }
        Arc::clone(cell)
    }

    async fn get(&self, keys: &KeyService, which: &Which) -> Result<Cached, AnyError> {
        let cell = self.cell(which);
        Ok(cell.get_or_try_init(|| Cached::ask(keys, which)).await?.clone())
    }

    fn put(&self, which: Which, cached: Cached) {
        lock(&self.0).insert(which, Arc::new(OnceCell::new_with(Some(cached))));
    }

    /// Asks for the successor of the key that came then, in a task, and once.
    fn refresh(&self, keys: KeyService, which: Which, came: Instant) {
        static REFRESHING: StdMutex<Vec<(Instant, Which)>> = StdMutex::new(Vec::new());
        let place = (came, which.clone());
        if lock(&REFRESHING).contains(&place) {
            return;
        }
        lock(&REFRESHING).push(place.clone());
        let cells = self.clone();
        tokio::spawn(async move {
            if let Ok(new) = Cached::ask(&keys, &which).await {
                cells.put(which, new);
            }
            lock(&REFRESHING).retain(|other| *other != place);
        });
    }

    /// Drops keys that have expired, for as long as the codec lives.
    fn purge(&self, every: Duration) {
        let cells: Weak<_> = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            loop {
                sleep(every).await;
                let Some(cells) = cells.upgrade() else { return };
                lock(&cells).retain(|_, cell| cell.get().is_none_or(Cached::is_valid));
            }
        });
    }
}

type Answer = Result<Cached, String>;
type Flight = BoxFuture<'static, Answer>;

/// Requests under way, and keys that have come.
#[derive(Clone, Default)]
struct Flights {
    under_way: Arc<StdMutex<HashMap<Which, WeakShared<Flight>>>>,
    cached: Arc<StdMutex<HashMap<Which, Cached>>>,
}

impl Flights {
    fn request(&self, keys: KeyService, which: Which) -> Shared<Flight> {
        let mut under_way = lock(&self.under_way);
        if let Some(flight) = under_way.get(&which).and_then(WeakShared::upgrade)
            && flight.peek().is_none()
        {
            return flight;
        }
        let flight = {
            let which = which.clone();
            async move { Cached::ask(&keys, &which).await.map_err(|error| error.to_string()) }
        };
        let flight = flight.boxed().shared();
        under_way.extend(flight.downgrade().map(|weak| (which, weak)));
        flight
    }

    async fn get(self, keys: KeyService, which: Which) -> Key {
        if let Some(key) = lock(&self.cached).get(&which).and_then(Cached::if_valid) {
            return Ok(key);
        }
        let cached = self.request(keys, which.clone()).await?;
        lock(&self.cached).insert(which, cached.clone());
        Ok(cached.key)
    }
}

/// Keys that have come, and for each request under way who is to be woken.
#[derive(Clone, Default)]
struct Board {
    cached: Arc<RwLock<HashMap<Which, Cached>>>,
    asking: Arc<StdMutex<HashMap<Which, Arc<Notify>>>>,
}

impl Board {
    async fn get(self, keys: KeyService, which: Which) -> Key {
        loop {
            let cached = self.cached.read().await.get(&which).and_then(Cached::if_valid);
            if let Some(key) = cached {
                return Ok(key);
            }
            let follows = {
                let mut asking = lock(&self.asking);
                let under_way = asking.get(&which).map(|done| Arc::clone(done).notified_owned());
                if under_way.is_none() {
                    asking.insert(which.clone(), Arc::default());
                }
                under_way
            };
            if let Some(done) = follows {
                done.await;
                continue;
            }
            // However this ends, the others are woken, and one of them asks if need be.
            let _asks = Asks { board: self.clone(), which: which.clone() };
            let new = Cached::ask(&keys, &which).await?;
            self.cached.write().await.insert(which, new.clone());
            return Ok(new.key);
        }
    }
}

struct Asks {
    board: Board,
    which: Which,
}

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(done) = lock(&self.board.asking).remove(&self.which) {
            done.notify_waiters();
        }
    }
}

/// For each key, the answer to the last request, or that there is none yet.
#[derive(Clone, Default)]
struct Channels(Arc<StdMutex<HashMap<Which, watch::Receiver<Option<Answer>>>>>);

impl Channels {
    async fn get(self, keys: KeyService, which: Which) -> Key {
        let mut answer = self.answer(keys, which);
        let answer = answer.wait_for(Option::is_some).await?.clone();
        Ok(answer.ok_or("no answer")??.key)
    }

    fn answer(&self, keys: KeyService, which: Which) -> watch::Receiver<Option<Answer>> {
        let mut channels = lock(&self.0);
        if let Some(known) = channels.get(&which) {
            let usable = match &*known.borrow() {
                Some(answer) => answer.as_ref().is_ok_and(Cached::is_valid),
                // Its task may have gone with its runtime.
                None => known.has_changed().is_ok(),
            };
            if usable {
                return known.clone();
            }
        }
        let (answer, receiver) = watch::channel(None);
        channels.insert(which.clone(), receiver.clone());
        tokio::spawn(async move {
            let cached = Cached::ask(&keys, &which).await;
            answer.send_replace(Some(cached.map_err(|error| error.to_string())));
        });
        receiver
    }
}

/// What is asked of the task that owns the cache.
struct Request {
    which: Which,
    answer: oneshot::Sender<Result<DataKey, String>>,
}

/// A task that owns the keys, and knows who waits for which.
#[derive(Default)]
struct Owner {
    cached: HashMap<Which, Cached>,
    waiting: HashMap<Which, Vec<oneshot::Sender<Result<DataKey, String>>>>,
}

impl Owner {
    fn start(keys: KeyService) -> mpsc::Sender<Request> {
        let (ask, mut asked) = mpsc::channel(100);
        tokio::spawn(async move {
            let mut owner = Self::default();
            let mut calls = JoinSet::new();
            loop {
                tokio::select! {
                    request = asked.recv() => {
                        let Some(Request { which, answer }) = request else { return };
                        if let Some(key) = owner.cached.get(&which).and_then(Cached::if_valid) {
                            answer.send(Ok(key)).ok();
                            continue;
                        }
                        let waiting = owner.waiting.entry(which.clone()).or_default();
                        waiting.push(answer);
                        if waiting.len() == 1 {
                            let keys = keys.clone();
                            calls.spawn(async move {
                                let cached = Cached::ask(&keys, &which).await;
                                (which, cached.map_err(|error| error.to_string()))
                            });
                        }
                    }
                    Some(Ok((which, cached))) = calls.join_next() => {
                        let key = cached.map(|cached| {
                            owner.cached.insert(which.clone(), cached.clone());
                            cached.key
                        });
                        for answer in owner.waiting.remove(&which).unwrap_or_default() {
                            answer.send(key.clone()).ok();
                        }
                    }
                }
            }
        });
        ask
    }
}

/// Where keys come from.
trait KeySource: Send + Sync + 'static {
    fn get(&self, which: Which) -> BoxFuture<'static, Result<Cached, AnyError>>;
}

impl KeySource for Arc<KeyService> {
    fn get(&self, which: Which) -> BoxFuture<'static, Result<Cached, AnyError>> {
        let keys = Arc::clone(self);
        async move { Cached::ask(&keys, &which).await }.boxed()
    }
}

/// Caches what comes from another source.
struct Caching<S> {
    inner: S,
    cells: Cells,
}

impl<S: KeySource> KeySource for Caching<S> {
    fn get(&self, which: Which) -> BoxFuture<'static, Result<Cached, AnyError>> {
        let (cell, call) = (self.cells.cell(&which), self.inner.get(which));
        async move { Ok(cell.get_or_try_init(|| call).await?.clone()) }.boxed()
    }
}

/// Encrypts with keys of any source.
struct Encryption<S> {
    source: S,
}

impl<S: KeySource> PayloadCodec for Encryption<S> {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let key = self.source.get(None);
        crate::boxed(async move { Ok(seal_all(&key.await?.key, payloads)?) })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let ids = key_ids(&payloads);
        let found = try_join_all(ids.into_iter().map(|id| self.source.get(Some(id))));
        crate::boxed(async move {
            let found = found.await?.into_iter().map(|cached| cached.key).collect();
            Ok(open_all(&found, payloads)?)
        })
    }
}
