//! Codecs that block the thread where it is easy to miss.

use std::{
    future::Future,
    hint,
    pin::Pin,
    sync::{
        Arc, Mutex as StdMutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use codec_kit::{
    AnyCodec, CodecFuture, KeyService, Payload, PayloadCodec, PayloadConversionError,
    SerializationContextData, key_ids, seal_all,
};
use futures::{FutureExt, future::BoxFuture};
use judge::promises::{
    PASSES_ERRORS_ON, RELEASES_IT_ALWAYS, RELEASES_THREAD, STALLS_TOGETHER, WAITS_QUIETLY,
};
use moka::future::Cache;
use tokio::{
    sync::oneshot,
    task::{JoinSet, yield_now},
    time::sleep,
};

use super::{Cached, Counter, ask, blocking, good, last, lock, opens_blocking, second};
use crate::{
    Done, Variant,
    Verdict::{self, RightAtAnyCost, Wrong, WrongSomehow},
    Which, both, boxed, codec, encodes, gets_keys, opens,
};

const BLOCKS: Verdict = Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS, WAITS_QUIETLY]);
/// Longer than any poll should be.
const LONG: Duration = Duration::from_millis(200);

pub(super) fn variants() -> Vec<Variant> {
    [errors(), calls_of_some_kind(), before_and_after(), never_rests()]
        .into_iter()
        .flatten()
        .collect()
}

/// They block when something has failed.
fn errors() -> Vec<Variant> {
    vec![
        Variant {
            name: "a retry blocks between the tries",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    if let Ok(key) = keys.data_key().await {
                        return Ok(seal_all(&key, payloads)?);
                    }
                    thread::sleep(LONG);
                    good(keys, payloads).await
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "a retry asks with the blocking call",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    match keys.data_key().await {
                        Ok(key) => Ok(seal_all(&key, payloads)?),
                        Err(_) => blocking(keys, payloads).await,
                    }
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "a retry of decode asks with the blocking call",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    match opens(keys.clone(), payloads.clone()).await {
                        Ok(opened) => Ok(opened),
                        Err(_) => opens_blocking(keys, payloads).await,
                    }
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "an error is reported on the thread, which takes 200 ms",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let sealed = good(keys, payloads).await;
                    if sealed.is_err() {
                        thread::sleep(LONG);
                    }
                    sealed
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "an error of decode is reported on the thread, which takes 200 ms",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let opened = opens(keys, payloads).await;
                    if opened.is_err() {
                        thread::sleep(LONG);
                    }
                    opened
                })
            },
            expected: both(BLOCKS),
        },
    ]
}

