//! Tells a codec that blocks from one that is merely slow.
//!
//! A slow async codec has a long wall time and short polls: its thread does other work meanwhile.
//! A blocking one has a single poll as long as its wall time: nothing else runs on that thread.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{
    CodecFuture, LongPoll, Payload, PayloadCodec, PayloadConversionError, SerializationContextData,
    timeline::{CallInfo, DECODE, ENCODE, LONG, LongPolls, UnderWay},
};

/// Seconds, from 10 µs to 3 minutes, for healthy polls as well as stalled workers.
const BUCKETS: [f64; 22] = [
    0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0,
    3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0,
];

/// A codec, and a record of how long each of its calls held a thread.
pub struct Observed<C> {
    codec: C,
    figures: Figures,
}

impl<C> Observed<C> {
    /// Observes `codec`. Its figures are shared by the whole process and registered in the [default
    /// registry](prometheus::default_registry) of the crate `prometheus`.
    pub fn new(codec: C) -> Self {
        Self::with_figures(codec, Figures::shared())
    }

    /// Observes `codec` with figures of your own, which you can register anywhere.
    pub fn with_figures(codec: C, figures: Figures) -> Self {
        Self { codec, figures }
    }

    /// The figures so far.
    pub fn figures(&self) -> Figures {
        self.figures.clone()
    }
}

impl<C: PayloadCodec> PayloadCodec for Observed<C> {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        observe(&self.figures.0.encode, payloads, |payloads| self.codec.encode(context, payloads))
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        observe(&self.figures.0.decode, payloads, |payloads| self.codec.decode(context, payloads))
    }
}

/// What an [`Observed`] codec has done so far. Cloning shares it.
///
/// As a Prometheus [`Collector`] it exports, each with the label `operation` (`encode`, `decode`):
///
/// | metric | type | unit | what |
/// | --- | --- | --- | --- |
/// | `codec_longest_poll_seconds` | gauge | seconds | the longest single poll so far: the longest time a thread was held |
/// | `codec_poll_seconds` | histogram | seconds | for each call, its longest single poll |
/// | `codec_call_seconds` | histogram | seconds | for each call, from its start to its result: wall time |
/// | `codec_in_flight` | gauge | calls | calls begun and not yet done or dropped |
/// | `codec_bytes_in_total`, `codec_bytes_out_total` | counter | bytes | payload data given to and returned by the codec |
/// | `codec_errors_total` | counter | calls | calls that returned an error |
#[derive(Clone)]
pub struct Figures(Arc<Both>);

static SHARED: OnceLock<Figures> = OnceLock::new();

struct Both {
    encode: Arc<Operation>,
    decode: Arc<Operation>,
}

/// A snapshot of one operation's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallFigures {
    /// Calls that returned, an error included.
    pub calls: u64,
    /// Calls that returned an error.
    pub errors: u64,
    /// Calls begun and not yet done or dropped.
    pub in_flight: i64,
    /// The longest single poll: the longest time a thread was held.
    pub longest_poll: Duration,
    /// The sum, over all calls, of each call's longest poll.
    pub poll_total: Duration,
    /// The sum of all calls' wall time.
    pub wall_total: Duration,
    /// Bytes of payload data given to the codec.
    pub bytes_in: u64,
    /// Bytes of payload data the codec returned.
    pub bytes_out: u64,
}

impl Figures {
    /// The figures that the whole process shares: those of every codec in [`Observed::new`]. They are
    /// registered in the [default registry](prometheus::default_registry) of the crate `prometheus`.
    pub fn shared() -> Self {
        let first = || {
            let figures = Figures::default();
            // Fails only if another collector has taken these names; the figures still count.
            prometheus::default_registry().register(Box::new(figures.clone())).ok();
            figures
        };
        SHARED.get_or_init(first).clone()
    }

    /// The [shared](Self::shared) figures, if there is a codec in [`Observed::new`]. Asking registers nothing.
    pub fn in_use() -> Option<Self> {
        SHARED.get().cloned()
    }

    /// Figures without [`long_polls`](Self::long_polls).
    pub fn without_long_polls() -> Self {
        Self::with(None)
    }

    fn with(long_polls: Option<Arc<LongPolls>>) -> Self {
        let operation = |name| Arc::new(Operation::new(name, long_polls.clone()));
        Self(Arc::new(Both { encode: operation(ENCODE), decode: operation(DECODE) }))
    }

    /// The latest 4,096 polls of 1 ms and longer, the earliest first.
    pub fn long_polls(&self) -> Vec<LongPoll> {
        self.long_polls_since(SystemTime::UNIX_EPOCH)
    }

    /// Of the [long polls](Self::long_polls), those that ended after `since`.
    pub fn long_polls_since(&self, since: SystemTime) -> Vec<LongPoll> {
        self.0.encode.long_polls.as_ref().map_or_else(Vec::new, |polls| polls.since(since))
    }

    /// What encoding did.
    pub fn encode(&self) -> CallFigures {
        self.0.encode.snapshot()
    }

    /// What decoding did.
    pub fn decode(&self) -> CallFigures {
        self.0.decode.snapshot()
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self::with(Some(Arc::default()))
    }
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        [&self.0.encode, &self.0.decode].into_iter().flat_map(|o| o.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        [&self.0.encode, &self.0.decode].into_iter().flat_map(|o| o.collect()).collect()
    }
}

