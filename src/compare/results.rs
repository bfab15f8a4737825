//! What a comparison found, as `--json` has it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{scenario::Scenario, temporal_cli::TemporalCli, watch::LagSeconds};
use crate::quantiles::Quantiles;

/// One codec's run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// The codec's name.
    pub codec: String,
    /// Threads of the worker's runtime; 0: current_thread.
    pub threads: usize,
    /// What became of the workflows.
    pub workflows: Workflows,
    /// From a workflow's start to its result, seconds. In a run that was cut off, workflows that
    /// were not done count with the time they had taken so far: a lower bound.
    pub end_to_end_seconds: Option<Quantiles>,
    /// From the scheduling of a workflow task to its start, seconds, from the histories.
    pub workflow_task_schedule_to_start_seconds: Option<Quantiles>,
    /// The same of activities.
    pub activity_schedule_to_start_seconds: Option<Quantiles>,
    /// Workflow tasks that the worker completed and the server no longer knew.
    pub workflow_task_not_found: u64,
    /// Workflow tasks that timed out in the worker's hands, in the histories.
    pub workflow_task_timeouts: u64,
    /// The longest time the codec held a thread; `None`: the codec is not observed.
    pub longest_poll_seconds: Option<f64>,
    /// The longest lag of both probes.
    pub lag_seconds: LagSeconds,
    /// The most threads of the worker's process; `None` where the system does not tell.
    pub peak_threads: Option<u64>,
    /// The most memory of the worker's process; `None` where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Whether the run reached its limit: every figure of it is then a lower bound.
    pub cut_off: bool,
    /// From the first start to the last result.
    pub wall_seconds: f64,
    /// The slowest answer of the worker's `/metrics`.
    pub slowest_scrape_seconds: f64,
    /// The workflows that failed, and why.
    pub failures: Vec<String>,
    /// What the report plots.
    #[serde(skip)]
    pub series: Series,
}

/// How many workflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Workflows {
    /// Started.
    pub started: usize,
    /// Completed.
    pub completed: usize,
    /// Failed.
    pub failed: usize,
}

/// Values over time: seconds since the run's start, and a value.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// End-to-end latency of each workflow, in seconds, when it was done.
    pub end_to_end: Vec<(f64, f64)>,
    /// Schedule-to-start latency of each workflow task, in seconds, when it was started.
    pub workflow_task: Vec<(f64, f64)>,
    /// Lag of the worker's own task, in seconds.
    pub lag: Vec<(f64, f64)>,
    /// The share of the time for which the codec held a thread, 0 to 1.
    pub held: Vec<(f64, f64)>,
}

/// How much worse a codec's run was than the async codec's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// End-to-end latency, p95.
    pub end_to_end_p95: Option<f64>,
    /// Workflow task schedule-to-start latency, p95.
    pub workflow_task_schedule_to_start_p95: Option<f64>,
    /// Wall time of the run.
    pub wall: Option<f64>,
    /// The codec's run was cut off: the ratios are lower bounds.
    pub lower_bound: bool,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// One object a codec, in the order in which they ran.
    pub runs: Vec<Run>,
    /// By codec, against `async`; empty where that did not run or was cut off.
    pub ratios: BTreeMap<String, Ratio>,
    /// What each went through.
    pub scenario: Scenario,
    /// The seed of the stalls.
    pub seed: u64,
    /// What ran.
    pub versions: Versions,
}

/// What ran.
#[derive(Clone, Debug, Serialize)]
pub struct Versions {
    /// This workshop.
    pub workshop: &'static str,
    /// What the Temporal CLI says of itself; `None`: the server was there already.
    pub temporal: Option<String>,
    /// The SDK's crates, by name.
    pub crates: BTreeMap<&'static str, &'static str>,
    /// `debug` or `release`.
    pub build: &'static str,
}

