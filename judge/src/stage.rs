//! Where a codec is tested: a runtime like the worker's, and a scripted key service.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use codec_kit::{
    AnyCodec, Calls, KeyService, Payload, PayloadCodec, PayloadConversionError,
    SerializationContextData, seal_all,
};
use solutions::Step;
use temporalio_common::data_converters::{
    ActivitySerializationContext, NexusSerializationContext, WorkflowSerializationContext,
};
use tokio::{
    runtime::{self, Runtime},
    task::JoinSet,
    time::sleep,
};

use crate::{
    checked::{Checked, Evidence, Rules},
    clock::{self, Moment},
    measure::{JudgeError, MARKER, Operation},
    script::{Behaviour, Script},
};

/// How long keys may be used in checks that are not about expiry.
pub const LONG_LIFETIME: Duration = Duration::from_secs(60);
/// How often the thread is sampled.
const TICK: Duration = Duration::from_millis(5);
/// A thread that sleeps for so much longer than a tick is blocked. More than what counts within a call: the
/// thread is asleep in any case, and wakes late where a virtual machine's processors stand still.
const TASK_BLOCKED: Duration = Duration::from_millis(100);
/// The time limit of a measurement. The longest one takes half of it, with a codec that retries for as long
/// as it may.
pub const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Constructs the codec under test with a key service.
pub type MakeCodec<'a> = &'a (dyn Fn(KeyService) -> AnyCodec + Sync);

/// The codec under test, and what was seen of it.
pub struct Subject<'a> {
    /// The codec.
    pub make: MakeCodec<'a>,
    /// The step whose promises it has to keep.
    pub step: Step,
    /// Payloads and histories come from it.
    pub seed: u64,
    /// What all its calls showed.
    pub(crate) evidence: Evidence,
}

impl<'a> Subject<'a> {
    /// A subject of which nothing has been seen yet.
    pub fn new(make: MakeCodec<'a>, step: Step, seed: u64) -> Self {
        Self { make, step, seed, evidence: Evidence::default() }
    }
}

/// A runtime to try a codec on.
pub struct Stage<'a> {
    subject: &'a Subject<'a>,
    runtime: Runtime,
    /// Whether all of it is on the thread that runs it.
    one_thread: bool,
}

impl<'a> Stage<'a> {
    /// Like the worker's by default: everything on one thread, except the blocking pool of `pool` threads.
    ///
    /// # Errors
    /// When the system has no room for it.
    pub fn new(subject: &'a Subject<'a>, pool: usize) -> Result<Self, JudgeError> {
        Self::build(subject, runtime::Builder::new_current_thread(), pool, true)
    }

    /// Like the worker's with `--threads 2`.
    ///
    /// # Errors
    /// When the system has no room for it.
    pub fn with_two_threads(subject: &'a Subject<'a>, pool: usize) -> Result<Self, JudgeError> {
        let mut builder = runtime::Builder::new_multi_thread();
        builder.worker_threads(2);
        Self::build(subject, builder, pool, false)
    }

    fn build(
        subject: &'a Subject<'a>,
        mut builder: runtime::Builder,
        pool: usize,
        one_thread: bool,
    ) -> Result<Self, JudgeError> {
        let runtime = builder.enable_all().max_blocking_threads(pool).build()?;
        Ok(Self { subject, runtime, one_thread })
    }

    /// Constructs the codec on this runtime, with a key service that has this many keys and behaves like
    /// this.
    pub fn trial(&self, keys: usize, behaviour: Behaviour) -> Trial {
        self.codec(self.script(keys, behaviour))
    }

    /// The same, with keys that may be used for `lifetime`.
    pub fn trial_with_lifetime(
        &self,
        keys: usize,
        behaviour: Behaviour,
        lifetime: Duration,
    ) -> Trial {
        self.codec_with_lifetime(self.script(keys, behaviour), lifetime)
    }

    /// A key service of so many keys that behaves like this.
    pub fn script(&self, keys: usize, behaviour: Behaviour) -> Script {
        let script = Script::with_keys(keys, &mut fastrand::Rng::with_seed(self.subject.seed));
        script.behave(behaviour);
        script
    }

    /// Makes the codec, on this runtime, with keys from `script` that never expire here.
    pub fn codec(&self, script: Script) -> Trial {
        self.codec_with_lifetime(script, LONG_LIFETIME)
    }

    /// Makes the codec, on this runtime, with keys from `script` that may be used for `lifetime`.
    pub fn codec_with_lifetime(&self, script: Script, lifetime: Duration) -> Trial {
        let keys = script.key_service().with_key_lifetime(lifetime);
        let codec = {
            let _inside = self.runtime.enter();
            (self.subject.make)(keys.clone())
        };
        let rules = Rules { releases_thread: self.releases_thread(), key_lifetime: lifetime };
        let evidence = self.subject.evidence.clone();
        Trial {
            codec: Checked::new(codec, script.clone(), evidence, rules),
            keys,
            script,
            calls: Arc::default(),
        }
    }

    fn releases_thread(&self) -> bool {
        self.subject.step >= Step::SpawnBlocking
    }

    /// Runs `work` here, on a thread of its own, so that a codec that never returns does not block the
    /// checks.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start<T: Send + 'static>(
        self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<Running<T>, JudgeError> {
        let (sender, receiver) = mpsc::channel();
        let watch = self.releases_thread() && self.one_thread;
        let evidence = watch.then(|| self.subject.evidence.clone());
        let runtime = self.runtime;
        // A codec must not notice that it is tested: the worker's runtime is on the main thread.
        thread::Builder::new().name("main".to_owned()).spawn(move || {
            let work = watched(work, evidence);
            let result = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
            // A codec may leave a blocking call behind, which must not delay the checks.
            runtime.shutdown_background();
            // The receiver is gone if the time limit was reached.
            sender.send(result).ok();
        })?;
        Ok(Running(receiver))
    }

