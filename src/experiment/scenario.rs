//! The load of a run.

use std::{fmt, num::NonZeroUsize};

use clap::{Args, ValueEnum};
use greeting::args::{KeyServiceArgs, LoadArgs, RuntimeArgs, defaults, some_seconds};
use serde::Serialize;
use solutions::Step;

use super::codec::Reference;

/// Threads of a blocking pool that many waits at once exhaust.
const SMALL_POOL: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");

/// Threads of the blocking pool that exercise 3 has.
const PAIR: NonZeroUsize = NonZeroUsize::new(2).expect("2 is not 0");

/// A scenario by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ScenarioName {
    /// Under 90 s for all three codecs: few workflows, and a workflow task timeout short enough
    /// that blocking runs into it
    #[default]
    Quick,
    /// The support case: 200 workflows of 10 activities of 0.5 s
    Original,
    /// More waits at once than the blocking pool has threads: only waiting asynchronously keeps up
    Pool,
    /// Decoding waits for keys, too, one payload after another: only caching keys keeps up
    Decode,
}

/// The numbers of a scenario. Each is a flag of `compare` as well.
#[derive(Clone, Debug, PartialEq, Args, Serialize)]
pub struct Scenario {
    /// Its name on the command line, before anything was overridden.
    #[arg(skip)]
    pub name: ScenarioName,
    /// The workflows.
    #[command(flatten)]
    #[serde(flatten)]
    pub load: LoadArgs,
    /// The worker's key service.
    #[command(flatten)]
    #[serde(flatten)]
    pub keys: KeyServiceArgs,
    /// The worker's runtime.
    #[command(flatten)]
    #[serde(flatten)]
    pub runtime: RuntimeArgs,
    /// Cut a codec's run off after this many seconds
    #[arg(long = "limit", value_parser = some_seconds, value_name = "SECONDS")]
    pub limit_seconds: f64,
}

impl Scenario {
    /// What the text of an exercise puts its codec through: the flags of its worker and of its starter.
    pub fn of_exercise(step: Step) -> Self {
        let support_case = ScenarioName::Original.scenario();
        let (load, keys, runtime) = (&support_case.load, &support_case.keys, &support_case.runtime);
        let fifty = LoadArgs { workflows: 50, ..load.clone() };
        match step {
            Step::Start | Step::Blocking | Step::SpawnBlocking => {
                Self { load: fifty, ..support_case }
            }
            // Two threads, and a stall in each call.
            Step::Async => Self {
                load: LoadArgs { workflows: 10, ..load.clone() },
                keys: KeyServiceArgs { stall_probability: 1.0, ..keys.clone() },
                runtime: RuntimeArgs { blocking_threads: PAIR, ..runtime.clone() },
                ..support_case
            },
            Step::BeyondAsync => Self {
                load: fifty,
                keys: KeyServiceArgs { decode_stall_probability: 0.3, ..keys.clone() },
                ..support_case
            },
        }
    }
}

impl fmt::Display for ScenarioName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = self.to_possible_value();
        f.write_str(flag.as_ref().map_or("", |flag| flag.get_name()))
    }
}

impl ScenarioName {
    /// The one that shows what that exercise fixes.
    pub fn of(step: Step) -> Self {
        match step {
            Step::Start | Step::Blocking | Step::SpawnBlocking | Step::Async => Self::Quick,
            Step::BeyondAsync => Self::Decode,
        }
    }

    /// The scenario's numbers.
    pub fn scenario(self) -> Scenario {
        // What the original does, and what tokio has by default.
        let original = Scenario {
            name: self,
            load: defaults(),
            keys: defaults(),
            runtime: defaults(),
            limit_seconds: 600.0,
        };
        let small =
            |workflows| LoadArgs { workflows, activities: 2, activity_seconds: 0.1, ..defaults() };
        match self {
            Self::Original => original,
            Self::Quick => Scenario {
                load: LoadArgs { workflow_task_timeout_seconds: 1.0, ..small(60) },
                limit_seconds: 74.0,
                ..original
            },
            Self::Pool => Scenario {
                load: small(100),
                keys: KeyServiceArgs { stall_probability: 1.0, ..original.keys },
                runtime: RuntimeArgs { blocking_threads: SMALL_POOL, ..original.runtime },
                limit_seconds: 180.0,
                ..original
            },
            Self::Decode => Scenario {
                load: small(60),
                keys: KeyServiceArgs { decode_stall_probability: 0.3, ..original.keys },
                limit_seconds: 120.0,
                ..original
            },
        }
    }

    /// The codecs that are compared unless others are chosen.
    pub fn codecs(self) -> &'static [Reference] {
        match self {
            Self::Quick | Self::Original => {
                &[Reference::Blocking, Reference::SpawnBlocking, Reference::Async]
            }
            // Where every call stalls, blocking has nothing to add but minutes.
            Self::Pool => &[Reference::SpawnBlocking, Reference::Async],
            Self::Decode => &[Reference::Async, Reference::BeyondAsync],
        }
    }
}
