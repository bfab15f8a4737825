//! What every measure is made of: runs a codec as a worker does, and sees what it takes.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use codec_kit::{
    AnyCodec, CallFigures, Calls, Figures, KeyService, Keyring, KeyringError, Payload,
    PayloadCodec, PayloadConversionError, SerializationContextData, Stalls, seal_all,
};
use tokio::{runtime, task::JoinSet, time::sleep};

/// Builds the codec under judgement around a key service.
pub type MakeCodec<'a> = &'a dyn Fn(KeyService) -> AnyCodec;

/// The payloads' data begins with it, so that it is known again where nobody should be able to read it.
pub const MARKER: &str = "judge-8Rk2vQ7mXw5d";

/// How often a measure is taken that only noise can spoil.
pub(super) const NOISE_RETRIES: usize = 3;
/// The largest payload that is tried: Temporal's limit.
pub(super) const LARGEST_PAYLOAD: usize = 2 << 20;
/// Tokio's default for its blocking pool.
pub const POOL_THREADS: usize = 512;
/// Calls at once, enough for what happens once in a hundred.
pub(super) const CALLS_AT_ONCE: usize = 130;
/// How often threads and tasks are counted.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);
/// A key that comes late, but soon: late enough to change the order of what waits for it.
pub(super) const SHORT_STALL: Duration = Duration::from_millis(10);
/// How long the judge waits for a measure that does not end. The longest that does takes 5 s.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(8);

/// The judge came to no result.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// No runtime to run the codec on.
    #[error("the judge could not start a tokio runtime to run the codec on: {0}")]
    Runtime(#[from] std::io::Error),
    /// No key to seal with.
    #[error("the judge could not make a data key: {0}")]
    Key(#[from] KeyringError),
    /// A reference codec seems to misbehave as well, here and now.
    #[error("this machine is too busy to judge: {0}")]
    TooBusy(String),
    /// The codec holds its thread for ever, or waits for what never comes.
    #[error("it did not come to an end within {} s", .0.as_secs())]
    Stuck(Duration),
}

/// What a codec is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To encode.
    Encode,
    /// To decode what the samples' test key has sealed.
    Decode,
}

impl Operation {
    /// Both, in this order.
    pub const BOTH: [Self; 2] = [Self::Encode, Self::Decode];

    /// What the codec is given, so that it does this to these payloads.
    pub(super) fn given(self, plain: Vec<Payload>) -> Vec<Payload> {
        match self {
            Self::Encode => plain,
            Self::Decode => seal_all(Keyring::test_key().active(), plain)
                .expect("the samples' test key seals whatever the judge makes"),
        }
    }

    /// Has the codec do it.
    pub(super) async fn call(
        self,
        codec: &AnyCodec,
        given: Vec<Payload>,
    ) -> Result<Vec<Payload>, PayloadConversionError> {
        match self {
            Self::Encode => encode(codec, given).await,
            Self::Decode => decode(codec, given).await,
        }
    }

    /// Has the codec do it with one payload like most; tells whether it could.
    pub(super) async fn small_call(self, codec: &AnyCodec) -> bool {
        self.call(codec, self.given(vec![small()])).await.is_ok()
    }

    /// The calls to the key service that this takes.
    pub(super) fn calls(self, keys: &KeyService) -> Calls {
        match self {
            Self::Encode => keys.calls(),
            Self::Decode => keys.decode_calls(),
        }
    }

    /// What was seen of these calls.
    pub(super) fn figures(self, figures: &Figures) -> CallFigures {
        match self {
            Self::Encode => figures.encode(),
            Self::Decode => figures.decode(),
        }
    }

    /// What it does to a payload, in a sentence.
    pub fn done(self) -> &'static str {
        match self {
            Self::Encode => "sealed",
            Self::Decode => "opened",
        }
    }
}

/// Answers that were keys.
pub(super) fn came(calls: Calls) -> u64 {
    calls.finished - calls.failed
}

pub(super) async fn encode(
    codec: &AnyCodec,
    payloads: Vec<Payload>,
) -> Result<Vec<Payload>, PayloadConversionError> {
    codec.encode(&SerializationContextData::None, payloads).await
}

pub(super) async fn decode(
    codec: &AnyCodec,
    payloads: Vec<Payload>,
) -> Result<Vec<Payload>, PayloadConversionError> {
    codec.decode(&SerializationContextData::None, payloads).await
}

/// Has the codec do all this at once; tells how many it could.
pub(super) async fn all_at_once(
    codec: &AnyCodec,
    operation: Operation,
    calls: Vec<Vec<Payload>>,
) -> usize {
    let mut tasks = JoinSet::new();
    for given in calls {
        let codec = codec.clone();
        tasks.spawn(async move { operation.call(&codec, given).await.is_ok() });
    }
    let mut could = 0;
    // A task that panicked is another measurement's business.
    while let Some(one) = tasks.join_next().await {
        could += usize::from(one.unwrap_or_default());
    }
    could
}

/// A payload like most.
pub(super) fn small() -> Payload {
    Payload { data: MARKER.into(), ..Payload::default() }
}

/// A key service that stalls whenever it is asked.
pub(super) fn stalling(stall: Duration) -> KeyService {
    KeyService::with_stalls(Keyring::test_key(), Stalls::always(stall))
}

/// Tasks of this runtime.
pub(super) fn tasks() -> usize {
    runtime::Handle::current().metrics().num_alive_tasks()
}

/// Threads of this process, where the system tells. By name and not by number: some of those there
/// before may just be about to end.
pub(super) fn threads() -> Option<HashSet<OsString>> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    Some(threads.filter_map(|thread| Some(thread.ok()?.file_name())).collect())
}

/// Runs `work` on a runtime of its own with one thread, as the worker has by default.
pub(super) fn on_one_thread<T: Send + 'static>(
    pool: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JudgeError> {
    start(pool, work)?.result()
}

/// Does the work, and tells for how long its thread was held by something else of the same runtime.
pub(super) async fn with_lag<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let (mut work, mut tick) = (pin!(work), pin!(sleep(SAMPLE_INTERVAL)));
    let (mut last, mut lag) = (Instant::now(), Duration::ZERO);
    let done = poll_fn(|context| {
        lag = lag.max(last.elapsed().saturating_sub(SAMPLE_INTERVAL));
        let done = work.as_mut().poll(context);
        while tick.as_mut().poll(context).is_ready() {
            tick.set(sleep(SAMPLE_INTERVAL));
        }
        last = Instant::now();
        done
    })
    .await;
    (done, lag)
}

/// What runs on a thread of its own, so that a codec that never comes back does not take the judge
/// with it.
pub(super) struct Running<T>(Receiver<thread::Result<T>>);

pub(super) fn start<T: Send + 'static>(
    pool: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Running<T>, JudgeError> {
    let runtime =
        runtime::Builder::new_current_thread().enable_time().max_blocking_threads(pool).build()?;
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("judged".to_owned()).spawn(move || {
        let result = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
        // A codec that does not wait for its blocking call leaves it behind: that must not delay us.
        runtime.shutdown_background();
        // Nobody receives it when the judge has lost its patience.
        sender.send(result).ok();
    })?;
    Ok(Running(receiver))
}

impl<T> Running<T> {
    /// What came out; a panic of the codec goes on here.
    pub(super) fn result(self) -> Result<T, JudgeError> {
        match self.0.recv_timeout(TIME_LIMIT) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panicked)) => panic::resume_unwind(panicked),
            Err(_) => Err(JudgeError::Stuck(TIME_LIMIT)),
        }
    }
}