impl Comparison {
    /// Puts runs side by side.
    pub fn new(runs: Vec<Run>, scenario: Scenario, seed: u64, cli: Option<&TemporalCli>) -> Self {
        let baseline = runs.iter().find(|run| run.codec == "async" && !run.cut_off);
        let ratios = baseline.map(|baseline| {
            let others = runs.iter().filter(|run| run.codec != baseline.codec);
            others.map(|run| (run.codec.clone(), Ratio::of(run, baseline))).collect()
        });
        Self {
            ratios: ratios.unwrap_or_default(),
            runs,
            scenario,
            seed,
            versions: Versions {
                workshop: env!("CARGO_PKG_VERSION"),
                temporal: cli.map(|cli| cli.version.clone()),
                crates: [
                    "temporalio-sdk",
                    "temporalio-sdk-core",
                    "temporalio-client",
                    "tokio",
                    "ring",
                ]
                .map(|name| (name, locked_version(name)))
                .into(),
                build: if cfg!(debug_assertions) { "debug" } else { "release" },
            },
        }
    }

    /// The run of that codec.
    pub fn run(&self, codec: &str) -> Option<&Run> {
        self.runs.iter().find(|run| run.codec == codec)
    }

    /// Whether every workflow completed, or was still running when its run was cut off.
    pub fn is_complete(&self) -> bool {
        self.runs.iter().all(|run| {
            let Workflows { started, completed, .. } = run.workflows;
            run.failures.is_empty() && (run.cut_off || completed == started)
        })
    }
}

impl Ratio {
    fn of(run: &Run, baseline: &Run) -> Self {
        let p95 = |of: fn(&Run) -> Option<Quantiles>| divide(of(run)?.p95, of(baseline)?.p95);
        Self {
            end_to_end_p95: p95(|run| run.end_to_end_seconds),
            workflow_task_schedule_to_start_p95: p95(|run| {
                run.workflow_task_schedule_to_start_seconds
            }),
            wall: divide(run.wall_seconds, baseline.wall_seconds),
            lower_bound: run.cut_off,
        }
    }
}

fn divide(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

/// The version that Cargo.lock has of a crate: the one that this program was built with.
fn locked_version(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    lock.find(&entry).and_then(|at| lock[at + entry.len()..].split('"').next()).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::ScenarioName;

    fn run(codec: &str, p95: f64, cut_off: bool) -> Run {
        let quantiles = Quantiles { p95, ..Quantiles::default() };
        Run { codec: codec.into(), end_to_end_seconds: Some(quantiles), cut_off, ..Run::default() }
    }

    #[test]
    fn ratios_are_against_the_async_codec() {
        let runs = vec![run("blocking", 60.0, true), run("async", 3.0, false)];
        let all = Comparison::new(runs, ScenarioName::Quick.scenario(), 1, None);
        let ratio = all.ratios["blocking"];
        assert_eq!((ratio.end_to_end_p95, ratio.lower_bound), (Some(20.0), true));
        assert!(!all.ratios.contains_key("async"));
    }

    #[test]
    fn a_baseline_that_was_cut_off_is_none() {
        let runs = vec![run("blocking", 60.0, false), run("async", 3.0, true)];
        assert!(Comparison::new(runs, ScenarioName::Quick.scenario(), 1, None).ratios.is_empty());
    }

    #[test]
    fn a_failure_is_not_excused_by_another_run_that_was_cut_off() {
        let complete =
            |runs| Comparison::new(runs, ScenarioName::Quick.scenario(), 1, None).is_complete();
        assert!(complete(vec![run("blocking", 60.0, true), run("async", 3.0, false)]));
        let failed = Run { failures: vec!["why".into()], ..run("async", 3.0, false) };
        assert!(!complete(vec![run("blocking", 60.0, true), failed]));
    }

    #[test]
    fn the_versions_are_those_of_the_lock_file() {
        assert_eq!(locked_version("temporalio-sdk"), "1.1.1");
        assert_eq!(locked_version("no-such-crate"), "unknown");
    }
}
