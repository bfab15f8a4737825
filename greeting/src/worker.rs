//! The worker: GreetingWorkflow and its activity, with the codec under study.

use std::{
    fmt, future,
    net::SocketAddr,
    path::PathBuf,
    process,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::SystemTime,
};

use cli_kit::{
    exit::{Exit, Failure},
    host,
    logging::LogArgs,
    settings::{self, Settings},
    term::print,
};
use codec_kit::{AnyCodec, AnyKeyring, Figures, KeyService, Watchdog};
use live_page::LivePage;
use prometheus::Gauge;
use solutions::Step;
use temporalio_sdk::{
    Runtime, Worker, WorkerOptions,
    error::{WorkerRunError, WorkerValidationError},
    runtime::{
        PollerBehavior, RuntimeOptions,
        worker_tuner::{FixedSizeSlotSupplier, TunerHolder},
    },
};
use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{
    args::{KeyServiceArgs, RuntimeArgs, whole},
    connection::{Server, ServerArgs},
    keys, live,
    telemetry::{BlockingThreads, Labels, LagProbe, Telemetry},
    totals, trace,
    workflows::{GreetingActivities, GreetingWorkflow, TASK_QUEUE},
};

/// The worker's log filter unless `RUST_LOG` is set.
const LOG_FILTER: &str = "info";
/// The SDK's default.
const WORKFLOW_TASK_SLOTS: usize = 100;
/// A slot is a place in memory for one task.
const MOST_SLOTS: usize = 100_000;
/// A poller is a request that waits at the server.
const MOST_POLLERS: usize = 1_000;

/// The worker's flags. The defaults are the original's.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkerArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    keys: KeyServiceArgs,
    #[command(flatten)]
    runtime: RuntimeArgs,
    /// Task queue to poll
    #[arg(long, default_value = TASK_QUEUE)]
    task_queue: String,
    /// Where to serve /metrics; port 0: a free one, printed on the first line of stdout [default: 127.0.0.1
    /// with port STACK_WORKER_METRICS_PORT, or 8086]
    #[arg(long, value_name = "IP:PORT", value_parser = host::address)]
    metrics_address: Option<SocketAddr>,
    /// Serve a live page of this worker at this address; port 0: a free one
    #[arg(long, value_name = "IP:PORT", value_parser = host::address)]
    live: Option<SocketAddr>,
    /// When the worker stops, write the codec's polls of 1 ms and longer to this file, in the
    /// format that Perfetto opens
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Activities at once
    #[arg(long, default_value_t = 400, value_parser = whole::<1, MOST_SLOTS>)]
    activity_slots: usize,
    /// Workflow tasks at once; at least 2
    #[arg(long, default_value_t = WORKFLOW_TASK_SLOTS, value_parser = workflow_task_slots)]
    workflow_task_slots: usize,
    /// Polls for workflow tasks at once; at least 2
    #[arg(long, default_value_t = 50, value_parser = workflow_task_pollers)]
    workflow_task_pollers: usize,
    /// Polls for activities at once
    #[arg(long, default_value_t = 20, value_parser = whole::<1, MOST_POLLERS>)]
    activity_pollers: usize,
    /// Share of the workflow task polls that go to the task queue, not to the worker's sticky one:
    /// above 0, up to 1
    #[arg(long, default_value_t = 0.5, value_parser = nonsticky_ratio)]
    nonsticky_ratio: f32,
}

/// The SDK polls two queues for workflow tasks. With a single slot, a poll of one queue takes that slot, and
/// workflow tasks in the other queue time out. The SDK refuses such a setting, but not if the slots come from
/// a tuner, as here.
fn workflow_task_slots(text: &str) -> Result<usize, String> {
    two_queues::<MOST_SLOTS>(text)
}

fn workflow_task_pollers(text: &str) -> Result<usize, String> {
    two_queues::<MOST_POLLERS>(text)
}

fn two_queues<const MOST: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0_usize | 1) => {
            Err("the SDK needs at least 2: one for the task queue, and one for the \
                                worker's own (sticky) queue"
                .to_owned())
        }
        _ => whole::<2, MOST>(text),
    }
}

fn nonsticky_ratio(text: &str) -> Result<f32, String> {
    let ratio: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    (ratio > 0.0 && ratio <= 1.0)
        .then_some(ratio)
        .ok_or_else(|| "not above 0 and up to 1".to_owned())
}

impl WorkerArgs {
    /// The seed of the stalls.
    pub fn seed(&self) -> u64 {
        self.keys.seed
    }
}

/// The file of the codec that a worker runs.
#[derive(Clone, Copy, Debug)]
pub struct CodecSource {
    folder: &'static str,
    step: Step,
}

impl CodecSource {
    /// The attendee's codec of that step.
    pub fn exercise(step: Step) -> Self {
        Self { folder: "exercises", step }
    }