    /// Runs `work` here, for as long as a measure may take at most.
    ///
    /// # Errors
    /// When the system has no thread for it, or the work does not end.
    pub fn run<T: Send + 'static>(
        self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JudgeError> {
        self.start(work)?.result(TIME_LIMIT)
    }
}

/// Does the work, and notes what blocked its thread, a call or a task. The observer is a Tokio task
/// of its own: polled together with the work, it would wake what the work waits for.
async fn watched<T>(work: impl Future<Output = T>, evidence: Option<Evidence>) -> T {
    let Some(evidence) = evidence else { return work.await };
    let watch = tokio::spawn(async move {
        loop {
            let (last, in_polls) = (Moment::now(), evidence.asleep_in_polls());
            sleep(TICK).await;
            let blocked = last.spent().asleep.saturating_sub(TICK);
            if blocked >= TASK_BLOCKED {
                evidence.note_blocked(blocked, evidence.asleep_in_polls() - in_polls);
            }
        }
    });
    let done = work.await;
    // The next tick shows what blocked until just now.
    sleep(TICK * 2).await;
    watch.abort();
    done
}

/// Work that was started.
pub struct Running<T>(Receiver<thread::Result<T>>);

impl<T> Running<T> {
    /// What came out; a panic continues here.
    ///
    /// # Errors
    /// When it does not end within `limit`, or twice that on a machine that leaves this process no time.
    pub fn result(self, limit: Duration) -> Result<T, JudgeError> {
        let mut ended = self.0.recv_timeout(limit);
        if matches!(ended, Err(RecvTimeoutError::Timeout)) && clock::is_starved() {
            ended = self.0.recv_timeout(limit);
        }
        match ended {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panicked)) => panic::resume_unwind(panicked),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(JudgeError::Stuck(limit))
            }
        }
    }
}

/// The codec, its key service, and what it is asked to do. Cloning shares it.
#[derive(Clone)]
pub struct Trial {
    codec: Checked,
    /// The key service that the codec has.
    pub keys: KeyService,
    /// What that does.
    pub script: Script,
    /// Calls so far: each has another context than the one before.
    calls: Arc<AtomicUsize>,
}

impl Trial {
    /// Has the codec do it, in the next context.
    ///
    /// # Errors
    /// The codec's.
    pub async fn call(
        &self,
        operation: Operation,
        given: Vec<Payload>,
    ) -> Result<Vec<Payload>, PayloadConversionError> {
        let contexts = contexts();
        let context = &contexts[self.calls.fetch_add(1, Relaxed) % contexts.len()];
        self.call_in(operation, context, given).await
    }

    /// Has the codec do it in that context.
    ///
    /// # Errors
    /// The codec's.
    pub async fn call_in(
        &self,
        operation: Operation,
        context: &SerializationContextData,
        given: Vec<Payload>,
    ) -> Result<Vec<Payload>, PayloadConversionError> {
        match operation {
            Operation::Encode => self.codec.encode(context, given).await,
            Operation::Decode => self.codec.decode(context, given).await,
        }
    }

    /// The payloads to give to the codec for this operation: those to decode are encrypted with the key of
    /// number `key`.
    pub fn given(&self, operation: Operation, plain: Vec<Payload>, key: usize) -> Vec<Payload> {
        match operation {
            Operation::Encode => plain,
            Operation::Decode => encrypted(&self.script, plain, key),
        }
    }

    /// Has the codec do it with one typical payload. Returns whether it succeeded. A payload to decode is
    /// encrypted with the key of number `key`.
    pub async fn small_call(&self, operation: Operation, key: usize) -> bool {
        self.call(operation, self.given(operation, vec![small()], key)).await.is_ok()
    }

    /// Has the codec do all this concurrently. Returns how many calls succeeded.
    pub async fn all_at_once(&self, operation: Operation, calls: Vec<Vec<Payload>>) -> usize {
        let mut tasks = JoinSet::new();
        for given in calls {
            let trial = self.clone();
            tasks.spawn(async move { trial.call(operation, given).await.is_ok() });
        }
        let mut done = 0;
        while let Some(one) = tasks.join_next().await {
            done += usize::from(one.unwrap_or_default());
        }
        done
    }

    /// The calls to the key service for that operation.
    pub fn key_calls(&self, operation: Operation) -> Calls {
        match operation {
            Operation::Encode => self.keys.calls(),
            Operation::Decode => self.keys.decode_calls(),
        }
    }
}

/// These payloads, encrypted with the key of number `key` of that service.
pub fn encrypted(script: &Script, plain: Vec<Payload>, key: usize) -> Vec<Payload> {
    let keys = script.keys();
    let id = keys.ids().nth(key).expect("the judge made so many keys").to_owned();
    let key = keys.get(&id).expect("it is one of these");
    seal_all(key, plain).expect("a key encrypts whatever the judge makes")
}

/// Every context that the SDK gives.
pub fn contexts() -> [SerializationContextData; 4] {
    [
        SerializationContextData::Workflow(WorkflowSerializationContext::new()),
        SerializationContextData::Activity(ActivitySerializationContext::new()),
        SerializationContextData::None,
        SerializationContextData::Nexus(NexusSerializationContext::new()),
    ]
}

/// A typical payload.
pub fn small() -> Payload {
    Payload { data: MARKER.into(), ..Payload::default() }
}
