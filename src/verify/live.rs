//! A real server and a small load, against the codec whose weakness the step cures, in the same run.

use std::path::{Path, PathBuf};

use serde::Serialize;
use solutions::Step;

use crate::compare::{
    Contender, Course, Entry, Place, Progress, Run, Scenario, ScenarioName, TemporalCli,
};

/// A codec that cures it is at least so much faster. Measured: 8 times and more.
const FASTER: f64 = 2.0;

/// What both runs showed.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    /// The codec that is not cured.
    baseline: String,
    /// Seconds, with that codec.
    baseline_end_to_end_p95: f64,
    /// Seconds, with the exercise's.
    end_to_end_p95: f64,
    workflows: u32,
    completed: usize,
    workflow_task_not_found: u64,
}

impl Live {
    /// Whether the load was done, in time, and faster than with the other codec.
    pub fn is_well(&self) -> bool {
        self.completed == self.workflows as usize
            && self.workflow_task_not_found == 0
            && self.faster() >= FASTER
    }

    fn faster(&self) -> f64 {
        self.baseline_end_to_end_p95 / self.end_to_end_p95
    }

    /// The figures in a line.
    pub fn seen(&self) -> String {
        format!(
            "{} of {} workflows; end-to-end p95 {:.2} s, with {} {:.2} s ({:.1} times \
             that); {} \"Workflow task not found\"",
            self.completed,
            self.workflows,
            self.end_to_end_p95,
            self.baseline,
            self.baseline_end_to_end_p95,
            self.faster(),
            self.workflow_task_not_found
        )
    }
}

/// Whether there is anything to be seen: exercise 1 ends with the codec that blocks.
pub fn has_one(step: Step) -> bool {
    step != Step::Blocking
}

/// Runs the load with the codec that is not cured, and with the exercise's.
///
/// # Errors
/// When a server or a worker can't be had.
pub async fn run(
    step: Step,
    program: PathBuf,
    cli: TemporalCli,
    seed: u64,
    folder: &Path,
) -> anyhow::Result<Live> {
    let (name, baseline) = match step {
        Step::BeyondAsync => (ScenarioName::Decode, Contender::Async),
        _ => (ScenarioName::Quick, Contender::Blocking),
    };
    // Small enough for both runs to be over in twenty seconds.
    let scenario = Scenario { workflows: 20, limit_seconds: 12.0, ..name.scenario() };
    let place = Place::Local(cli);
    let course =
        Course { scenario: &scenario, seed, place: &place, logs: folder, id: "verify".to_owned() };
    let uncured = measure(&course, &Entry::reference(baseline)?).await?;
    let mine = measure(&course, &Entry::exercise(step, program)).await?;
    let p95 = |run: &Run| run.end_to_end_seconds.map_or(f64::NAN, |quantiles| quantiles.p95);
    Ok(Live {
        baseline: uncured.codec.clone(),
        baseline_end_to_end_p95: p95(&uncured),
        end_to_end_p95: p95(&mine),
        workflows: scenario.workflows,
        completed: mine.workflows.completed,
        workflow_task_not_found: mine.workflow_task_not_found,
    })
}

async fn measure(course: &Course<'_>, entry: &Entry) -> anyhow::Result<Run> {
    let progress = Progress::new(&format!("live run, {}", entry.name), course.scenario);
    let run = course.run(entry, &progress).await?;
    progress.finish(&run);
    Ok(run)
}
