//! Codecs for step 1: observed in part, twice or not at all. And some that are right.

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use codec_kit::{
    AnyCodec, CodecFuture, Figures, KeyService, Observed, Payload, PayloadCodec,
    SerializationContextData, seal_all,
};
use judge::promises::IS_OBSERVED;
use prometheus::{Histogram, HistogramOpts};

use super::{Counter, blocking, first, opens_blocking, test_key};
use crate::{
    Variant,
    Verdict::{Right, Wrong, WrongSomehow},
    both, codec,
};

pub(super) fn variants() -> Vec<Variant> {
    [wrong(), right()].into_iter().flatten().collect()
}

fn wrong() -> Vec<Variant> {
    vec![
        Variant {
            name: "exercise 1: only encode is observed",
            make: |keys| {
                let inner = inner(keys);
                split(Observed::new(inner.clone()), inner)
            },
            expected: first(Wrong(&[IS_OBSERVED])),
        },
        Variant {
            name: "exercise 1: only decode is observed",
            make: |keys| {
                let inner = inner(keys);
                split(inner.clone(), Observed::new(inner))
            },
            expected: first(Wrong(&[IS_OBSERVED])),
        },
        Variant {
            name: "exercise 1: observed twice",
            make: |keys| AnyCodec::new(Observed::new(Observed::new(inner(keys)))),
            expected: first(Wrong(&[IS_OBSERVED])),
        },
        Variant {
            name: "exercise 1: decode is observed twice",
            make: |keys| {
                let once = AnyCodec::new(Observed::new(inner(keys)));
                split(once.clone(), Observed::new(once))
            },
            expected: first(Wrong(&[IS_OBSERVED])),
        },
        Variant {
            name: "exercise 1: encode and decode are observed as each other",
            make: |keys| {
                let inner = inner(keys);
                AnyCodec::new(Swapped(Observed::new(Swapped(inner))))
            },
            expected: first(Wrong(&[IS_OBSERVED])),
        },
        Variant {
            name: "exercise 1: every second call is observed",
            make: |keys| {
                let inner = inner(keys);
                AnyCodec::new(Sometimes {
                    calls: Counter::default(),
                    observed: Observed::new(inner.clone()),
                    unobserved: inner,
                })
            },
            expected: first(Wrong(&[IS_OBSERVED])),
        },
        Variant {
            name: "exercise 1: figures that are in no registry",
            make: |keys| AnyCodec::new(Observed::with_figures(inner(keys), Figures::default())),
            expected: first(Wrong(&[IS_OBSERVED])),
        },
        Variant {
            name: "exercise 1: what is observed does not include the wait for the key",
            make: |keys| {
                AnyCodec::new(WaitsOutside {
                    keys: keys.clone(),
                    observed: Observed::new(inner(keys)),
                })
            },
            expected: first(WrongSomehow),
        },
        Variant {
            name: "exercise 1: a histogram of its own counts calls, and nothing measures polls",
            make: |keys| {
                let count = |keys, payloads| async move {
                    let began = Instant::now();
                    let sealed = blocking(keys, payloads).await;
                    CALLS.observe(began.elapsed().as_secs_f64());
                    sealed
                };
                codec(keys, count, opens_blocking)
            },
            expected: first(WrongSomehow),
        },
        Variant {
            name: "exercise 1: observed, and encrypts with a key of its own",
            make: |keys| {
                let own = |keys: KeyService, payloads| async move {
                    keys.data_key_blocking()?;
                    Ok(seal_all(&test_key(), payloads)?)
                };
                AnyCodec::new(Observed::new(codec(keys, own, opens_blocking)))
            },
            expected: first(WrongSomehow),
        },
        Variant {
            name: "exercise 1: observed, and decode returns what it was given",
            make: |keys| {
                let given = |_, payloads| async move { Ok(payloads) };
                AnyCodec::new(Observed::new(codec(keys, blocking, given)))
            },
            expected: first(WrongSomehow),
        },
    ]
}