    /// The reference codec of that step.
    pub fn solution(step: Step) -> Self {
        Self { folder: "solutions", step }
    }

    /// The labels of the worker's metrics, so that one panel can compare the steps: `exercise`, the step's
    /// number, and `codec`, the folder of this file.
    fn labels(self) -> Labels {
        let Self { folder, step } = self;
        let labels = [
            ("exercise", step.number().to_string()),
            ("codec", format!("{folder}/{}", step.folder())),
        ];
        labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl fmt::Display for CodecSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/codec.rs", self.folder, self.step.folder())
    }
}

/// Runs a worker until a signal stops it. `codec` constructs the codec, and `source` identifies it in the log
/// and in the metrics' labels.
///
/// On SIGINT or SIGTERM the worker takes no more tasks, finishes those it has, and exits normally. A second
/// signal stops the process at once.
///
/// The codec's type is erased, so that this crate holds the compiled worker: an exercise, which is built at every save,
/// compiles its codec alone.
///
/// # Errors
/// When no server answers, the metrics' port is taken, or the SDK returns an error.
pub fn run(
    args: &WorkerArgs,
    source: CodecSource,
    codec: &dyn Fn(KeyService) -> AnyCodec,
) -> anyhow::Result<Exit> {
    args.log.init(LOG_FILTER)?;
    let stalls = args.keys.stalls();
    let RuntimeArgs { threads, blocking_threads } = args.runtime;
    tracing::info!(
        codec = %source,
        stall_probability = stalls.probability,
        decode_stall_probability = stalls.decode_probability,
        stall_seconds = stalls.duration.as_secs_f64(),
        seed = stalls.seed,
        // 0 selects the current_thread runtime, which has no worker threads.
        threads = threads.max(1),
        "worker runs this codec"
    );
    let server = Server::choose(&args.server)?;
    server.warn_of_test_key();
    let metrics = Settings::given_or_address(args.metrics_address, settings::WORKER_METRICS_PORT)?;
    let probes =
        Probes { worker: LagProbe::register("worker")?, beside: LagProbe::register("beside")? };
    let telemetry = Telemetry::start(metrics, source.labels(), Some(probes.beside.clone()))?;
    export_start_time()?;
    print(format!("metrics on http://{}/metrics\n", telemetry.address));
    if let Some(address) = args.live {
        let page = LivePage::serve(address, &format!("A worker with {source}"))
            .map_err(|error| Failure::usage(format!("{error}; choose another --live")))?;
        print(format!("live page: {}\n", page.url()));
        telemetry.beside.spawn(live::follow(page, source.to_string(), telemetry.address));
    }

    let (keys, service) = keys::of_worker(server.keyring(), &args.keys)?;
    let keys = keys.with_key_lifetime(args.keys.key_lifetime());
    match (&service, server.keyring()) {
        (Some(service), _) => {
            prometheus::default_registry().register(service.server().collector())?;
            tracing::info!(
                endpoint = service.server().endpoint(),
                admin = %format!("http://{}", service.server().admin_address()),
                "started a key service, which unwraps the data keys"
            );
        }
        (None, AnyKeyring::Wrapped(_)) => tracing::info!(
            "the data keys are unwrapped by the key service of the environment: it decides what stalls"
        ),
        (None, AnyKeyring::Plain(_)) => {
            tracing::info!("the key service is simulated: no call leaves the worker")
        }
    }
    let mut builder = match threads {
        0 => runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    BlockingThreads::register()?.count(&mut builder, threads);
    let runtime = builder.enable_all().max_blocking_threads(blocking_threads.get()).build()?;
    // The watchdog sees only the polls of an observed codec.
    let watchdog = Watchdog::start(Watchdog::THRESHOLD)?;
    prometheus::default_registry().register(Box::new(watchdog.stalls()))?;
    // Constructed on the runtime, because a codec may start a task there.
    let result =
        runtime.block_on(async { serve(args, &server, &telemetry, codec(keys), probes).await });
    // A blocking call in progress must not delay the exit.
    runtime.shutdown_background();
    if let Some(file) = &args.trace {
        let polls = Figures::in_use().map_or_else(Vec::new, |figures| figures.long_polls());
        trace::write(file, &polls)?;
    }
    result
}

/// What tells how late the worker's runtime is.
struct Probes {
    /// In the worker's own task.
    worker: LagProbe,
    /// In a task of its own.
    beside: LagProbe,
}

async fn serve(
    args: &WorkerArgs,
    server: &Server,
    telemetry: &Telemetry,
    codec: AnyCodec,
    probes: Probes,
) -> anyhow::Result<Exit> {
    let client = server.connect(codec, telemetry.client_meter()?).await?;
    let sdk = Runtime::from_current_tokio(
        RuntimeOptions::builder()
            .telemetry_options(telemetry.options())
            .build()
            .map_err(anyhow::Error::msg)?,
    )?;
    let mut worker = Worker::new(&sdk, client, options(args)?)?;
    tokio::spawn(probes.beside.run());
    {
        let _runtime = telemetry.beside.enter();
        telemetry.beside.spawn(stop_on_signal(worker.shutdown_handle()));
    }
    tracing::info!(
        address = server.address(),
        namespace = server.namespace(),
        task_queue = args.task_queue,
        metrics = %format!("http://{}/metrics", telemetry.address),
        "worker polls"
    );

    // In the same Tokio task, so that whatever blocks the worker also blocks this probe.
    tokio::select! {
        result = worker.run() => result.map_err(|error| explain(error, server))?,
        () = probes.worker.run() => future::pending().await,
    }
    tracing::info!("worker drained and stopped");
    for line in totals::of_this_process().into_iter().flat_map(totals::lines) {
        tracing::info!("{line}");
    }
    Ok(Exit::Done)
}

/// `workshop_worker_start_time_seconds`, a gauge: seconds since 1970. Dashboards mark the moment.
fn export_start_time() -> anyhow::Result<()> {
    let help = "When this worker was started, in seconds since 1970";
    let gauge = Gauge::new("workshop_worker_start_time_seconds", help)?;
    gauge.set(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64());
    prometheus::default_registry().register(Box::new(gauge))?;
    Ok(())
}

fn options(args: &WorkerArgs) -> anyhow::Result<WorkerOptions> {
    let slots = FixedSizeSlotSupplier::new;
    Ok(WorkerOptions::new(args.task_queue.as_str())
        .register_workflow::<GreetingWorkflow>()?
        .register_activities(GreetingActivities)
        .tuner(
            TunerHolder::builder()
                .workflow_task_slot_supplier(slots(args.workflow_task_slots))
                .activity_task_slot_supplier(slots(args.activity_slots))
                // Unused here, but the SDK requires a number.
                .local_activity_task_slot_supplier(slots(1))
                .nexus_task_slot_supplier(slots(1))
                .build(),
        )
        .workflow_task_poller_behavior(PollerBehavior::SimpleMaximum(args.workflow_task_pollers))
        .activity_task_poller_behavior(PollerBehavior::SimpleMaximum(args.activity_pollers))
        .nonsticky_to_sticky_poll_ratio(args.nonsticky_ratio)
        .build())
}

/// Runs on another thread, so that signals are handled while the worker is stalled. Listens from the call on, not only
/// once the future is polled: a worker that says it polls is drained by a signal.
fn stop_on_signal(stop: impl Fn()) -> impl Future<Output = ()> {
    static STOPPING: AtomicBool = AtomicBool::new(false);
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
            tracing::warn!(
                "this system does not deliver signals to the worker, so it can't be drained"
            );
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if STOPPING.swap(true, Relaxed) {
                tracing::warn!("stopped at once; tasks in progress will time out and be retried");
                process::exit(Exit::Interrupted as i32);
            }
            tracing::info!(
                "worker stops: finishing the tasks it has (a second signal stops it at once)"
            );
            stop();
        }
    }
}