/// They block in calls of one kind.
fn calls_of_some_kind() -> Vec<Variant> {
    vec![
        Variant {
            name: "decoding nothing blocks",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    if payloads.is_empty() {
                        keys.data_key_blocking()?;
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "encoding nothing blocks",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    if payloads.is_empty() {
                        blocking(keys, payloads).await
                    } else {
                        good(keys, payloads).await
                    }
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "decoding what is not encrypted blocks",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    if key_ids(&payloads).is_empty() && !payloads.is_empty() {
                        keys.data_key_blocking()?;
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "decoding with a second key in a call blocks",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    if key_ids(&payloads).len() > 1 {
                        return opens_blocking(keys, payloads).await;
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "decoding a large payload works on the thread for 200 ms",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let opened = opens(keys, payloads).await?;
                    if opened.iter().any(|payload| payload.data.len() > 1 << 20) {
                        let began = Instant::now();
                        while began.elapsed() < LONG {
                            hint::spin_loop();
                        }
                    }
                    Ok(opened)
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "the first call after 300 ms of rest blocks",
            make: |keys| {
                let used = Arc::new(StdMutex::new(Instant::now()));
                encodes(keys, move |keys, payloads| {
                    let rested = lock(&used).elapsed() > Duration::from_millis(300);
                    *lock(&used) = Instant::now();
                    async move {
                        // As if it connected again.
                        if rested {
                            blocking(keys, payloads).await
                        } else {
                            good(keys, payloads).await
                        }
                    }
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "the first call blocks",
            make: |keys| {
                let calls = Counter::default();
                encodes(keys, move |keys, payloads| {
                    let first = calls.count() == 1;
                    async move {
                        if first {
                            blocking(keys, payloads).await
                        } else {
                            good(keys, payloads).await
                        }
                    }
                })
            },
            expected: both(BLOCKS),
        },
    ]
}

/// They block before the future is polled, or after it is done.
fn before_and_after() -> Vec<Variant> {
    vec![
        Variant {
            name: "making the future blocks, from the second call on",
            make: |keys| {
                let calls = Counter::default();
                encodes(keys, move |keys, payloads| {
                    let key = (calls.count() > 1).then(|| keys.data_key_blocking());
                    async move {
                        match key {
                            Some(key) => Ok(seal_all(&key?, payloads)?),
                            None => good(keys, payloads).await,
                        }
                    }
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "making the future of the second call blocks",
            make: |keys| {
                let calls = Counter::default();
                encodes(keys, move |keys, payloads| {
                    if calls.count() == 2 {
                        thread::sleep(LONG);
                    }
                    good(keys, payloads)
                })
            },
            expected: both(BLOCKS),
        },
        Variant {
            name: "a future that is dropped while it waits blocks",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let unfinished = SleepOnDrop(AtomicBool::new(true));
                    let sealed = good(keys, payloads).await;
                    unfinished.0.store(false, Relaxed);
                    sealed
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a future that is dropped while it waits joins its thread",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let (answer, key) = oneshot::channel();
                    let _join = JoinOnDrop(Some(thread::spawn(move || {
                        answer.send(keys.data_key_blocking()).ok();
                    })));
                    Ok(seal_all(&key.await??, payloads)?)
                })
            },
            // From step 3 on it needs no thread in the first place.
            expected: second(WrongSomehow),
        },
        Variant {
            name: "every tenth future blocks when it is dropped after its result",
            make: |keys| AnyCodec::new(DropsSlowly { keys, calls: Counter::default() }),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a task of its own blocks after the result",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let sealed = good(keys, payloads).await;
                    tokio::spawn(async { thread::sleep(LONG) });
                    sealed
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a task of its own blocks every now and then",
            make: |keys| {
                let started = Arc::new(AtomicBool::new(false));
                encodes(keys, move |keys, payloads| {
                    let first = !started.swap(true, Relaxed);
                    async move {
                        if first {
                            tokio::spawn(async {
                                loop {
                                    sleep(Duration::from_millis(500)).await;
                                    thread::sleep(LONG);
                                }
                            });
                        }
                        good(keys, payloads).await
                    }
                })
            },
            expected: both(WrongSomehow),
        },
    ]
}

/// They are polled all the time.
fn never_rests() -> Vec<Variant> {
    vec![
        Variant {
            name: "followers spin while the leader waits",
            make: |keys| followers(keys, || yield_now().boxed()),
            expected: last(WrongSomehow),
        },
        Variant {
            name: "followers look every millisecond whether the leader has its key",
            make: |keys| followers(keys, || sleep(Duration::from_millis(1)).boxed()),
            expected: last(WrongSomehow),
        },
        Variant {
            name: "followers block for 20 ms before they look again",
            make: |keys| {
                followers(keys, || {
                    async {
                        thread::sleep(Duration::from_millis(20));
                        yield_now().await;
                    }
                    .boxed()
                })
            },
            expected: last(WrongSomehow),
        },
        Variant {
            name: "decode looks every millisecond whether its keys have come",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let mut call = JoinSet::new();
                    call.spawn(opens(keys, payloads));
                    loop {
                        match call.try_join_next() {
                            Some(opened) => return opened?,
                            None => sleep(Duration::from_millis(1)).await,
                        }
                    }
                })
            },
            expected: both(Wrong(&[WAITS_QUIETLY])),
        },
        Variant {
            name: "a thread wakes the waiting future every millisecond",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    Nagged { work: good(keys, payloads).boxed(), nag: None }.await
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a thread of its own looks for something to do, without a pause",
            make: |keys| {
                let alive = Arc::new(());
                let codec = Arc::downgrade(&alive);
                thread::spawn(move || {
                    while codec.strong_count() > 0 {
                        hint::spin_loop();
                    }
                });
                encodes(keys, move |keys, payloads| {
                    let _alive = &alive;
                    good(keys, payloads)
                })
            },
            expected: both(Wrong(&[WAITS_QUIETLY])),
        },
        Variant {
            name: "a thread of the blocking pool spins until decode has its keys",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let call = tokio::spawn(opens(keys, payloads));
                    let spins = move || {
                        while !call.is_finished() {
                            hint::spin_loop();
                        }
                        call
                    };
                    tokio::task::spawn_blocking(spins).await?.await?
                })
            },
            // Many such threads leave no processor for the one that is not to be blocked.
            expected: both(Wrong(&[WAITS_QUIETLY, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "encoding a call works for 10 ms on each payload, and yields",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let mut sealed = Vec::new();
                    for payload in payloads {
                        let began = Instant::now();
                        while began.elapsed() < Duration::from_millis(10) {
                            hint::spin_loop();
                        }
                        sealed.extend(seal_all(&key, vec![payload])?);
                        yield_now().await;
                    }
                    Ok(sealed)
                })
            },
            // A thousand payloads in a call take 10 s.
            expected: both(RightAtAnyCost),
        },
        Variant {
            name: "asks for 10 ms at a time, a hundred times, on the thread",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let (answer, key) = std::sync::mpsc::channel();
                    tokio::task::spawn_blocking(move || answer.send(keys.data_key_blocking()));
                    loop {
                        match key.recv_timeout(Duration::from_millis(10)) {
                            Ok(key) => return Ok(seal_all(&key?, payloads)?),
                            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => yield_now().await,
                            Err(error) => return Err(error.into()),
                        }
                    }
                })
            },
            expected: both(Wrong(&[
                RELEASES_THREAD,
                RELEASES_IT_ALWAYS,
                STALLS_TOGETHER,
                WAITS_QUIETLY,
                PASSES_ERRORS_ON,
            ])),
        },
    ]
}

