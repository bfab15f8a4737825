//! What the workers of all exercises have in common. They differ in the `codec.rs` beside each.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use cli_kit::exit::{self, Exit};
use codec_kit::{AnyCodec, KeyService, PayloadCodec};
use greeting::worker::{self, CodecSource, WorkerArgs};
use judge::examiner;
use solutions::Step;

/// Runs the Temporal worker with the codec of an exercise.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Judges the codec into this file, and polls nothing: `workshop verify` asks for it
    #[arg(long, value_name = "FILE", hide = true)]
    judge: Option<PathBuf>,
    /// The process that asks for it, and with which this one ends
    #[arg(long, value_name = "PID", hide = true, requires = "judge")]
    parent: Option<i32>,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// Runs the worker of that exercise with the codec that `codec` makes, until a signal stops it.
pub fn main<C: PayloadCodec + Send + Sync + 'static>(
    step: Step,
    codec: impl Fn(KeyService) -> C,
) -> ExitCode {
    exit::end(run(&Cli::parse(), step, |keys| AnyCodec::new(codec(keys))))
}

fn run(cli: &Cli, step: Step, codec: impl Fn(KeyService) -> AnyCodec) -> anyhow::Result<Exit> {
    match &cli.judge {
        Some(judged) => examiner::run(step, codec, cli.worker.seed(), judged, cli.parent),
        None => worker::run(&cli.worker, CodecSource::exercise(step), codec),
    }
}
