//! Codecs that wait without blocking, built in as many ways as we could think of.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    slice,
    sync::{Arc, LazyLock},
    task::{Context, Poll, ready},
    time::Instant,
};

use codec_kit::{
    AnyCodec, CodecFuture, DataKey, DataKeys, KeyService, KeyServiceError, OpenError, Payload,
    PayloadCodec, PayloadConversionError, SealError, SerializationContextData, codec_future,
    key_ids, open, open_all, seal, seal_all,
};
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{AbortHandle, BoxFuture, abortable, try_join_all},
    stream::{self, FuturesUnordered},
};
use solutions::Step;
use tokio::{
    runtime,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::good;
use crate::{
    AnyError, Variant,
    Verdict::{Right, RightAtAnyCost},
    both, codec, each, encodes, opens,
};

pub(super) fn variants() -> Vec<Variant> {
    [combinators(), structure()].into_iter().flatten().collect()
}

fn combinators() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: 64 calls at a time to encode, and 64 to decode",
            make: |keys| {
                let (sealing, opening) =
                    (Arc::new(Semaphore::new(64)), Arc::new(Semaphore::new(64)));
                codec(
                    keys,
                    move |keys, payloads| {
                        let places = Arc::clone(&sealing);
                        async move {
                            let _place = places.acquire().await?;
                            good(keys, payloads).await
                        }
                    },
                    move |keys, payloads| {
                        let places = Arc::clone(&opening);
                        async move {
                            let _place = places.acquire().await?;
                            opens(keys, payloads).await
                        }
                    },
                )
            },
            expected: each(Right, RightAtAnyCost),
        },
        Variant {
            name: "right: FuturesUnordered for a call's keys to decode with",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let ids = key_ids(&payloads);
                    let calls: FuturesUnordered<_> =
                        ids.iter().map(|id| keys.data_key_by_id(id)).collect();
                    let found: Vec<DataKey> = calls.try_collect().await?;
                    Ok(open_all(&found.into_iter().collect(), payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: a stream that asks for eight of a call's keys at a time",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let calls = stream::iter(key_ids(&payloads)).map(|id| {
                        let keys = keys.clone();
                        async move { keys.data_key_by_id(&id).await }
                    });
                    let found: Vec<DataKey> = calls.buffer_unordered(8).try_collect().await?;
                    Ok(open_all(&found.into_iter().collect(), payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: a JoinSet for a call's keys, which aborts on drop",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let mut calls = JoinSet::new();
                    for id in key_ids(&payloads) {
                        let keys = keys.clone();
                        calls.spawn(async move { keys.data_key_by_id(&id).await });
                    }
                    let mut found = DataKeys::default();
                    while let Some(key) = calls.join_next().await {
                        found.insert(key??);
                    }
                    Ok(open_all(&found, payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: the request starts when the future is made, and ends when it is dropped",
            make: |keys| {
                encodes(keys, |keys, payloads| {
                    let mut call = JoinSet::new();
                    call.spawn(async move { keys.data_key().await });
                    async move {
                        let key = call.join_next().await.ok_or("no call")???;
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: a task for each call, with an AbortHandle",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let (call, handle) = abortable(async move { keys.data_key().await });
                    let _abort = AbortWhenDropped(handle);
                    Ok(seal_all(&tokio::spawn(call).await???, payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: select! between the key and the end of the codec",
            make: |keys| {
                let (stop, stopped) = watch::channel(());
                let stop = Arc::new(stop);
                encodes(keys, move |keys, payloads| {
                    let (mut stopped, _stop) = (stopped.clone(), Arc::clone(&stop));
                    async move {
                        let key = tokio::select! {
                            key = keys.data_key() => key?,
                            _ = stopped.changed() => return Err("the worker stops".into()),
                        };
                        Ok(seal_all(&key, payloads)?)
                    }
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: each payload of a call to decode by itself, all at once",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let each =
                        payloads.into_iter().map(|payload| opens(keys.clone(), vec![payload]));
                    Ok(try_join_all(each).await?.concat())
                })
            },
            // A thousand payloads are a thousand requests: right, and dear.
            expected: both(RightAtAnyCost),
        },
    ]
}

fn structure() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: futures written by hand",
            make: |keys| AnyCodec::new(ByHand { keys }),
            expected: both(Right),
        },
        Variant {
            name: "right: async fn in a trait",
            make: |keys| AnyCodec::new(Generic { source: Arc::new(keys) }),
            expected: both(Right),
        },
        Variant {
            name: "right: layers of codecs",
            make: |keys| {
                AnyCodec::new(Timed(Limited {
                    inner: Encrypted(keys),
                    places: Arc::new(Semaphore::new(500)),
                }))
            },
            expected: both(Right),
        },
        Variant {
            name: "right: an error type of its own",
            make: |keys| {
                codec(
                    keys,
                    |keys, payloads| async move { Ok(own_encode(keys, payloads).await?) },
                    |keys, payloads| async move { Ok(own_decode(keys, payloads).await?) },
                )
            },
            expected: both(Right),
        },
        Variant {
            name: "right: logs ids and sizes, and no payload",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await.inspect_err(|error| tracing::warn!(%error))?;
                    let bytes: usize = payloads.iter().map(|payload| payload.data.len()).sum();
                    tracing::info!(
                        key = key.id(),
                        ?key,
                        bytes,
                        payloads = payloads.len(),
                        "encodes"
                    );
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: decode asks for nothing where nothing is encrypted",
            make: |keys| {
                codec(
                    keys,
                    |keys, payloads| async move {
                        if payloads.is_empty() { Ok(payloads) } else { good(keys, payloads).await }
                    },
                    |keys, payloads| async move {
                        if key_ids(&payloads).is_empty() {
                            return Ok(open_all(&DataKeys::default(), payloads)?);
                        }
                        opens(keys, payloads).await
                    },
                )
            },
            expected: both(Right),
        },
        Variant {
            name: "right: other metadata beside its own",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let mut sealed = good(keys, payloads).await?;
                    for payload in &mut sealed {
                        payload.metadata.insert("codec-version".to_owned(), b"2".to_vec());
                    }
                    Ok(sealed)
                })
            },
            // We are not sure: the samples' format has two entries, and readers ignore others.
            expected: both(Right),
        },
        Variant {
            name: "right: payloads are grouped by key, decrypted and put back in order",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let mut groups = BTreeMap::<_, Vec<(usize, Payload)>>::new();
                    for (place, payload) in payloads.into_iter().enumerate() {
                        let id = key_ids(slice::from_ref(&payload)).pop_first();
                        groups.entry(id).or_default().push((place, payload));
                    }
                    let groups = groups.into_values().map(|group| {
                        let (places, payloads): (Vec<_>, Vec<_>) = group.into_iter().unzip();
                        let opened = opens(keys.clone(), payloads);
                        async move { Ok::<_, AnyError>(places.into_iter().zip(opened.await?)) }
                    });
                    let mut opened: Vec<_> =
                        try_join_all(groups).await?.into_iter().flatten().collect();
                    opened.sort_by_key(|(place, _)| *place);
                    Ok(opened.into_iter().map(|(_, payload)| payload).collect())
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: spawns the work on the runtime that makes it, and falls back to its own",
            make: |keys| {
                static OWN: LazyLock<runtime::Runtime> = LazyLock::new(|| {
                    let mut runtime = runtime::Builder::new_multi_thread();
                    runtime
                        .worker_threads(1)
                        .enable_all()
                        .build()
                        .expect("a runtime can be started")
                });
                encodes(keys, |keys, payloads| async move {
                    let mut call = JoinSet::new();
                    match runtime::Handle::try_current() {
                        Ok(current) => call.spawn_on(good(keys, payloads), &current),
                        Err(_) => call.spawn_on(good(keys, payloads), OWN.handle()),
                    };
                    call.join_next().await.ok_or("no call")??
                })
            },
            expected: both(Right),
        },
        Variant {
            name: "right: wraps the codec of exercise 3",
            make: |keys| AnyCodec::new(Timed(Step::Async.codec(keys))),
            expected: both(Right),
        },
    ]
}

type Key = Result<DataKey, KeyServiceError>;

struct AbortWhenDropped(AbortHandle);

impl Drop for AbortWhenDropped {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A codec whose futures are structs.
struct ByHand {
    keys: KeyService,
}

impl PayloadCodec for ByHand {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keys = self.keys.clone();
        Box::pin(Encoding::Waiting { key: async move { keys.data_key().await }.boxed(), payloads })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let waiting = key_ids(&payloads).into_iter().map(|id| {
            let keys = self.keys.clone();
            async move { keys.data_key_by_id(&id).await }.boxed()
        });
        Box::pin(Decoding { waiting: waiting.collect(), found: DataKeys::default(), payloads })
    }
}

/// What an encoding waits for.
enum Encoding {
    Waiting { key: BoxFuture<'static, Key>, payloads: Vec<Payload> },
    Done,
}

impl Future for Encoding {
    type Output = Result<Vec<Payload>, PayloadConversionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self::Waiting { key, payloads } = &mut *self else {
            panic!("polled after it was done");
        };
        let key = ready!(key.poll_unpin(context));
        let payloads = std::mem::take(payloads);
        *self = Self::Done;
        let sealed = key.map_err(codec_kit::Error::from).and_then(|key| seal_all(&key, payloads));
        Poll::Ready(sealed.map_err(Into::into))
    }
}

/// The keys that a decoding waits for, all at once, and those that have come.
struct Decoding {
    waiting: Vec<BoxFuture<'static, Key>>,
    found: DataKeys,
    payloads: Vec<Payload>,
}

impl Future for Decoding {
    type Output = Result<Vec<Payload>, PayloadConversionError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut failed = None;
        this.waiting.retain_mut(|key| match key.poll_unpin(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(key)) => {
                this.found.insert(key);
                false
            }
            Poll::Ready(Err(error)) => {
                failed = Some(error);
                false
            }
        });
        if let Some(error) = failed {
            return Poll::Ready(Err(codec_kit::Error::from(error).into()));
        }
        if !this.waiting.is_empty() {
            return Poll::Pending;
        }
        let payloads = std::mem::take(&mut this.payloads);
        Poll::Ready(open_all(&this.found, payloads).map_err(Into::into))
    }
}

