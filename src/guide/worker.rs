//! `workshop worker`, which `cargo run --bin worker` becomes: runs the worker of the chosen exercise.

use std::{env, os::unix::process::CommandExt, process::Command};

use anyhow::Context;
use clap::Args;
use cli_kit::{
    exit::{Exit, Failure},
    root,
};
use greeting::worker::{self, CodecSource, WorkerArgs};
use solutions::Step;

use crate::{course, process::until_interrupted};

/// The flags of `workshop worker`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo run --bin worker                    # the next exercise, or that of the folder you are in
  cargo run --bin worker -- --exercise 2
  cargo run --bin worker -- --solution 3")]
pub struct ExerciseWorkerArgs {
    /// The exercise whose codec.rs to run [default: that of the folder you are in, else the next
    /// one that is not solved; on the branch of a step, that one]
    #[arg(long, value_name = "N", value_parser = course::number, conflicts_with = "solution")]
    exercise: Option<u8>,
    /// The reference codec of step N instead; 0 is the codec as it was found
    #[arg(long, value_name = "N", value_parser = solution)]
    solution: Option<u8>,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// As it is typed. Whether there is such a step is asked later.
fn solution(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("a solution is a number from 0 to {}", Step::EXERCISES.len()))
}

/// Runs the worker with a reference codec, or builds that of an exercise and becomes it.
///
/// # Errors
/// When there is no such step, its codec does not compile, or the worker can't run.
pub fn run(args: &ExerciseWorkerArgs) -> anyhow::Result<Exit> {
    if let Some(number) = args.solution {
        let step = Step::solution(number).map_err(Failure::usage)?;
        return worker::run(&args.worker, CodecSource::solution(step), &|keys| step.codec(keys));
    }
    become_worker(course::chosen(args.exercise, &root::require()?)?)
}

fn become_worker(step: Step) -> anyhow::Result<Exit> {
    let work = async {
        let built = course::build_worker(step).await?;
        let program = built.ok_or_else(|| course::does_not_compile(step))?;
        let error = Command::new(&program).args(flags_of_the_worker()).exec();
        Err(error).with_context(|| format!("{} can't be started", program.display()))
    };
    until_interrupted(work, "no worker was started")
}

/// The flags of this program, without those that select the codec. They have been parsed already, so they are
/// passed on unchanged.
fn flags_of_the_worker() -> Vec<std::ffi::OsString> {
    let mut flags = Vec::new();
    // The program, and `worker`.
    let mut given = env::args_os().skip(2);
    while let Some(flag) = given.next() {
        if flag == "--exercise" {
            given.next();
        } else if !flag.as_encoded_bytes().starts_with(b"--exercise=") {
            flags.push(flag);
        }
    }
    flags
}
