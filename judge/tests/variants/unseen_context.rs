//! Codecs that do something wrong in one serialization context.

use std::sync::Arc;

use codec_kit::{
    AnyCodec, CodecFuture, KeyService, Payload, PayloadCodec, SerializationContextData, seal_all,
};
use futures::{FutureExt, future::BoxFuture};
use judge::promises::{PAYLOADS, RELEASES_IT_ALWAYS, RELEASES_THREAD, WAITS_FOR_KEY, WIRE_FORMAT};
use moka::future::Cache;

use super::{ask, blocking, good, last, opens_blocking, second, test_key};
use crate::{
    Done, Variant,
    Verdict::{Wrong, WrongSomehow},
    both, boxed, opens,
};

pub(super) fn variants() -> Vec<Variant> {
    use SerializationContextData as Context;

    vec![
        Variant {
            name: "only payloads without a context are encrypted",
            make: |keys| encodes_in(keys, |context| !matches!(context, Context::None), plain),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "activities in plaintext",
            make: |keys| encodes_in(keys, is_activity, plain),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "workflows in plaintext",
            make: |keys| encodes_in(keys, is_workflow, plain),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "Nexus operations in plaintext",
            make: |keys| encodes_in(keys, |context| matches!(context, Context::Nexus(_)), plain),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "another key for activities",
            make: |keys| {
                encodes_in(keys, is_activity, |keys, payloads| {
                    async move {
                        keys.data_key().await?;
                        Ok(seal_all(&test_key(), payloads)?)
                    }
                    .boxed()
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS, WAITS_FOR_KEY])),
        },
        Variant {
            name: "encode blocks for activities",
            make: |keys| {
                encodes_in(keys, is_activity, |keys, payloads| blocking(keys, payloads).boxed())
            },
            expected: both(Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "an error of the key service: plaintext, in workflows",
            make: |keys| {
                encodes_in(keys, is_workflow, |keys, payloads| {
                    good(keys, payloads.clone()).map(|sealed| sealed.or(Ok(payloads))).boxed()
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "decode blocks for workflows",
            make: |keys| {
                decodes_in(keys, is_workflow, |keys, given| opens_blocking(keys, given).boxed())
            },
            expected: both(Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "decode leaves activities' payloads as they are",
            make: |keys| decodes_in(keys, is_activity, plain),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "encode blocks, except for workflows",
            make: |keys| {
                encodes_in(
                    keys,
                    |context| !is_workflow(context),
                    |keys, payloads| blocking(keys, payloads).boxed(),
                )
            },
            expected: second(Wrong(&[RELEASES_THREAD, RELEASES_IT_ALWAYS])),
        },
        Variant {
            name: "workflows use a cached key, activities ask each time",
            make: |keys| {
                let cache = Cache::builder().time_to_live(keys.key_lifetime()).build();
                let cached = move |keys: KeyService, payloads| {
                    let cache: Cache<(), _> = cache.clone();
                    async move {
                        let key = cache.try_get_with((), async { ask(&keys, &None).await }).await;
                        Ok(seal_all(&key.map_err(|error| error.to_string())?, payloads)?)
                    }
                    .boxed()
                };
                ByContext {
                    keys,
                    encode: Arc::new(move |context, keys, payloads| match context {
                        Context::Workflow(_) => cached(keys, payloads),
                        _ => good(keys, payloads).boxed(),
                    }),
                    decode: Arc::new(|_, keys, given| opens(keys, given).boxed()),
                }
                .into()
            },
            // decode caches nothing, which is wrong as well.
            expected: last(WrongSomehow),
        },
    ]
}

fn is_activity(context: &SerializationContextData) -> bool {
    matches!(context, SerializationContextData::Activity(_))
}

fn is_workflow(context: &SerializationContextData) -> bool {
    matches!(context, SerializationContextData::Workflow(_))
}

type Work = BoxFuture<'static, Done>;
type ByContextWork =
    Arc<dyn Fn(&SerializationContextData, KeyService, Vec<Payload>) -> Work + Send + Sync>;

/// A codec whose work depends on the context.
struct ByContext {
    keys: KeyService,
    encode: ByContextWork,
    decode: ByContextWork,
}

impl PayloadCodec for ByContext {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        boxed((self.encode)(context, self.keys.clone(), payloads))
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        boxed((self.decode)(context, self.keys.clone(), payloads))
    }
}

impl From<ByContext> for AnyCodec {
    fn from(codec: ByContext) -> Self {
        Self::new(codec)
    }
}

/// Encodes otherwise in some contexts.
fn encodes_in(
    keys: KeyService,
    some: fn(&SerializationContextData) -> bool,
    otherwise: fn(KeyService, Vec<Payload>) -> Work,
) -> AnyCodec {
    let encode: ByContextWork = Arc::new(move |context, keys, payloads| {
        if some(context) { otherwise(keys, payloads) } else { good(keys, payloads).boxed() }
    });
    ByContext { keys, encode, decode: Arc::new(|_, keys, given| opens(keys, given).boxed()) }.into()
}

/// Decodes otherwise in some contexts.
fn decodes_in(
    keys: KeyService,
    some: fn(&SerializationContextData) -> bool,
    otherwise: fn(KeyService, Vec<Payload>) -> Work,
) -> AnyCodec {
    let decode: ByContextWork =
        Arc::new(
            move |context, keys, given| {
                if some(context) { otherwise(keys, given) } else { opens(keys, given).boxed() }
            },
        );
    ByContext { keys, encode: Arc::new(|_, keys, payloads| good(keys, payloads).boxed()), decode }
        .into()
}

/// Waits for a key and uses none.
fn plain(keys: KeyService, payloads: Vec<Payload>) -> Work {
    async move {
        keys.data_key().await?;
        Ok(payloads)
    }
    .boxed()
}
