//! Who is compared: the reference codecs, one that never stalls, the attendee's own.

use std::path::PathBuf;

use clap::ValueEnum;
use solutions::Step;
use tokio::process::Command;

use crate::{exercise, exit::Failure};

/// A reference codec, by the name it has in flags, tables and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contender {
    /// Waits for its key on the worker's thread
    #[value(name = "blocking")]
    Blocking,
    /// Waits on a thread of tokio's blocking pool
    #[value(name = "spawn_blocking")]
    SpawnBlocking,
    /// Waits without a thread
    #[value(name = "async")]
    Async,
    /// Keeps keys, and seldom waits
    #[value(name = "beyond_async")]
    BeyondAsync,
    /// The async codec with a key service that always answers at once: what there is to reach
    #[value(name = "never_stalls")]
    NeverStalls,
}

impl Contender {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::SpawnBlocking => "spawn_blocking",
            Self::Async => "async",
            Self::BeyondAsync => "beyond_async",
            Self::NeverStalls => "never_stalls",
        }
    }

    fn step(self) -> Step {
        match self {
            Self::Blocking => Step::Blocking,
            Self::SpawnBlocking => Step::SpawnBlocking,
            Self::Async | Self::NeverStalls => Step::Async,
            Self::BeyondAsync => Step::BeyondAsync,
        }
    }
}

/// What an attendee's codec is called, before the number of its exercise.
const MINE: &str = "mine_";

/// The number of the exercise, if that is the name of an attendee's codec.
pub fn mine(codec: &str) -> Option<&str> {
    codec.strip_prefix(MINE)
}

/// One codec to be measured, and the program that runs a worker with it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the table calls it.
    pub name: String,
    /// Whether its key service stalls at all.
    pub stalls: bool,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Entry {
    /// A reference codec. This program runs its worker itself, as a process of its own.
    ///
    /// # Errors
    /// When the system can't say where this program is.
    pub fn reference(contender: Contender) -> anyhow::Result<Self> {
        Ok(Self {
            name: contender.name().to_owned(),
            stalls: contender != Contender::NeverStalls,
            program: std::env::current_exe()?,
            arguments: vec![
                "worker".into(),
                "--solution".into(),
                contender.step().number().to_string(),
            ],
        })
    }

    /// The attendee's codec of exercise `number`. Builds the program `worker`, which this one does
    /// not link, so that half-written code stops nothing else.
    ///
    /// # Errors
    /// When there is no such exercise, or it does not compile: the compiler's words are on stderr.
    pub async fn mine(number: u8) -> anyhow::Result<Self> {
        let step = Step::exercise(number).map_err(Failure::usage)?;
        let program = exercise::build_worker(step).await?;
        Ok(Self::exercise(step, program.ok_or_else(|| exercise::does_not_compile(step))?))
    }

    /// The attendee's codec of that step, in a worker that is built.
    pub fn exercise(step: Step, program: PathBuf) -> Self {
        Self {
            name: format!("{MINE}{}", step.number()),
            stalls: true,
            program,
            arguments: vec!["--exercise".into(), step.number().to_string()],
        }
    }

    /// The command that runs a worker with this codec, without the worker's own flags.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flag() {
        for contender in Contender::value_variants() {
            let flag = contender.to_possible_value().unwrap();
            assert_eq!(flag.get_name(), contender.name());
        }
    }
}
