//! The worker, with the codec of an exercise: `cargo run --bin worker [-- --exercise N]`.
//!
//! Each exercise's codec is in a build of its own, so that half-written code stops nothing but its own
//! exercise. `cargo run` builds the worker without any; that one has cargo build the worker that is
//! meant, and becomes it. (rust-analyzer is shown all of them.)

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use codec_kit::{AnyCodec, KeyService};
use solutions::Step;
use workshop::{
    exercise,
    exit::{self, Exit, Failure},
    verify::examine,
    worker::{self, CodecFile, WorkerArgs},
};

#[cfg(any(feature = "exercise-3", rust_analyzer))]
#[path = "03-async-codec/codec.rs"]
mod async_codec;
#[cfg(any(feature = "exercise-4", rust_analyzer))]
#[path = "04-beyond-async/codec.rs"]
mod beyond_async;
#[cfg(any(feature = "exercise-1", rust_analyzer))]
#[path = "01-blocking-codec/codec.rs"]
mod blocking_codec;
#[cfg(any(feature = "exercise-2", rust_analyzer))]
#[path = "02-spawn-blocking/codec.rs"]
mod spawn_blocking;

/// Runs the Temporal worker with the codec of an exercise.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The exercise whose codec.rs to run [default: that of the folder you are in, else the next
    /// one that is not solved; on the branch of a step, that one]
    #[arg(long, value_name = "N", conflicts_with = "solution")]
    exercise: Option<u8>,
    /// The reference codec of step N instead; 0 is the codec as it was found
    #[arg(long, value_name = "N")]
    solution: Option<u8>,
    /// Judges the codec into this file, and polls nothing: `workshop verify` asks for it
    #[arg(long, value_name = "FILE", hide = true)]
    judge: Option<PathBuf>,
    /// With --solution and --judge: as if it were the codec of this step
    #[arg(long, value_name = "N", requires_all = ["solution", "judge"], hide = true)]
    as_step: Option<u8>,
    #[command(flatten)]
    worker: WorkerArgs,
}

fn main() -> ExitCode {
    exit::end(run(Cli::parse()))
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    if let Some(number) = cli.solution {
        let step = Step::solution(number).map_err(Failure::usage)?;
        return start(&cli, step, CodecFile::solution(step), |keys| step.codec(keys));
    }
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = room.parent().expect("the exercises are in the workshop's folder");
    let step = match cli.exercise {
        Some(number) => Step::exercise(number).map_err(Failure::usage)?,
        None => exercise::current(root)?,
    };
    match codec(step) {
        Some(codec) => start(&cli, step, CodecFile::exercise(step), codec),
        None => exercise::become_worker(step),
    }
}

/// Runs the worker with that codec, or judges it.
fn start(
    cli: &Cli,
    step: Step,
    file: CodecFile,
    codec: impl Fn(KeyService) -> AnyCodec,
) -> anyhow::Result<Exit> {
    match &cli.judge {
        Some(judged) => {
            let step = cli.as_step.map_or(Ok(step), Step::exercise).map_err(Failure::usage)?;
            examine::run(step, codec, cli.worker.seed(), judged)
        }
        None => worker::run(&cli.worker, file, codec),
    }
}

type MakeCodec = fn(KeyService) -> AnyCodec;

/// The attendee's codec of that step, if it is in this build.
fn codec(step: Step) -> Option<MakeCodec> {
    match step {
        #[cfg(feature = "exercise-1")]
        Step::Blocking => Some(|keys| AnyCodec::new(blocking_codec::codec(keys))),
        #[cfg(feature = "exercise-2")]
        Step::SpawnBlocking => Some(|keys| AnyCodec::new(spawn_blocking::codec(keys))),
        #[cfg(feature = "exercise-3")]
        Step::Async => Some(|keys| AnyCodec::new(async_codec::codec(keys))),
        #[cfg(feature = "exercise-4")]
        Step::BeyondAsync => Some(|keys| AnyCodec::new(beyond_async::codec(keys))),
        _ => None,
    }
}
