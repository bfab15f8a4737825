//! The results of a comparison, as `--json` prints them.

use std::collections::BTreeMap;

use serde::Serialize;

use cargo_lock::Lockfile;
use greeting::quantiles::Quantiles;

use crate::{
    experiment::{Codec, Fault, KeyServiceUsed, Reference, Run, Scenario, Workflows},
    temporal::TemporalCli,
};

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
    pub ratios: BTreeMap<Codec, Ratio>,
    /// The load.
    pub scenario: Scenario,
    /// What the codecs asked for their keys.
    pub key_service: KeyServiceUsed,
    /// What went wrong with it.
    pub fault: Option<Fault>,
    /// The seed of the stalls, which is the scenario's.
    pub seed: u64,
    /// What ran.
    pub versions: Versions,
    /// Whether the reader has solved every exercise, which changes the advice at the end.
    #[serde(skip)]
    pub finished: bool,
}

/// What ran.
#[derive(Clone, Debug, Serialize)]
pub struct Versions {
    /// This workshop.
    pub workshop: &'static str,
    /// The Temporal CLI's version; `None` if the server was already there.
    pub temporal: Option<String>,
    /// The SDK's crates, by name.
    pub crates: BTreeMap<&'static str, String>,
    /// `debug` or `release`.
    pub build: &'static str,
}

impl Comparison {
    /// Puts runs side by side.
    pub fn new(runs: Vec<Run>, scenario: Scenario, cli: Option<&TemporalCli>) -> Self {
        let baseline = runs.iter().find(|run| run.codec == Codec::BASELINE && !run.cut_off);
        let ratios = baseline.map(|baseline| {
            let others = runs.iter().filter(|run| run.codec != baseline.codec);
            others.map(|run| (run.codec, Ratio::of(run, baseline))).collect()
        });
        Self {
            ratios: ratios.unwrap_or_default(),
            runs,
            key_service: KeyServiceUsed::Local,
            fault: None,
            seed: scenario.keys.seed,
            scenario,
            finished: false,
            versions: Versions {
                workshop: env!("CARGO_PKG_VERSION"),
                temporal: cli.map(|cli| cli.version.clone()),
                crates: locked_versions(&[
                    "temporalio-sdk",
                    "temporalio-sdk-core",
                    "temporalio-client",
                    "tokio",
                    "ring",
                ]),
                build: if cfg!(debug_assertions) { "debug" } else { "release" },
            },
        }
    }

    /// The run of that reference codec.
    pub fn run(&self, reference: Reference) -> Option<&Run> {
        self.runs.iter().find(|run| run.codec == Codec::Reference(reference))
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

/// The versions that Cargo.lock has of these crates: those that this program was built with.
fn locked_versions<'a>(names: &[&'a str]) -> BTreeMap<&'a str, String> {
    let lock: Lockfile = include_str!("../../Cargo.lock").parse().expect("cargo wrote Cargo.lock");
    let version = |name: &&'a str| {
        let package = lock.packages.iter().find(|package| package.name.as_str() == *name)?;
        Some((*name, package.version.to_string()))
    };
    names.iter().filter_map(version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::ScenarioName;

    const BLOCKING: Codec = Codec::Reference(Reference::Blocking);
    const ASYNC: Codec = Codec::BASELINE;

    fn run(codec: Codec, p95: f64, cut_off: bool) -> Run {
        let quantiles = Quantiles { p95, ..Quantiles::default() };
        Run { end_to_end_seconds: Some(quantiles), cut_off, ..Run::empty(codec) }
    }

    #[test]
    fn ratios_are_against_the_async_codec() {
        let runs = vec![run(BLOCKING, 60.0, true), run(ASYNC, 3.0, false)];
        let all = Comparison::new(runs, ScenarioName::Quick.scenario(), None);
        let ratio = all.ratios[&BLOCKING];
        assert_eq!((ratio.end_to_end_p95, ratio.lower_bound), (Some(20.0), true));
        assert!(!all.ratios.contains_key(&ASYNC));
    }

    #[test]
    fn a_baseline_that_was_cut_off_is_none() {
        let runs = vec![run(BLOCKING, 60.0, false), run(ASYNC, 3.0, true)];
        assert!(Comparison::new(runs, ScenarioName::Quick.scenario(), None).ratios.is_empty());
    }

    #[test]
    fn a_failure_is_not_excused_by_another_run_that_was_cut_off() {
        let complete =
            |runs| Comparison::new(runs, ScenarioName::Quick.scenario(), None).is_complete();
        assert!(complete(vec![run(BLOCKING, 60.0, true), run(ASYNC, 3.0, false)]));
        let failed = Run { failures: vec!["why".into()], ..run(ASYNC, 3.0, false) };
        assert!(!complete(vec![run(BLOCKING, 60.0, true), failed]));
    }

    #[test]
    fn the_versions_are_those_of_the_lock_file() {
        let versions = locked_versions(&["temporalio-sdk", "no-such-crate"]);
        assert_eq!(versions, [("temporalio-sdk", "1.1.1".to_owned())].into());
    }
}
