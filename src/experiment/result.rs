//! What one run found.

use std::fmt;

use greeting::{quantiles::Quantiles, totals::Totals};
use live_page::Segment;
use serde::Serialize;

use super::codec::Codec;

/// The lag that the two probes saw, in seconds, at the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LagSeconds {
    /// The probe in the worker's own task.
    pub worker: f64,
    /// The probe beside it.
    pub beside: f64,
}

/// What unwrapped the worker's data keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyServiceUsed {
    /// A key service that was started for the run.
    Local,
    /// The one that the environment names.
    Environment,
    /// None: the client waited instead.
    Simulated,
}

impl fmt::Display for KeyServiceUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "a local one, called over HTTP like AWS KMS",
            Self::Environment => "the one that the AWS_* variables name; it decides what stalls",
            Self::Simulated => "simulated: the codec waited as long as a call would take",
        })
    }
}

/// One codec's run.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The codec.
    pub codec: Codec,
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
    /// Workflow tasks that timed out in the worker, in the histories.
    pub workflow_task_timeouts: u64,
    /// The longest time the codec held a thread; `None`: the codec is not observed.
    pub longest_poll_seconds: Option<f64>,
    /// What the calls to encode and those to decode took in all; `None`: the codec is not observed.
    pub codec_totals: Option<[Totals; 2]>,
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
    /// Completed, or failed where they were to fail.
    #[serde(skip)]
    pub as_expected: usize,
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
    /// What held the worker's thread.
    pub thread: Vec<Segment>,
}

impl Run {
    /// How it ended, as in "60 of 60 workflows done in 2.7 s".
    pub fn outcome(&self) -> String {
        let Workflows { started, as_expected, .. } = self.workflows;
        let end = if self.cut_off { "cut off after" } else { "done in" };
        format!("{as_expected} of {started} workflows {end} {:.1} s", self.wall_seconds)
    }
}

#[cfg(test)]
impl Run {
    /// One that measured nothing.
    pub fn empty(codec: Codec) -> Self {
        Self {
            codec,
            threads: 0,
            workflows: Workflows::default(),
            end_to_end_seconds: None,
            workflow_task_schedule_to_start_seconds: None,
            activity_schedule_to_start_seconds: None,
            workflow_task_not_found: 0,
            workflow_task_timeouts: 0,
            longest_poll_seconds: None,
            codec_totals: None,
            lag_seconds: LagSeconds::default(),
            peak_threads: None,
            peak_memory_bytes: None,
            cut_off: false,
            wall_seconds: 0.0,
            slowest_scrape_seconds: 0.0,
            failures: Vec::new(),
            series: Series::default(),
        }
    }
}
