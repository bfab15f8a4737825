//! What a comparison puts each codec through.

use std::{num::NonZeroUsize, time::Duration};

use clap::ValueEnum;
use serde::Serialize;

use super::Contender;
use crate::worker::{seconds, share};

/// A scenario by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// Under 90 s for all three codecs: few workflows, and a workflow task timeout short enough
    /// that blocking runs into it
    #[default]
    Quick,
    /// The support case: 200 workflows of 10 activities of 0.5 s
    Original,
    /// More waits at once than the blocking pool has threads: only waiting asynchronously keeps up
    Pool,
    /// Decoding waits for keys, too, one payload after another: only keeping keys keeps up
    Decode,
}

/// The numbers of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scenario {
    /// Its name on the command line, before anything was overridden.
    pub name: &'static str,
    /// Workflows, all started at once.
    pub workflows: u32,
    /// Activities in each, one after another.
    pub activities: u32,
    /// How long an activity works.
    pub activity_seconds: f64,
    /// How long a worker may take for a workflow task.
    pub workflow_task_timeout_seconds: f64,
    /// Share of the calls for the key to encode with that stall.
    pub stall_probability: f64,
    /// Share of the calls for a key to decode with that stall.
    pub decode_stall_probability: f64,
    /// How long a stalled call takes.
    pub stall_seconds: f64,
    /// Threads of the worker's runtime; 0: current_thread.
    pub threads: usize,
    /// The most threads of its blocking pool.
    pub blocking_threads: usize,
    /// After this long a run is cut off.
    pub limit_seconds: f64,
}

impl ScenarioName {
    /// The scenario's numbers.
    pub fn scenario(self) -> Scenario {
        // What the original does, and what tokio has by default.
        let original = Scenario {
            name: "original",
            workflows: 200,
            activities: 10,
            activity_seconds: 0.5,
            workflow_task_timeout_seconds: 10.0,
            stall_probability: 0.1,
            decode_stall_probability: 0.0,
            stall_seconds: 0.4,
            threads: 0,
            blocking_threads: 512,
            limit_seconds: 600.0,
        };
        match self {
            Self::Original => original,
            Self::Quick => Scenario {
                name: "quick",
                workflows: 60,
                activities: 2,
                activity_seconds: 0.1,
                workflow_task_timeout_seconds: 1.0,
                limit_seconds: 74.0,
                ..original
            },
            Self::Pool => Scenario {
                name: "pool",
                workflows: 100,
                activities: 2,
                activity_seconds: 0.1,
                stall_probability: 1.0,
                blocking_threads: 8,
                limit_seconds: 180.0,
                ..original
            },
            Self::Decode => Scenario {
                name: "decode",
                workflows: 60,
                activities: 2,
                activity_seconds: 0.1,
                decode_stall_probability: 0.3,
                limit_seconds: 120.0,
                ..original
            },
        }
    }

    /// The codecs that are compared unless others are chosen.
    pub fn contenders(self) -> &'static [Contender] {
        match self {
            Self::Quick | Self::Original => {
                &[Contender::Blocking, Contender::SpawnBlocking, Contender::Async]
            }
            // Where every call stalls, blocking has nothing to add but minutes.
            Self::Pool => &[Contender::SpawnBlocking, Contender::Async],
            Self::Decode => &[Contender::Async, Contender::BeyondAsync],
        }
    }
}

/// The flags that override a scenario's numbers.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The scenario's numbers")]
pub struct Overrides {
    /// Workflows, all started at once
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    workflows: Option<u32>,
    /// Activities in each workflow, one after another
    #[arg(long)]
    activities: Option<u32>,
    /// How long an activity works, in seconds
    #[arg(long, value_parser = seconds)]
    activity_seconds: Option<Duration>,
    /// How long a worker may take for a workflow task, in seconds
    #[arg(long, value_parser = seconds)]
    workflow_task_timeout: Option<Duration>,
    /// Share of the calls for the key to encode with that stall, 0 to 1
    #[arg(long, value_parser = share)]
    stall_probability: Option<f64>,
    /// Share of the calls for a key to decode with that stall, 0 to 1
    #[arg(long, value_parser = share)]
    decode_stall_probability: Option<f64>,
    /// How long a stalled call takes, in seconds
    #[arg(long, value_parser = seconds)]
    stall_seconds: Option<Duration>,
    /// Threads of the worker's runtime; 0: tokio's current_thread
    #[arg(long)]
    threads: Option<usize>,
    /// The most threads that the worker's blocking pool may have
    #[arg(long)]
    blocking_threads: Option<NonZeroUsize>,
    /// Cut a codec's run off after this many seconds
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    limit: Option<Duration>,
}

impl Overrides {
    /// The scenario with these numbers in it.
    pub fn apply(&self, scenario: Scenario) -> Scenario {
        let seconds = |over: Option<Duration>, number| over.map_or(number, |d| d.as_secs_f64());
        Scenario {
            name: scenario.name,
            workflows: self.workflows.unwrap_or(scenario.workflows),
            activities: self.activities.unwrap_or(scenario.activities),
            activity_seconds: seconds(self.activity_seconds, scenario.activity_seconds),
            workflow_task_timeout_seconds: seconds(
                self.workflow_task_timeout,
                scenario.workflow_task_timeout_seconds,
            ),
            stall_probability: self.stall_probability.unwrap_or(scenario.stall_probability),
            decode_stall_probability: self
                .decode_stall_probability
                .unwrap_or(scenario.decode_stall_probability),
            stall_seconds: seconds(self.stall_seconds, scenario.stall_seconds),
            threads: self.threads.unwrap_or(scenario.threads),
            blocking_threads: self
                .blocking_threads
                .map_or(scenario.blocking_threads, NonZeroUsize::get),
            limit_seconds: seconds(self.limit, scenario.limit_seconds),
        }
    }
}
