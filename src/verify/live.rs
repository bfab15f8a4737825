//! A real server and a small load, against the codec whose weakness the step cures, in the same run: the
//! attendee's own, where there is one.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use solutions::Step;

use crate::{
    course::{self, Progress},
    experiment::{
        Codec, Contender, Experiment, Reference, Run, RunProgress, Scenario, ScenarioName, Target,
    },
    temporal::TemporalCli,
};

/// A codec that cures it is at least so much faster. Measured: 8 times and more.
const FASTER: f64 = 2.0;

/// What both runs showed.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    /// The codec that is not cured: the attendee's own of the step before (`mine_1`), or the reference.
    baseline: Codec,
    /// Seconds, with that codec.
    baseline_end_to_end_p95: f64,
    /// Seconds, with the exercise's.
    end_to_end_p95: f64,
    workflows: u32,
    completed: usize,
    workflow_task_not_found: u64,
}

impl Live {
    fn of(uncured: &Run, mine: &Run, scenario: &Scenario) -> Self {
        let p95 = |run: &Run| run.end_to_end_seconds.map_or(f64::NAN, |quantiles| quantiles.p95);
        Self {
            baseline: uncured.codec,
            baseline_end_to_end_p95: p95(uncured),
            end_to_end_p95: p95(mine),
            workflows: scenario.load.workflows,
            completed: mine.workflows.completed,
            workflow_task_not_found: mine.workflow_task_not_found,
        }
    }

    /// Whether the load was done, in time, and faster than with the other codec.
    pub fn is_well(&self) -> bool {
        self.is_done() && self.faster() >= FASTER
    }

    fn is_done(&self) -> bool {
        self.completed == self.workflows as usize && self.workflow_task_not_found == 0
    }

    fn faster(&self) -> f64 {
        self.baseline_end_to_end_p95 / self.end_to_end_p95
    }

    /// The figures in a line.
    pub fn seen(&self) -> String {
        let baseline = match self.baseline {
            Codec::Mine(step) => format!("your codec of exercise {}", step.number()),
            reference => reference.to_string(),
        };
        format!(
            "{} of {} workflows; end-to-end p95 {:.2} s, with {baseline} {:.2} s ({:.1} times \
             that); {} \"Workflow task not found\"",
            self.completed,
            self.workflows,
            self.end_to_end_p95,
            self.baseline_end_to_end_p95,
            self.faster(),
            self.workflow_task_not_found
        )
    }
}

/// The step whose weakness that one cures, and the load that shows it. None for exercise 1, which ends with
/// the codec that blocks.
fn cures(step: Step) -> Option<(Step, Reference, ScenarioName)> {
    match step {
        Step::Start | Step::Blocking => None,
        Step::SpawnBlocking | Step::Async => {
            Some((Step::Blocking, Reference::Blocking, ScenarioName::Quick))
        }
        Step::BeyondAsync => Some((Step::Async, Reference::Async, ScenarioName::Decode)),
    }
}

/// Whether there is anything to be seen.
pub fn has_one(step: Step) -> bool {
    cures(step).is_some()
}

/// Runs the load with the codec that is not cured, and with the exercise's.
///
/// # Errors
/// When a server or a worker can't be had, or the step has no such run.
pub async fn run(
    step: Step,
    program: PathBuf,
    cli: TemporalCli,
    seed: u64,
    root: &Path,
    folder: &Path,
) -> anyhow::Result<Live> {
    let (before, reference, name) = cures(step).context("it cures nothing that a load shows")?;
    // Small enough for both runs to be over in twenty seconds.
    let mut scenario = Scenario { limit_seconds: 12.0, ..name.scenario() };
    scenario.load.workflows = 20;
    scenario.keys.seed = seed;
    let target = Target::DevServer(cli);
    let experiment =
        Experiment { scenario: &scenario, target: &target, logs: folder, id: "verify".to_owned() };
    let reference = Contender::reference(reference)?;
    let own = own(before, root).await?;
    let uncured = measure(&experiment, own.as_ref().unwrap_or(&reference)).await?;
    let mine = measure(&experiment, &Contender::built(step, program)).await?;
    let live = Live::of(&uncured, &mine, &scenario);
    // Who has cured the exercise of before as well has nothing there to compare with.
    if own.is_some() && live.is_done() && !live.is_well() {
        return Ok(Live::of(&measure(&experiment, &reference).await?, &mine, &scenario));
    }
    Ok(live)
}

/// The attendee's own codec of that step, while it is the one that `verify` saw to solve it.
async fn own(step: Step, root: &Path) -> anyhow::Result<Option<Contender>> {
    let progress = Progress::read(root).unwrap_or_default();
    let Some(solved) = progress.of(step) else { return Ok(None) };
    let codec = course::read(&root.join(course::codec(step)));
    if !codec.is_ok_and(|codec| solved.is(&codec)) {
        return Ok(None);
    }
    Ok(course::build_worker(step).await?.map(|program| Contender::built(step, program)))
}

async fn measure(experiment: &Experiment<'_>, contender: &Contender) -> anyhow::Result<Run> {
    let what = format!("live run, {}", contender.codec);
    let progress = RunProgress::new(&what, experiment.scenario);
    let run = experiment.run(contender, &progress).await?;
    progress.finish(&run);
    Ok(run)
}
