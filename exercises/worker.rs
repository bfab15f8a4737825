//! The worker, with the codec of an exercise: `cargo run --bin worker [-- --exercise N]`.

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

#[cfg(feature = "exercise-3")]
#[path = "03-async-codec/codec.rs"]
mod async_codec;
#[cfg(feature = "exercise-1")]
#[path = "01-blocking-codec/codec.rs"]
mod blocking_codec;
#[cfg(feature = "exercise-2")]
#[path = "02-spawn-blocking/codec.rs"]
mod spawn_blocking;

/// Runs the Temporal worker with the codec of an exercise.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// The exercise whose codec.rs to run [default: that of the folder you are in, else the number
    /// in exercises/current]
    #[arg(long, value_name = "N", conflicts_with = "solution")]
    exercise: Option<u8>,
    /// The reference codec of step N instead; 0 is the codec as it was found
    #[arg(long, value_name = "N")]
    solution: Option<u8>,
    /// Judges the codec into this file, and polls nothing: `workshop verify` asks for it
    #[arg(long, value_name = "FILE", hide = true)]
    judge: Option<PathBuf>,
    #[command(flatten)]
    worker: WorkerArgs,
}

fn main() -> ExitCode {
    exit::end(run(Cli::parse()))
}

fn run(cli: Cli) -> anyhow::Result<Exit> {
    if let Some(number) = cli.solution {
        let step = Step::from_number(number).ok_or_else(|| {
            Failure::usage(format!("there is no solution {number}: they are 0 to 3"))
        })?;
        return start(&cli, step, CodecFile::solution(step), |keys| step.codec(keys));
    }
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let number = match cli.exercise {
        Some(number) => number,
        None => exercise::current(room)?.number(),
    };
    let (step, codec) = exercise(number)
        .ok_or_else(|| Failure::usage(format!("there is no exercise {number}: they are 1 to 3")))?;
    start(&cli, step, CodecFile::exercise(step), codec)
}

/// Runs the worker with that codec, or judges it.
fn start(
    cli: &Cli,
    step: Step,
    file: CodecFile,
    codec: impl Fn(KeyService) -> AnyCodec,
) -> anyhow::Result<Exit> {
    match &cli.judge {
        Some(judged) => examine::run(step, codec, cli.worker.seed(), judged),
        None => worker::run(&cli.worker, file, codec),
    }
}

type MakeCodec = fn(KeyService) -> AnyCodec;

fn exercise(number: u8) -> Option<(Step, MakeCodec)> {
    let step = Step::from_number(number)?;
    let codec: MakeCodec = match step {
        #[cfg(feature = "exercise-1")]
        Step::Blocking => |keys| AnyCodec::new(blocking_codec::codec(keys)),
        #[cfg(feature = "exercise-2")]
        Step::SpawnBlocking => |keys| AnyCodec::new(spawn_blocking::codec(keys)),
        #[cfg(feature = "exercise-3")]
        Step::Async => |keys| AnyCodec::new(async_codec::codec(keys)),
        // The codec as it was found is no exercise; and this build may be without some.
        _ => return None,
    };
    Some((step, codec))
}
