//! A real server and a small load, against the blocking codec in the same run.

use std::path::{Path, PathBuf};

use serde::Serialize;
use solutions::Step;

use crate::compare::{
    Contender, Course, Entry, Place, Progress, Run, Scenario, ScenarioName, TemporalCli,
};

/// A codec that lets its thread go is at least so much faster than one that blocks. Measured: 8 and
/// more.
const FASTER: f64 = 2.0;

/// What both runs showed.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    /// Seconds, with the codec that blocks.
    blocking_end_to_end_p95: f64,
    /// Seconds, with the exercise's.
    end_to_end_p95: f64,
    workflows: u32,
    completed: usize,
    workflow_task_not_found: u64,
}

impl Live {
    /// Whether the load was done, in time, and faster than with a codec that blocks.
    pub fn is_well(&self) -> bool {
        self.completed == self.workflows as usize
            && self.workflow_task_not_found == 0
            && self.faster() >= FASTER
    }

    fn faster(&self) -> f64 {
        self.blocking_end_to_end_p95 / self.end_to_end_p95
    }

    /// The figures in a line.
    pub fn seen(&self) -> String {
        format!(
            "{} of {} workflows; end-to-end p95 {:.2} s, with the blocking codec {:.2} s ({:.1} times \
             that); {} \"Workflow task not found\"",
            self.completed,
            self.workflows,
            self.end_to_end_p95,
            self.blocking_end_to_end_p95,
            self.faster(),
            self.workflow_task_not_found
        )
    }
}

/// Whether there is anything to be seen: exercise 1 ends with the codec that blocks.
pub fn has_one(step: Step) -> bool {
    step != Step::Blocking
}

/// Runs the load with the blocking codec, and with the exercise's.
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
    // Small enough for both runs to be over in twenty seconds.
    let scenario =
        Scenario { workflows: 20, limit_seconds: 12.0, ..ScenarioName::Quick.scenario() };
    let place = Place::Local(cli);
    let course =
        Course { scenario: &scenario, seed, place: &place, logs: folder, id: "verify".to_owned() };
    let blocking = measure(&course, &Entry::reference(Contender::Blocking)?).await?;
    let mine = measure(&course, &Entry::exercise(step, program)).await?;
    let p95 = |run: &Run| run.end_to_end_seconds.map_or(f64::NAN, |quantiles| quantiles.p95);
    Ok(Live {
        blocking_end_to_end_p95: p95(&blocking),
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
