//! One codec's run: a fresh server, a worker process, the load, and what all three tell.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use codec_kit::AnyKeyring;
use greeting::{
    args::{KeyServiceArgs, KeyServiceKind, LoadArgs, to_flags},
    connection::{Server, ServerArgs},
    keys::LocalKeyService,
    load::{self, Load, LoadOutcome},
    quantiles::Quantiles,
    sample::{SAMPLE_INTERVAL, Sample},
    workflows::{FAILS_ON_PURPOSE, Failing, GreetingInput},
};
use solutions::Step;
use temporalio_client::Client;
use tokio::{process::Command, task::spawn_blocking, time::sleep};

use super::{
    contender::Contender,
    fault::Fault,
    history::{History, TaskLatencies},
    keys::Keys,
    progress::Onlooker,
    result::{KeyServiceUsed, Run, Series, Workflows},
    sampler::Samples,
    scenario::Scenario,
    worker_process::WorkerProcess,
};
use crate::{
    process::{without_users_settings, without_users_settings_but_keys},
    temporal::{DevServer, TemporalCli},
};

/// A worker that has not run its first workflow by then is measured all the same.
const WARM_UP_LIMIT: Duration = Duration::from_secs(20);

/// The Temporal server of a run.
pub enum Target {
    /// A fresh dev server for each.
    DevServer(TemporalCli),
    /// One that exists, chosen by flags and environment.
    Existing(ServerArgs),
}

/// What all runs have in common that are compared.
pub struct Experiment<'a> {
    /// The numbers.
    pub scenario: &'a Scenario,
    /// Where.
    pub target: &'a Target,
    /// The folder for logs.
    pub logs: &'a Path,
    /// Different in every experiment, so that no run meets another's workflows.
    pub id: String,
    /// Whom the workflows greet.
    pub name: String,
    /// How many workflows fail on purpose, see [`Load::failing`].
    pub failing: u32,
    /// The keys of the starter and of the worker; `None`: those of the environment.
    pub keys: Option<Keys>,
    /// What goes wrong with the key service while the load runs.
    pub fault: Option<Fault>,
    /// Whether the worker writes its codec's long polls, see [`Measured::trace`].
    pub traces: bool,
}

/// What one run found.
pub struct Measured {
    /// The figures.
    pub run: Run,
    /// What the codec asked for its keys.
    pub key_service: KeyServiceUsed,
    /// The histories of all its workflows, also of the one that it warmed up with.
    pub histories: Vec<History>,
    /// Where the worker's log is.
    pub worker_log: PathBuf,
    /// Where the worker has written its codec's long polls, if the experiment asks for that.
    pub trace: PathBuf,
}

