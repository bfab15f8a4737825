//! The program `starter`: starts a load with a codec that never stalls, shows its progress, and
//! prints what became of it.

use std::{cell::Cell, future, net::SocketAddr, time::Duration};

use clap::Parser;
use cli_kit::{
    exit::{Exit, Failure},
    host,
    logging::LogArgs,
    settings::{self, Settings},
    term::{note, print},
};
use comfy_table::{CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts};
use serde::Serialize;
use solutions::Step;
use tokio::runtime;

use crate::{
    args::{LoadArgs, some_seconds},
    connection::{Server, ServerArgs},
    load::{self, Event, Load, LoadOutcome},
    quantiles::Quantiles,
    signals,
    stuck::{self, Progress},
    telemetry::{Labels, Telemetry},
    workflows::TASK_QUEUE,
};

/// Seconds. The buckets suit a load without stalls as well as one that stalls for minutes.
const END_TO_END_BUCKETS: [f64; 15] =
    [0.1, 0.2, 0.5, 1., 1.5, 2., 3., 5., 10., 20., 30., 60., 120., 180., 300.];

/// How many ids a message names before it only counts.
const NAMED: usize = 5;
/// How many open workflows the text lists; the JSON has all of them.
const LISTED: usize = 20;

/// Starts GreetingWorkflows, waits for them, and prints how long they took.
#[derive(Debug, Parser)]
#[command(name = "starter", version)]
pub struct StarterArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Task queue to start them on
    #[arg(long, default_value = TASK_QUEUE)]
    task_queue: String,
    /// Workflow ids are this, a hyphen and a number
    #[arg(long, default_value = "hello-activity-workflow-id")]
    id_prefix: String,
    /// Whom to greet
    #[arg(long, default_value = "World")]
    name: String,
    /// Stop after this long, list the workflows that are still open, and exit with 1 [default: wait
    /// for all of them]
    #[arg(long, value_name = "SECONDS", value_parser = some_seconds)]
    timeout: Option<f64>,
    /// Where to serve /metrics while it runs; port 0: a free one [default: 127.0.0.1 with port
    /// STACK_STARTER_METRICS_PORT, or 8087]
    #[arg(long, value_name = "IP:PORT", value_parser = host::address)]
    metrics_address: Option<SocketAddr>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct StarterReport<'a> {
    workflows: Counts,
    end_to_end_seconds: Option<Quantiles>,
    wall_seconds: f64,
    failures: Vec<FailureReport<'a>>,
    not_awaited: Vec<&'a str>,
    start_not_answered: Vec<&'a str>,
}

#[derive(Serialize)]
struct Counts {
    started: usize,
    completed: usize,
    failed: usize,
}

#[derive(Serialize)]
struct FailureReport<'a> {
    id: &'a str,
    reason: &'a str,
}

/// Runs the starter.
///
/// # Errors
/// When no server answers, or when it was interrupted: the message lists what was started and is still open.
pub fn run(args: &StarterArgs) -> anyhow::Result<Exit> {
    args.log.init("warn")?;
    let server = Server::choose(&args.server)?;
    server.warn_of_test_key();
    let metrics = StarterMetrics::register()?;
    let address = Settings::given_or_address(args.metrics_address, settings::STARTER_METRICS_PORT)?;
    let _telemetry = serve_metrics(address);
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(start(args, &server, &metrics))
}

async fn start(
    args: &StarterArgs,
    server: &Server,
    metrics: &StarterMetrics,
) -> anyhow::Result<Exit> {
    let codec = Step::Async.codec(server.keys()?);
    let client = server.connect(codec, None).await?;
    let load = Load {
        numbers: args.load.clone(),
        task_queue: args.task_queue.clone(),
        id_prefix: args.id_prefix.clone(),
        name: args.name.clone(),
        failing: 0,
    };
    // Draws nothing if stderr is not a terminal.
    let bar = ProgressBar::new(args.load.workflows.into()).with_style(
        ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {pos}/{len} workflows")?
            .progress_chars("=> "),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    let open = Progress::new(load.inputs().map(|(id, _)| id));
    let progress = |event: Event<'_>| {
        metrics.count(event);
        open.note(event);
        if event.is_last() {
            bar.inc(1);
        }
    };
    let stopped = Cell::new(None);
    let stop = async { stopped.set(Some(stop(args.timeout).await)) };
    // Above the progress bar, if there is one.
    let report = |text| bar.suspend(|| note(text));
    let outcome = tokio::select! {
        outcome = load::run(&client, &load, stop, progress) => outcome,
        never = stuck::watch(&client, &args.task_queue, &open, report) => match never {},
    };
    bar.finish_and_clear();

    if args.json {
        print(serde_json::to_string_pretty(&report_of(&outcome))? + "\n");
    } else {
        print(text(&outcome));
    }
    match stopped.get() {
        Some(Stop::Signal(name)) => {
            Err(Failure::interrupted(format!("{name}: {}", what_is_left(args, &outcome))).into())
        }
        Some(Stop::Timeout(seconds)) => {
            note(format!(
                "stopped after {seconds} s (--timeout): {}",
                what_is_left(args, &outcome)
            ));
            Ok(Exit::NotSolved)
        }
        None if outcome.is_complete() => Ok(Exit::Done),
        None => Ok(Exit::NotSolved),
    }
}

/// Why a load was stopped early.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Signal(&'static str),
    Timeout(f64),
}