/// Where keys come from.
trait KeySource: Send + Sync + 'static {
    fn active(&self) -> impl Future<Output = Key> + Send;
    fn by_id(&self, id: &str) -> impl Future<Output = Key> + Send;
}

impl KeySource for KeyService {
    async fn active(&self) -> Key {
        self.data_key().await
    }

    async fn by_id(&self, id: &str) -> Key {
        self.data_key_by_id(id).await
    }
}

struct Generic<S> {
    source: Arc<S>,
}

impl<S: KeySource> PayloadCodec for Generic<S> {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let source = Arc::clone(&self.source);
        codec_future(async move { seal_all(&source.active().await?, payloads) })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let source = Arc::clone(&self.source);
        codec_future(async move {
            let mut found = DataKeys::default();
            for id in key_ids(&payloads) {
                found.insert(source.by_id(&id).await?);
            }
            open_all(&found, payloads)
        })
    }
}

/// Encrypts. The innermost of the layers.
struct Encrypted(KeyService);

impl PayloadCodec for Encrypted {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        crate::boxed(good(self.0.clone(), payloads))
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        crate::boxed(opens(self.0.clone(), payloads))
    }
}

/// Lets so many calls in at a time.
struct Limited<C> {
    inner: C,
    places: Arc<Semaphore>,
}