impl<'a> Experiment<'a> {
    /// One with the keys of the environment, in which every workflow is to complete.
    pub fn new(scenario: &'a Scenario, target: &'a Target, logs: &'a Path) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            scenario,
            target,
            logs,
            // Seconds since 1970: unlike any earlier one's on the same server.
            id: now.as_secs().to_string(),
            name: "World".to_owned(),
            failing: 0,
            keys: None,
            fault: None,
            traces: false,
        }
    }

    /// Measures one codec.
    ///
    /// # Errors
    /// When the server or the worker does not start, or exits in the middle:
    /// [`WorkerExited`](super::worker_process::WorkerExited).
    pub async fn run(
        &self,
        contender: &Contender,
        onlooker: &dyn Onlooker,
    ) -> anyhow::Result<Measured> {
        let (server, args) = match self.target {
            Target::DevServer(cli) => {
                let server = DevServer::start(cli, &self.log(contender, "server")).await?;
                let args = ServerArgs {
                    address: Some(server.address().to_owned()),
                    namespace: Some("default".to_owned()),
                    profile: None,
                };
                (Some(server), args)
            }
            Target::Existing(args) => (None, args.clone()),
        };
        let mut chosen = match self.target {
            Target::DevServer(_) => Server::local(&args)?,
            Target::Existing(_) => Server::choose(&args)?,
        };
        if let Some(keys) = &self.keys {
            chosen = chosen.with_keyring(keys.starter.clone());
        }
        // A codec that never stalls: what is slow here is the worker's, and nothing else.
        let codec = Step::Async.codec(chosen.keys()?);
        let client = chosen.connect(codec, None).await?;

        let load = self.load(contender);
        // A server and a worker do many things for the first time with their first workflow.
        let warm_up = Load {
            numbers: LoadArgs { workflows: 1, ..load.numbers.clone() },
            id_prefix: format!("{}-warm-up", load.id_prefix),
            failing: 0,
            ..load.clone()
        };
        let service = self.key_service(contender, chosen.keyring()).await?;
        let fault = self.fault.map(|fault| fault.of(service.as_ref())).transpose()?;
        let command = self.worker(contender, &args, &load, service.as_ref());
        let worker_log = self.log(contender, "worker");
        let mut worker = WorkerProcess::start(command, &worker_log).await?;
        let metrics = worker.metrics;
        let work = async {
            let warmed_up = load::run(&client, &warm_up, sleep(WARM_UP_LIMIT), |_| {}).await;
            let began = SystemTime::now();
            let limit = sleep(Duration::from_secs_f64(self.scenario.limit_seconds));
            let work = load::run(&client, &load, limit, |event| onlooker.event(event));
            let work = Samples::during(metrics, onlooker, work);
            let (outcome, sampled) = match fault {
                None => work.await?,
                Some((fault, service)) => tokio::select! {
                    done = work => done?,
                    failed = fault.befall(service, onlooker) => match failed? {},
                },
            };
            anyhow::Ok((warmed_up, began, outcome, sampled))
        };
        let (warmed_up, began, outcome, sampled) = tokio::select! {
            measured = work => measured?,
            exited = worker.exited() => match exited? {},
        };
        // Read while the worker still runs: in a run that was cut off, it is busy for minutes.
        let mut histories = History::read_all(&client, load.inputs()).await?;
        let latencies = TaskLatencies::of(&histories);
        histories.extend(History::read_all(&client, warm_up.inputs()).await?);
        worker.stop().await?;
        match server {
            Some(server) => server.stop().await?,
            None => terminate(&client, [&warmed_up, &outcome]).await,
        }
        let run = self.result(contender, &load, &outcome, &sampled, &latencies, began);
        let key_service = match (service, self.scenario.keys.key_service) {
            (Some(_), _) => KeyServiceUsed::Local,
            (None, KeyServiceKind::Simulated) => KeyServiceUsed::Simulated,
            (None, KeyServiceKind::Kms) => KeyServiceUsed::Environment,
        };
        Ok(Measured { run, key_service, histories, worker_log, trace: self.trace(contender) })
    }

    fn trace(&self, contender: &Contender) -> PathBuf {
        self.logs.join(format!("{}.trace.json", contender.codec))
    }

    fn log(&self, contender: &Contender, of: &str) -> PathBuf {
        self.logs.join(format!("{}.{of}.log", contender.codec))
    }

    fn load(&self, contender: &Contender) -> Load {
        let queue = format!("compare-{}-{}", self.id, contender.codec);
        Load {
            numbers: self.scenario.load.clone(),
            id_prefix: queue.clone(),
            task_queue: queue,
            name: self.name.clone(),
            failing: self.failing,
        }
    }

    /// How the key service behaves towards this codec.
    fn key_service_args(&self, contender: &Contender) -> KeyServiceArgs {
        let keys = self.scenario.keys.clone();
        match contender.codec.stalls() {
            true => keys,
            false => {
                KeyServiceArgs { stall_probability: 0.0, decode_stall_probability: 0.0, ..keys }
            }
        }
    }

    /// Starts the worker's key service. `None` where it is simulated, and where the keys of the environment are
    /// wrapped by another one.
    async fn key_service(
        &self,
        contender: &Contender,
        keyring: &AnyKeyring,
    ) -> anyhow::Result<Option<LocalKeyService>> {
        let args = self.key_service_args(contender);
        let keyring = match (&self.keys, keyring) {
            _ if args.key_service == KeyServiceKind::Simulated => return Ok(None),
            (Some(keys), _) => keys.worker.clone(),
            (None, AnyKeyring::Plain(keyring)) => keyring.clone(),
            (None, AnyKeyring::Wrapped(_)) => return Ok(None),
        };
        spawn_blocking(move || LocalKeyService::start(&keyring, &args)).await?.map(Some)
    }

    fn worker(
        &self,
        contender: &Contender,
        server: &ServerArgs,
        load: &Load,
        service: Option<&LocalKeyService>,
    ) -> Command {
        let keys = self.key_service_args(contender);
        let mut command = contender.command();
        command.args(to_flags(&keys)).args(to_flags(&self.scenario.runtime));
        match self.target {
            Target::DevServer(_) => without_users_settings(&mut command),
            Target::Existing(_) => without_users_settings_but_keys(&mut command),
        }
        if let Some(keys) = &self.keys {
            keys.give_to(&mut command);
        }
        if let Some(service) = service {
            service.give_to(command.as_std_mut());
        }
        let mut flag = |name: &str, value: String| {
            command.arg(format!("--{name}={value}"));
        };
        flag("task-queue", load.task_queue.clone());
        flag("metrics-address", "127.0.0.1:0".to_owned());
        if self.traces {
            flag("trace", self.trace(contender).display().to_string());
        }
        for (name, value) in [
            ("address", &server.address),
            ("namespace", &server.namespace),
            ("profile", &server.profile),
        ] {
            if let Some(value) = value {
                flag(name, value.clone());
            }
        }
        if let Target::DevServer(_) = self.target {
            isolate(&mut command);
        }
        command
    }

    fn result(
        &self,
        contender: &Contender,
        load: &Load,
        outcome: &LoadOutcome,
        sampled: &Samples,
        latencies: &TaskLatencies,
        began: SystemTime,
    ) -> Run {
        let cut_off = !(outcome.unfinished.is_empty() && outcome.unanswered.is_empty());
        let last = sampled.last();
        let completed = outcome.completed.iter().map(|done| done.end_to_end);
        let unfinished = outcome.unfinished.iter().map(|(_, so_far)| *so_far);
        let workflow_tasks = latencies.workflow_tasks.iter().map(|(_, latency)| *latency);
        Run {
            codec: contender.codec,
            threads: self.scenario.runtime.threads,
            workflows: Workflows {
                started: outcome.started,
                completed: outcome.completed.len(),
                failed: outcome.failed.len(),
                as_expected: as_expected(load, outcome),
            },
            end_to_end_seconds: Quantiles::of(completed.chain(unfinished)),
            workflow_task_schedule_to_start_seconds: Quantiles::of(workflow_tasks),
            activity_schedule_to_start_seconds: Quantiles::of(latencies.activities.iter().copied()),
            workflow_task_not_found: last.not_found,
            workflow_task_timeouts: latencies.workflow_task_timeouts,
            longest_poll_seconds: last.longest_poll,
            codec_totals: sampled.totals(),
            lag_seconds: sampled.lag(),
            peak_threads: sampled.peak_threads(),
            peak_memory_bytes: sampled.peak_memory(),
            cut_off,
            wall_seconds: outcome.wall.as_secs_f64(),
            slowest_scrape_seconds: sampled.slowest_scrape,
            failures: outcome
                .failed
                .iter()
                .map(|failed| format!("{}: {}", failed.id, failed.reason))
                .collect(),
            series: series(outcome, sampled, latencies, began),
        }
    }
}