/// Waits for a signal, or until the time is up.
async fn stop(timeout: Option<f64>) -> Stop {
    let signal = async {
        match signals::next().await {
            Ok(name) => name,
            Err(_) => future::pending().await,
        }
    };
    let time = async {
        match timeout {
            Some(seconds) => {
                tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                seconds
            }
            None => future::pending().await,
        }
    };
    tokio::select! {
        name = signal => Stop::Signal(name),
        seconds = time => Stop::Timeout(seconds),
    }
}

/// The starter's metrics describe a running load. The load runs without them, too, so a port in use is only a
/// warning.
fn serve_metrics(address: SocketAddr) -> Option<Telemetry> {
    Telemetry::start(address, Labels::new(), None)
        .inspect_err(|error| tracing::warn!("{error:#}; this starter runs without metrics"))
        .ok()
}

/// The starter's metrics:
///
/// | metric | type | unit | what |
/// | --- | --- | --- | --- |
/// | `workshop_starter_workflows_total` | counter | workflows | by `state`: started, completed, failed |
/// | `workshop_starter_end_to_end_seconds` | histogram | seconds | from just before a workflow was started to its result |
struct StarterMetrics {
    workflows: IntCounterVec,
    end_to_end: Histogram,
}

impl StarterMetrics {
    fn register() -> prometheus::Result<Self> {
        let help = "Workflows of this load";
        let workflows =
            IntCounterVec::new(Opts::new("workshop_starter_workflows_total", help), &["state"])?;
        // A state without workflows is 0, not absent.
        for state in ["started", "completed", "failed"] {
            workflows.with_label_values(&[state]);
        }
        let help = "From just before a workflow was started to its result";
        let end_to_end = Histogram::with_opts(
            HistogramOpts::new("workshop_starter_end_to_end_seconds", help)
                .buckets(END_TO_END_BUCKETS.into()),
        )?;
        let registry = prometheus::default_registry();
        registry.register(Box::new(workflows.clone()))?;
        registry.register(Box::new(end_to_end.clone()))?;
        Ok(Self { workflows, end_to_end })
    }

    fn count(&self, event: Event<'_>) {
        let state = match event {
            Event::Started => "started",
            Event::Completed(completed) => {
                self.end_to_end.observe(completed.end_to_end.as_secs_f64());
                "completed"
            }
            Event::Failed(_) => "failed",
        };
        self.workflows.with_label_values(&[state]).inc();
    }
}

fn report_of(outcome: &LoadOutcome) -> StarterReport<'_> {
    StarterReport {
        workflows: Counts {
            started: outcome.started,
            completed: outcome.completed.len(),
            failed: outcome.failed.len(),
        },
        end_to_end_seconds: end_to_end(outcome),
        wall_seconds: outcome.wall.as_secs_f64(),
        failures: outcome
            .failed
            .iter()
            .map(|failed| FailureReport { id: &failed.id, reason: &failed.reason })
            .collect(),
        not_awaited: outcome.unfinished.iter().map(|(id, _)| id.as_str()).collect(),
        start_not_answered: outcome.unanswered.iter().map(String::as_str).collect(),
    }
}

fn end_to_end(outcome: &LoadOutcome) -> Option<Quantiles> {
    Quantiles::of(outcome.completed.iter().map(|completed| completed.end_to_end))
}

fn text(outcome: &LoadOutcome) -> String {
    let mut text = format!(
        "{} workflows started, {} completed, {} failed, in {:.1} s\n",
        outcome.started,
        outcome.completed.len(),
        outcome.failed.len(),
        outcome.wall.as_secs_f64()
    );
    if let Some(quantiles) = end_to_end(outcome) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["end to end", "p50", "p95", "p99", "max"]);
        let Quantiles { p50, p95, p99, max } = quantiles;
        let cells = [p50, p95, p99, max].map(|seconds| format!("{seconds:.2}"));
        table.add_row(std::iter::once("seconds".to_owned()).chain(cells));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        text += &format!("{table}\n");
    }
    for failed in &outcome.failed {
        text += &format!("{} failed: {}\n", failed.id, failed.reason);
    }
    for (id, so_far) in outcome.unfinished.iter().take(LISTED) {
        text += &format!("{id} is open, for {:.1} s so far\n", so_far.as_secs_f64());
    }
    if let Some(more @ 1..) = outcome.unfinished.len().checked_sub(LISTED) {
        text += &format!("and {more} more are open (--json lists all)\n");
    }
    text
}

/// A message about the workflows that continue without this program.
fn what_is_left(args: &StarterArgs, outcome: &LoadOutcome) -> String {
    let mut left = format!(
        "{} of {} workflows were started, and {} of these are still open{}. They continue as long as a \
         worker polls {}",
        outcome.started,
        args.load.workflows,
        outcome.unfinished.len(),
        named(outcome.unfinished.iter().map(|(id, _)| id.as_str())),
        args.task_queue,
    );
    if !outcome.unanswered.is_empty() {
        left += &format!(
            ". The server had not answered for {} more, and may have started them{}",
            outcome.unanswered.len(),
            named(outcome.unanswered.iter().map(String::as_str))
        );
    }
    left
}

/// " (a, b, c and 7 more)", or nothing.
fn named<'a>(ids: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = ids.len().saturating_sub(NAMED);
    let first = ids.take(NAMED).collect::<Vec<_>>().join(", ");
    match (first.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(" ({first})"),
        (false, more) => format!(" ({first} and {more} more)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_named_up_to_a_point() {
        assert_eq!(named([].into_iter()), "");
        assert_eq!(named(["a", "b"].into_iter()), " (a, b)");
        assert_eq!(named(["a"; 9].into_iter()), " (a, a, a, a, a and 4 more)");
    }
}