fn right() -> Vec<Variant> {
    vec![
        Variant {
            name: "right: exercise 1, figures of its own in the default registry",
            make: |keys| {
                let figures = Figures::default();
                // They have the names of the shared ones. The registry has room for one of them: a
                // second codec of this kind is not in it.
                prometheus::default_registry().register(Box::new(figures.clone())).ok();
                AnyCodec::new(Observed::with_figures(inner(keys), figures))
            },
            // We are not sure: where the judge makes several codecs, only the first can be seen.
            expected: first(Right),
        },
        Variant {
            name: "right: exercise 1, figures of its own for all codecs in the default registry",
            make: |keys| {
                static FIGURES: LazyLock<Figures> = LazyLock::new(|| {
                    let figures = Figures::default();
                    prometheus::default_registry().register(Box::new(figures.clone())).ok();
                    figures
                });
                AnyCodec::new(Observed::with_figures(inner(keys), FIGURES.clone()))
            },
            // Wrong where the process has an `Observed::new` already, which has taken the names.
            expected: first(Right),
        },
        Variant {
            name: "right: exercise 1, an observer for each call",
            make: |keys| AnyCodec::new(ObservedEachTime(inner(keys))),
            expected: first(Right),
        },
        Variant {
            name: "right: exercise 1, figures in the default registry and others inside",
            make: |keys| {
                let figures = Figures::default();
                AnyCodec::new(Observed::new(Observed::with_figures(inner(keys), figures)))
            },
            expected: first(Right),
        },
        Variant {
            name: "right: exercise 1, 400 ms to make it",
            make: |keys| {
                thread::sleep(Duration::from_millis(400));
                AnyCodec::new(Observed::new(inner(keys)))
            },
            expected: first(Right),
        },
        Variant {
            name: "right: exercise 1, one try more",
            make: |keys| {
                let encode = |keys: KeyService, payloads| async move {
                    let key = keys.data_key_blocking().or_else(|_| keys.data_key_blocking())?;
                    Ok(seal_all(&key, payloads)?)
                };
                AnyCodec::new(Observed::new(codec(keys, encode, opens_blocking)))
            },
            expected: first(Right),
        },
        Variant {
            name: "right: exercise 1, logs how many payloads there are and of which size",
            make: |keys| {
                let encode = |keys, payloads: Vec<Payload>| {
                    let bytes: usize = payloads.iter().map(|payload| payload.data.len()).sum();
                    tracing::info!(payloads = payloads.len(), bytes, "encodes");
                    blocking(keys, payloads)
                };
                AnyCodec::new(Observed::new(codec(keys, encode, opens_blocking)))
            },
            expected: first(Right),
        },
        Variant {
            name: "right: figures of its own in a registry of its own",
            make: |keys| {
                let (registry, figures) = (prometheus::Registry::new(), Figures::default());
                registry.register(Box::new(figures.clone())).expect("an empty registry has room");
                let inner = codec(keys, super::good, crate::opens);
                AnyCodec::new(Registered {
                    observed: Observed::with_figures(inner, figures),
                    _registry: registry,
                })
            },
            // A worker's /metrics serves the default registry only.
            expected: [first(Wrong(&[IS_OBSERVED])), both(Right)].concat(),
        },
        Variant {
            name: "right: figures of its own in the default registry",
            make: |keys| {
                let figures = Figures::default();
                prometheus::default_registry().register(Box::new(figures.clone())).ok();
                AnyCodec::new(Observed::with_figures(
                    codec(keys, super::good, crate::opens),
                    figures,
                ))
            },
            expected: both(Right),
        },
    ]
}

/// The codec of exercise 1 before it is observed.
fn inner(keys: KeyService) -> AnyCodec {
    codec(keys, blocking, opens_blocking)
}

static CALLS: LazyLock<Histogram> = LazyLock::new(|| {
    let calls = HistogramOpts::new("codec_call_seconds", "Wall time of each codec call");
    let calls = Histogram::with_opts(calls).expect("the name is valid");
    prometheus::default_registry().register(Box::new(calls.clone())).ok();
    calls
});

/// One codec to encode, another to decode.
struct Split(AnyCodec, AnyCodec);

fn split(
    encode: impl PayloadCodec + Send + Sync + 'static,
    decode: impl PayloadCodec + Send + Sync + 'static,
) -> AnyCodec {
    AnyCodec::new(Split(AnyCodec::new(encode), AnyCodec::new(decode)))
}

impl PayloadCodec for Split {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.0.encode(context, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.1.decode(context, payloads)
    }
}

/// Encodes with what decodes, and the other way round.
struct Swapped<C>(C);

impl<C: PayloadCodec> PayloadCodec for Swapped<C> {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.0.decode(context, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.0.encode(context, payloads)
    }
}

/// Every second call is observed.
struct Sometimes {
    calls: Counter,
    observed: Observed<AnyCodec>,
    unobserved: AnyCodec,
}

impl Sometimes {
    fn codec(&self) -> &dyn PayloadCodec {
        // The first one is.
        if self.calls.is_every(2) { &self.unobserved } else { &self.observed }
    }
}

impl PayloadCodec for Sometimes {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.codec().encode(context, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.codec().decode(context, payloads)
    }
}

/// Has waited for a key before the observer sees the call, and takes a service that answers at once
/// for what is observed.
struct WaitsOutside {
    keys: KeyService,
    observed: Observed<AnyCodec>,
}

impl PayloadCodec for WaitsOutside {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let key = self.keys.data_key_blocking();
        let seal = codec(
            self.keys.clone(),
            move |_, payloads| {
                let key = key.clone();
                async move { Ok(seal_all(&key?, payloads)?) }
            },
            opens_blocking,
        );
        Observed::new(seal).encode(&SerializationContextData::None, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.observed.decode(context, payloads)
    }
}

/// An observer for each call, all of which count into the same figures.
struct ObservedEachTime(AnyCodec);

impl PayloadCodec for ObservedEachTime {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        Observed::new(self.0.clone()).encode(context, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        Observed::new(self.0.clone()).decode(context, payloads)
    }
}

/// An observed codec with the registry of its figures.
struct Registered {
    observed: Observed<AnyCodec>,
    _registry: prometheus::Registry,
}

impl PayloadCodec for Registered {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.observed.encode(context, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.observed.decode(context, payloads)
    }
}