/// How many workflows completed, or failed where they were to fail, and for that reason.
fn as_expected(load: &Load, outcome: &LoadOutcome) -> usize {
    let fail = |(id, input): (String, GreetingInput)| {
        (input.failing == Some(Failing::ForGood)).then_some(id)
    };
    let fail: HashSet<_> = load.inputs().filter_map(fail).collect();
    let completed = outcome.completed.iter().filter(|done| !fail.contains(&done.id));
    let failed = outcome
        .failed
        .iter()
        .filter(|failed| fail.contains(&failed.id) && failed.reason.contains(FAILS_ON_PURPOSE));
    completed.count() + failed.count()
}

/// On a dev server of our own, settings for another server must not reach the worker.
fn isolate(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TEMPORAL_") {
            command.env_remove(name);
        }
    }
    command.env("TEMPORAL_CONFIG_FILE", "/dev/null");
}

/// A server that continues must not keep workflows that no worker runs any more.
async fn terminate(client: &Client, outcomes: [&LoadOutcome; 2]) {
    for (id, _) in outcomes.into_iter().flat_map(|outcome| &outcome.unfinished) {
        let handle = client.get_workflow_handle::<temporalio_client::UntypedWorkflow>(id.as_str());
        let options = temporalio_client::WorkflowTerminateOptions::builder()
            .reason("workshop compare reached its limit")
            .build();
        if let Err(error) = handle.terminate(options).await {
            tracing::warn!(id, %error, "a workflow that was cut off could not be terminated");
        }
    }
}

fn series(
    outcome: &LoadOutcome,
    sampled: &Samples,
    latencies: &TaskLatencies,
    began: SystemTime,
) -> Series {
    let mut workflow_task: Vec<_> = latencies
        .workflow_tasks
        .iter()
        .map(|(at, latency)| {
            (at.duration_since(began).unwrap_or_default().as_secs_f64(), latency.as_secs_f64())
        })
        .collect();
    workflow_task.sort_by(|a, b| a.0.total_cmp(&b.0));
    let pairs = || sampled.samples.windows(2).map(|pair| (&pair[0], &pair[1]));
    Series {
        end_to_end: outcome
            .completed
            .iter()
            .map(|done| (done.at.as_secs_f64(), done.end_to_end.as_secs_f64()))
            .collect(),
        workflow_task,
        lag: pairs().map(|(before, now)| (now.at.as_secs_f64(), now.lag_since(before))).collect(),
        held: held(&sampled.samples),
        thread: sampled.samples.iter().flat_map(|sample| &sample.thread).copied().collect(),
    }
}

/// For each sample, the share of the last two seconds that was held. A call counts when it is done:
/// over less, one stall would look like more than it is.
fn held(samples: &[Sample]) -> Vec<(f64, f64)> {
    const TWO_SECONDS: usize = (2000 / SAMPLE_INTERVAL.as_millis()) as usize;
    let share = |(at, now): (usize, &Sample)| {
        let before = &samples[at.saturating_sub(TWO_SECONDS)];
        let seconds = (now.at - before.at).as_secs_f64();
        (now.at.as_secs_f64(), (now.blocked() - before.blocked()) / seconds)
    };
    samples.iter().enumerate().skip(1).map(share).collect()
}