struct SleepOnDrop(AtomicBool);

impl Drop for SleepOnDrop {
    fn drop(&mut self) {
        if self.0.load(Relaxed) {
            thread::sleep(LONG);
        }
    }
}

struct JoinOnDrop(Option<thread::JoinHandle<()>>);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        self.0.take().map(thread::JoinHandle::join);
    }
}

/// A codec, every tenth of whose futures blocks when it is dropped. It has no closures, as what
/// calls them drops their futures before it is done itself.
struct DropsSlowly {
    keys: KeyService,
    calls: Counter,
}

impl PayloadCodec for DropsSlowly {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        Box::pin(Dropped {
            work: boxed(good(self.keys.clone(), payloads)),
            _slow: SleepOnDrop(AtomicBool::new(self.calls.is_every(10))),
        })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        boxed(opens(self.keys.clone(), payloads))
    }
}

/// Work, and something that is dropped after it.
struct Dropped {
    work: CodecFuture,
    _slow: SleepOnDrop,
}

impl Future for Dropped {
    type Output = Result<Vec<Payload>, PayloadConversionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.work.as_mut().poll(context)
    }
}

/// Work whose task a thread wakes all the time.
struct Nagged {
    work: BoxFuture<'static, Done>,
    nag: Option<Arc<AtomicUsize>>,
}

impl Future for Nagged {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        if self.nag.is_none() {
            let alive = Arc::new(AtomicUsize::new(0));
            let (watch, waker) = (Arc::downgrade(&alive), context.waker().clone());
            thread::spawn(move || {
                while watch.strong_count() > 0 {
                    thread::sleep(Duration::from_millis(1));
                    waker.wake_by_ref();
                }
            });
            self.nag = Some(alive);
        }
        self.work.as_mut().poll(context)
    }
}

/// A cache whose leader asks, while followers do this again and again.
fn followers(keys: KeyService, wait: fn() -> BoxFuture<'static, ()>) -> AnyCodec {
    let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
    let leading = Arc::new(StdMutex::new(std::collections::HashSet::new()));
    gets_keys(keys, move |keys, which| {
        let (cache, leading): (Cache<Which, Cached>, _) = (cache.clone(), Arc::clone(&leading));
        async move {
            loop {
                if let Some(cached) = cache.get(&which).await {
                    return Ok(cached.key);
                }
                if lock(&leading).insert(which.clone()) {
                    let _place = Leading { leading: Arc::clone(&leading), which: which.clone() };
                    let key = ask(&keys, &which).await?;
                    cache.insert(which, Cached::new(&keys, key.clone())).await;
                    return Ok(key);
                }
                wait().await;
            }
        }
    })
}

/// The leader's place, which is free again when the leader is done or dropped.
struct Leading {
    leading: Arc<StdMutex<std::collections::HashSet<Which>>>,
    which: Which,
}

impl Drop for Leading {
    fn drop(&mut self) {
        lock(&self.leading).remove(&self.which);
    }
}