/// The figures of one direction.
struct Operation {
    name: &'static str,
    /// Those of both directions; `None`: they are not kept.
    long_polls: Option<Arc<LongPolls>>,
    // A Prometheus gauge can only be set, so two threads could overwrite each other's maximum.
    longest_poll_nanos: AtomicU64,
    in_flight_now: AtomicI64,
    longest_poll: Gauge,
    in_flight: IntGauge,
    poll: Histogram,
    call: Histogram,
    bytes_in: IntCounter,
    bytes_out: IntCounter,
    errors: IntCounter,
}

impl Operation {
    fn new(operation: &'static str, long_polls: Option<Arc<LongPolls>>) -> Self {
        let opts = |name, help| Opts::new(name, help).const_label("operation", operation);
        let histogram = |name, help| {
            Histogram::with_opts(HistogramOpts::from(opts(name, help)).buckets(BUCKETS.into()))
        };
        let counter = |name, help| IntCounter::with_opts(opts(name, help));
        let build = || -> prometheus::Result<Self> {
            Ok(Self {
                name: operation,
                long_polls: long_polls.clone(),
                longest_poll_nanos: AtomicU64::new(0),
                in_flight_now: AtomicI64::new(0),
                longest_poll: Gauge::with_opts(opts(
                    "codec_longest_poll_seconds",
                    "Longest single poll of the codec so far: the longest time it held a thread",
                ))?,
                in_flight: IntGauge::with_opts(opts(
                    "codec_in_flight",
                    "Codec calls begun and not yet done",
                ))?,
                poll: histogram("codec_poll_seconds", "Longest single poll of each codec call")?,
                call: histogram("codec_call_seconds", "Wall time of each codec call")?,
                bytes_in: counter("codec_bytes_in_total", "Payload bytes given to the codec")?,
                bytes_out: counter("codec_bytes_out_total", "Payload bytes the codec returned")?,
                errors: counter("codec_errors_total", "Codec calls that returned an error")?,
            })
        };
        build().expect("the metrics' names, labels and buckets are constants, and valid")
    }

    fn snapshot(&self) -> CallFigures {
        CallFigures {
            calls: self.call.get_sample_count(),
            errors: self.errors.get(),
            in_flight: self.in_flight_now.load(Relaxed),
            longest_poll: Duration::from_nanos(self.longest_poll_nanos.load(Relaxed)),
            poll_total: Duration::from_secs_f64(self.poll.get_sample_sum()),
            wall_total: Duration::from_secs_f64(self.call.get_sample_sum()),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
        }
    }

    fn collectors(&self) -> [&dyn Collector; 7] {
        [
            &self.longest_poll,
            &self.in_flight,
            &self.poll,
            &self.call,
            &self.bytes_in,
            &self.bytes_out,
            &self.errors,
        ]
    }

    fn desc(&self) -> Vec<&Desc> {
        self.collectors().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.longest_poll.set(self.snapshot().longest_poll.as_secs_f64());
        self.in_flight.set(self.in_flight_now.load(Relaxed));
        self.collectors().into_iter().flat_map(Collector::collect).collect()
    }
}

/// One call from its start to its result. If it is dropped early, it only leaves `in_flight`.
struct Call {
    operation: Arc<Operation>,
    info: CallInfo,
    started: Instant,
    longest_poll: Duration,
}

impl Call {
    /// Runs `step`, and records how long it held the thread.
    fn held<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let under_way = UnderWay::mark(self.info, began);
        let result = step();
        let held = began.elapsed();
        drop(under_way);
        if let Some(polls) = self.operation.long_polls.as_ref().filter(|_| held >= LONG) {
            polls.push(self.info, began, held);
        }
        self.longest_poll = self.longest_poll.max(held);
        // Recorded at once, not at the call's end, because a call that is dropped has held its thread, too.
        let nanos = u64::try_from(held.as_nanos()).unwrap_or(u64::MAX);
        self.operation.longest_poll_nanos.fetch_max(nanos, Relaxed);
        result
    }

    fn done(&self, result: &Result<Vec<Payload>, PayloadConversionError>) {
        let operation = &self.operation;
        operation.poll.observe(self.longest_poll.as_secs_f64());
        operation.call.observe(self.started.elapsed().as_secs_f64());
        match result {
            Ok(payloads) => operation.bytes_out.inc_by(data_bytes(payloads)),
            Err(_) => operation.errors.inc(),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.operation.in_flight_now.fetch_sub(1, Relaxed);
    }
}

struct ObservedFuture {
    call: Call,
    future: CodecFuture,
}

impl Future for ObservedFuture {
    type Output = Result<Vec<Payload>, PayloadConversionError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let polled = this.call.held(|| this.future.as_mut().poll(context));
        if let Poll::Ready(result) = &polled {
            this.call.done(result);
        }
        polled
    }
}

fn observe(
    operation: &Arc<Operation>,
    payloads: Vec<Payload>,
    build: impl FnOnce(Vec<Payload>) -> CodecFuture,
) -> CodecFuture {
    let info = CallInfo {
        operation: operation.name,
        payloads: payloads.len(),
        bytes: data_bytes(&payloads),
    };
    operation.bytes_in.inc_by(info.bytes);
    operation.in_flight_now.fetch_add(1, Relaxed);
    let mut call = Call {
        operation: Arc::clone(operation),
        info,
        started: Instant::now(),
        longest_poll: Duration::ZERO,
    };
    // What runs before the future is returned holds the thread as well.
    let future = call.held(|| build(payloads));
    Box::pin(ObservedFuture { call, future })
}

fn data_bytes(payloads: &[Payload]) -> u64 {
    payloads.iter().map(|payload| payload.data.len() as u64).sum()
}
