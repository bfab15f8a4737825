//! Codecs that keep a step's promise.

use std::{
    io,
    sync::{Arc, Mutex as StdMutex, OnceLock, PoisonError, mpsc as std_mpsc},
    thread,
    time::Duration,
};

use codec_kit::{AnyCodec, DataKey, KeyService, KeyServiceError, Payload, seal, seal_all};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, Shared, select_ok, try_join_all},
    stream::{FuturesOrdered, FuturesUnordered},
};
use judge::promises::{
    LEAVES_NOTHING, LETS_KEYS_EXPIRE, NEEDS_NO_THREAD, RELEASES_THREAD, STALLS_TOGETHER,
};
use solutions::Step;
use tokio::{
    runtime,
    sync::{Mutex, OnceCell, Semaphore, mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking, yield_now},
    time::{sleep, timeout},
};

use crate::{
    Variant,
    Verdict::{self, AtACost, Right, Wrong},
    both, each, encodes,
};

const WAITING: &str = "stalls wait for each other";
const SHARED: &str = "keys are shared";
const THREADS: Verdict = Wrong(&[NEEDS_NO_THREAD]);

type Key = Result<DataKey, KeyServiceError>;

pub(crate) fn variants() -> Vec<Variant> {
    vec![
        Variant {
            name: "reference of step 1",
            make: |keys| Step::Blocking.codec(keys),
            expected: vec![
                (Step::Blocking, Right),
                (Step::SpawnBlocking, Wrong(&[RELEASES_THREAD])),
                (Step::Async, Wrong(&[RELEASES_THREAD])),
            ],
        },
        Variant {
            name: "reference of step 2",
            make: |keys| Step::SpawnBlocking.codec(keys),
            expected: each(Right, THREADS),
        },
        Variant {
            name: "reference of step 3",
            make: |keys| Step::Async.codec(keys),
            expected: [vec![(Step::Blocking, AtACost("releases its thread already"))], both(Right)]
                .concat(),
        },
        Variant {
            name: "exercise 1: asks for a key when it is made",
            make: |keys| {
                keys.data_key_blocking().ok();
                Step::Blocking.codec(keys)
            },
            expected: vec![(Step::Blocking, Right)],
        },
        // Threads that wait.
        Variant {
            name: "spawn_blocking, 32 at a time",
            make: |keys| limited(keys, 32),
            expected: each(Right, THREADS),
        },
        Variant {
            name: "spawn_blocking, 4 at a time",
            make: |keys| limited(keys, 4),
            expected: each(AtACost(WAITING), Wrong(&[NEEDS_NO_THREAD, STALLS_TOGETHER])),
        },
        Variant {
            name: "spawn_blocking behind a std mutex",
            make: |keys| {
                let lock = Arc::new(StdMutex::new(()));
                encodes(keys, move |keys, payloads| {
                    let lock = Arc::clone(&lock);
                    async move {
                        let key = spawn_blocking(move || {
                            let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
                            keys.data_key_blocking()
                        });
                        Ok(seal_all(&key.await??, payloads)?)
                    }
                })
            },
            expected: each(AtACost(WAITING), THREADS),
        },
        Variant {
            name: "spawn_blocking, and the runtime's handle blocks on the async call there",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let handle = runtime::Handle::current();
                    let key = spawn_blocking(move || handle.block_on(keys.data_key()));
                    Ok(seal_all(&key.await??, payloads)?)
                })
            },
            expected: each(Right, THREADS),
        },
        Variant {
            name: "spawn_blocking, and a runtime for each call there",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = spawn_blocking(move || {
                        let runtime =
                            runtime::Builder::new_current_thread().enable_time().build()?;
                        Ok::<_, io::Error>(runtime.block_on(keys.data_key()))
                    });
                    Ok(seal_all(&key.await???, payloads)?)
                })
            },
            expected: each(Right, THREADS),
        },
        Variant {
            name: "a thread of its own with a channel",
            make: |keys| threads_with_a_channel(keys, 1),
            expected: each(AtACost(WAITING), Wrong(&[STALLS_TOGETHER])),
        },
        Variant {
            name: "16 threads of its own with a channel",
            make: |keys| threads_with_a_channel(keys, 16),
            expected: each(Right, THREADS),
        },
        Variant {
            name: "a thread for each call",
            make: |keys| {
                encodes(keys, |keys, payloads| {
                    let (sender, receiver) = oneshot::channel();
                    thread::spawn(move || sender.send(keys.data_key_blocking()));
                    async move { Ok(seal_all(&receiver.await??, payloads)?) }
                })
            },
            expected: each(AtACost("starts its own threads"), THREADS),
        },
        // Waiting without a thread.
        Variant {
            name: "a lock held across the await",
            make: |keys| {
                let lock = Arc::new(Mutex::new(()));
                encodes(keys, move |keys, payloads| {
                    let lock = Arc::clone(&lock);
                    async move {
                        let _held = lock.lock().await;
                        Ok(seal_all(&keys.data_key().await?, payloads)?)
                    }
                })
            },
            expected: each(AtACost(WAITING), Wrong(&[STALLS_TOGETHER])),
        },
        Variant {
            name: "async, 32 at a time",
            make: |keys| {
                let places = Arc::new(Semaphore::new(32));
                encodes(keys, move |keys, payloads| {
                    let places = Arc::clone(&places);
                    async move {
                        let _place = places.acquire().await?;
                        Ok(seal_all(&keys.data_key().await?, payloads)?)
                    }
                })
            },
            expected: each(Right, AtACost("100 concurrent stalls")),
        },
        Variant {
            name: "tokio::spawn, aborted when dropped",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let mut call = AbortOnDrop(tokio::spawn(async move { keys.data_key().await }));
                    Ok(seal_all(&(&mut call.0).await??, payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "tokio::spawn, left alone when dropped",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = tokio::spawn(async move { keys.data_key().await }).await??;
                    Ok(seal_all(&key, payloads)?)
                })
            },
            // What spawn_blocking leaves behind ends just as late; it can't be cancelled.
            expected: each(Right, Wrong(&[LEAVES_NOTHING])),
        },
        Variant {
            name: "a deadline of 10 s, then an error",
            make: |keys| deadline(keys, Duration::from_secs(10)),
            expected: both(Right),
        },
        Variant {
            name: "a deadline of 0.6 s, then an error",
            make: |keys| deadline(keys, Duration::from_millis(600)),
            expected: both(AtACost("is an error")),
        },
        Variant {
            name: "two more tries, then the error",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    for pause in [10, 20] {
                        if let Ok(key) = keys.data_key().await {
                            return Ok(seal_all(&key, payloads)?);
                        }
                        sleep(Duration::from_millis(pause)).await;
                    }
                    Ok(seal_all(&keys.data_key().await?, payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "a second call when the first is late, the sooner one counts",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let second = async {
                        sleep(Duration::from_millis(50)).await;
                        keys.data_key().await
                    };
                    let (key, _) = select_ok([keys.data_key().boxed(), second.boxed()]).await?;
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "a key for each payload, all at once",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let sealed = payloads.iter().map(|payload| one(&keys, payload));
                    try_join_all(sealed).await
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "a key for each payload, FuturesOrdered",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let sealed: FuturesOrdered<_> =
                        payloads.iter().map(|payload| one(&keys, payload)).collect();
                    sealed.try_collect().await
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "a key for each payload, one after another",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let mut sealed = Vec::new();
                    for payload in &payloads {
                        sealed.push(one(&keys, payload).await?);
                    }
                    Ok(sealed)
                })
            },
            expected: both(AtACost("a call with 12 payloads waits for")),
        },
        Variant {
            name: "sealed on the blocking pool, after an async wait",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    Ok(spawn_blocking(move || seal_all(&key, payloads)).await??)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "lets others run between its payloads",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let mut sealed = Vec::with_capacity(payloads.len());
                    for payload in &payloads {
                        sealed.push(seal(&key, payload)?);
                        yield_now().await;
                    }
                    Ok(sealed)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "no key asked for where nothing is to be sealed",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    if payloads.is_empty() {
                        return Ok(payloads);
                    }
                    Ok(seal_all(&keys.data_key().await?, payloads)?)
                })
            },
            expected: both(Right),
        },
        // Something of its own that lives on.
        Variant {
            name: "a runtime of its own, made once; calls aborted when dropped",
            make: |keys| {
                let helper = Arc::new(Helper::start());
                encodes(keys, move |keys, payloads| {
                    let helper = Arc::clone(&helper);
                    async move {
                        let call = helper.handle.spawn(async move { keys.data_key().await });
                        Ok(seal_all(&(&mut AbortOnDrop(call).0).await??, payloads)?)
                    }
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "a task of its own, made once, that waits for all keys at once",
            make: |keys| {
                let task = Arc::new(OnceLock::new());
                encodes(keys, move |keys, payloads| {
                    let task = Arc::clone(&task);
                    async move {
                        let ask = task.get_or_init(|| Asker::start(keys));
                        let (sender, receiver) = oneshot::channel();
                        ask.send(sender)?;
                        Ok(seal_all(&receiver.await??, payloads)?)
                    }
                })
            },
            expected: both(Right),
        },
        // Fewer keys than calls.
        Variant {
            name: "a cache: OnceCell",
            make: |keys| {
                let cache = Arc::new(OnceCell::new());
                encodes(keys, move |keys, payloads| {
                    let cache = Arc::clone(&cache);
                    async move {
                        let key = cache.get_or_try_init(|| keys.data_key()).await?;
                        Ok(seal_all(key, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "a cache: a lock around an Option",
            make: |keys| {
                let cache = Arc::new(Mutex::new(None));
                encodes(keys, move |keys, payloads| {
                    let cache = Arc::clone(&cache);
                    async move {
                        let mut cached = cache.lock().await;
                        let key = match &*cached {
                            Some(key) => DataKey::clone(key),
                            None => cached.insert(keys.data_key().await?).clone(),
                        };
                        drop(cached);
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "calls that come together share one call, nothing is kept",
            make: |keys| {
                let flight = Arc::new(StdMutex::new(None));
                encodes(keys, move |keys, payloads| {
                    let flight = Arc::clone(&flight);
                    async move { Ok(seal_all(&shared(&flight, keys).await?, payloads)?) }
                })
            },
            expected: both(AtACost(SHARED)),
        },
        Variant {
            name: "a key fetched when the codec is made, and again if that failed",
            make: |keys| {
                let cache = Arc::new(OnceCell::new());
                if let Ok(key) = keys.data_key_blocking() {
                    cache.set(key).ok();
                }
                encodes(keys, move |keys, payloads| {
                    let cache = Arc::clone(&cache);
                    async move {
                        let key = cache.get_or_try_init(|| keys.data_key()).await?;
                        Ok(seal_all(key, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[LETS_KEYS_EXPIRE])),
        },
        Variant {
            name: "a thread that keeps a key fresh, errors included",
            make: |keys| {
                let fresh = Arc::new(Fresh::start(keys.clone()));
                encodes(keys, move |_, payloads| {
                    let mut key = fresh.key.clone();
                    async move {
                        let key = key.wait_for(Option::is_some).await?.clone();
                        Ok(seal_all(&key.ok_or("no key")??, payloads)?)
                    }
                })
            },
            expected: both(Wrong(&[LETS_KEYS_EXPIRE])),
        },
    ]
}

async fn one(
    keys: &KeyService,
    payload: &Payload,
) -> Result<Payload, Box<dyn std::error::Error + Send + Sync>> {
    Ok(seal(&keys.data_key().await?, payload)?)
}

fn limited(keys: KeyService, at_a_time: usize) -> AnyCodec {
    let places = Arc::new(Semaphore::new(at_a_time));
    encodes(keys, move |keys, payloads| {
        let places = Arc::clone(&places);
        async move {
            let place = places.acquire_owned().await?;
            let key = spawn_blocking(move || {
                let key = keys.data_key_blocking();
                drop(place);
                key
            });
            Ok(seal_all(&key.await??, payloads)?)
        }
    })
}

fn deadline(keys: KeyService, after: Duration) -> AnyCodec {
    encodes(keys, move |keys, payloads| async move {
        Ok(seal_all(&timeout(after, keys.data_key()).await??, payloads)?)
    })
}

/// The threads end with the codec.
fn threads_with_a_channel(keys: KeyService, threads: usize) -> AnyCodec {
    let (ask, asked) = std_mpsc::channel::<oneshot::Sender<Key>>();
    let asked = Arc::new(StdMutex::new(asked));
    for _ in 0..threads {
        let (asked, keys) = (Arc::clone(&asked), keys.clone());
        thread::spawn(move || {
            let next = || asked.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
            while let Some(answer) = next() {
                answer.send(keys.data_key_blocking()).ok();
            }
        });
    }
    encodes(keys, move |_, payloads| {
        let ask = ask.clone();
        async move {
            let (answer, key) = oneshot::channel();
            ask.send(answer)?;
            Ok(seal_all(&key.await??, payloads)?)
        }
    })
}

struct AbortOnDrop(JoinHandle<Key>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A runtime on a thread of its own, that ends with the codec.
struct Helper {
    handle: runtime::Handle,
    _stop: oneshot::Sender<()>,
}

impl Helper {
    fn start() -> Self {
        let runtime = runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be started");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        thread::spawn(move || runtime.block_on(stopped).ok());
        Self { handle, _stop: stop }
    }
}

/// A task that asks for keys, and drops a request whose answer no one waits for any more.
struct Asker;

impl Asker {
    fn start(keys: KeyService) -> mpsc::UnboundedSender<oneshot::Sender<Key>> {
        let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<Key>>();
        tokio::spawn(async move {
            let mut calls = FuturesUnordered::new();
            loop {
                tokio::select! {
                    next = asked.recv() => {
                        let Some(answer) = next else { return };
                        calls.push(Self::call(keys.clone(), answer));
                    }
                    Some(()) = calls.next() => {}
                }
            }
        });
        ask
    }

    async fn call(keys: KeyService, mut answer: oneshot::Sender<Key>) {
        tokio::select! {
            key = keys.data_key() => { answer.send(key).ok(); }
            () = answer.closed() => {}
        }
    }
}

type Flight = Shared<BoxFuture<'static, Result<DataKey, Arc<KeyServiceError>>>>;

/// The request that is in progress, or a new one.
async fn shared(
    flight: &StdMutex<Option<Flight>>,
    keys: KeyService,
) -> Result<DataKey, Arc<KeyServiceError>> {
    let call = {
        let mut flight = flight.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || async move { keys.data_key().await.map_err(Arc::new) }.boxed().shared();
        match &*flight {
            Some(call) if call.peek().is_none() => call.clone(),
            _ => flight.insert(new()).clone(),
        }
    };
    call.await
}

type Latest = Option<Result<DataKey, Arc<KeyServiceError>>>;

/// A thread that fetches a key now and then, and ends with the codec.
struct Fresh {
    key: watch::Receiver<Latest>,
    _stop: std_mpsc::Sender<()>,
}

impl Fresh {
    fn start(keys: KeyService) -> Self {
        let (latest, key) = watch::channel(None);
        let (stop, stopped) = std_mpsc::channel();
        let pause = Duration::from_millis(300);
        thread::spawn(move || {
            loop {
                latest.send_replace(Some(keys.data_key_blocking().map_err(Arc::new)));
                if stopped.recv_timeout(pause) != Err(std_mpsc::RecvTimeoutError::Timeout) {
                    break;
                }
            }
        });
        Self { key, _stop: stop }
    }
}