impl<C> Limited<C> {
    fn in_turn(&self, call: CodecFuture) -> CodecFuture {
        let places = Arc::clone(&self.places);
        async move {
            let place = places.acquire().await;
            let _place =
                place.map_err(|error| PayloadConversionError::EncodingError(error.into()))?;
            call.await
        }
        .boxed()
    }
}

impl<C: PayloadCodec> PayloadCodec for Limited<C> {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.in_turn(self.inner.encode(context, payloads))
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.in_turn(self.inner.decode(context, payloads))
    }
}

/// Logs how long calls take.
struct Timed<C>(C);

fn timed(call: CodecFuture) -> CodecFuture {
    let began = Instant::now();
    call.inspect(move |_| tracing::debug!(took = ?began.elapsed())).boxed()
}

impl<C: PayloadCodec> PayloadCodec for Timed<C> {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        timed(self.0.encode(context, payloads))
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        timed(self.0.decode(context, payloads))
    }
}

/// Every error that it knows, with a text of its own.
#[derive(Debug, thiserror::Error)]
enum OwnError {
    #[error("could not get a key from the key service")]
    Key(#[source] KeyServiceError),
    #[error("could not encrypt payload {place} of a call")]
    Seal { place: usize, source: SealError },
    #[error("could not decrypt payload {place} of a call")]
    Open { place: usize, source: OpenError },
}

async fn own_encode(keys: KeyService, payloads: Vec<Payload>) -> Result<Vec<Payload>, OwnError> {
    let key = keys.data_key().await.map_err(OwnError::Key)?;
    let sealed = payloads.iter().enumerate().map(|(place, payload)| {
        seal(&key, payload).map_err(|source| OwnError::Seal { place, source })
    });
    sealed.collect()
}

async fn own_decode(keys: KeyService, payloads: Vec<Payload>) -> Result<Vec<Payload>, OwnError> {
    let mut found = DataKeys::default();
    for id in key_ids(&payloads) {
        found.insert(keys.data_key_by_id(&id).await.map_err(OwnError::Key)?);
    }
    let opened = payloads.into_iter().enumerate().map(|(place, payload)| {
        open(&found, payload).map_err(|source| OwnError::Open { place, source })
    });
    opened.collect()
}