fn explain(error: WorkerRunError, server: &Server) -> anyhow::Error {
    match error {
        WorkerRunError::Validation(WorkerValidationError::NamespaceDescribeError {
            source,
            namespace,
        }) => Failure::environment(format!(
            "the server at {} does not serve namespace {namespace} ({}): create it, or name another \
             with --namespace or TEMPORAL_NAMESPACE",
            server.address(),
            source.message(),
        ))
        .into(),
        error => anyhow::Error::from(error).context("the worker failed"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        worker: WorkerArgs,
    }

    #[test]
    fn what_the_sdk_cannot_serve_is_refused() {
        for (flag, refused, accepted) in [
            ("--workflow-task-slots", &["0", "1", "100001"][..], &["2", "100000"][..]),
            ("--activity-slots", &["0", "100001"], &["1"]),
            ("--workflow-task-pollers", &["0", "1", "1001"], &["2"]),
            ("--activity-pollers", &["0", "1001"], &["1"]),
            ("--nonsticky-ratio", &["0", "-0.5", "1.5", "NaN"], &["0.1", "1"]),
            ("--threads", &["9999"], &["0", "256"]),
        ] {
            let parse =
                |value: &&str| Program::try_parse_from(["worker", &format!("{flag}={value}")]);
            for value in refused {
                let error = parse(value).expect_err(&format!("{flag} {value}"));
                assert_eq!(error.exit_code(), 2, "{flag} {value}");
                assert!(error.to_string().contains(flag), "{error}");
            }
            for value in accepted {
                parse(value).unwrap();
            }
        }
        let error = Program::try_parse_from(["worker", "--workflow-task-slots=1"]).unwrap_err();
        assert!(error.to_string().contains("at least 2"), "{error}");
    }
}
