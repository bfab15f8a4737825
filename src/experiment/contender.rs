//! A codec to be measured, and the program that runs a worker with it.

use std::{env, path::PathBuf};

use cli_kit::exit::Failure;
use solutions::Step;
use tokio::process::Command;

use super::codec::{Codec, Reference};
use crate::course;

/// One codec to be measured.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Which it is.
    pub codec: Codec,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Contender {
    /// A reference codec. This program runs its worker itself, as a process of its own.
    ///
    /// # Errors
    /// When the system can't say where this program is.
    pub fn reference(reference: Reference) -> anyhow::Result<Self> {
        Ok(Self {
            codec: Codec::Reference(reference),
            program: env::current_exe()?,
            arguments: ["worker", "--solution", &reference.step().number().to_string()]
                .map(str::to_owned)
                .into(),
        })
    }

    /// The attendee's codec of exercise `number`. Builds its worker, which this program does not link, so
    /// that half-written code stops nothing else.
    ///
    /// # Errors
    /// When there is no such exercise, or it does not compile: the compiler's messages are on stderr.
    pub async fn mine(number: u8) -> anyhow::Result<Self> {
        let step = Step::exercise(number).map_err(Failure::usage)?;
        let program = course::build_worker(step).await?;
        Ok(Self::built(step, program.ok_or_else(|| course::does_not_compile(step))?))
    }

    /// The attendee's codec of that step, in a worker that is built.
    pub fn built(step: Step, program: PathBuf) -> Self {
        Self { codec: Codec::Mine(step), program, arguments: Vec::new() }
    }

    /// The command that runs a worker with this codec, without the worker's own flags.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}
