//! What the workers of all exercises have in common. They differ only in the `codec.rs` beside each.

use std::process::ExitCode;

use clap::Parser;
use cli_kit::exit::{self, Exit};
use codec_kit::{AnyCodec, KeyService, PayloadCodec};
use greeting::worker::{self, CodecSource, WorkerArgs};
use judge::{MakeCodec, examiner};
use solutions::Step;

/// Runs the Temporal worker with the codec of an exercise.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Checks the codec for this process, `workshop verify`, instead of polling: writes what it finds to
    /// standard input, a pipe from that process, and ends with it
    #[arg(long = "for", value_name = "PID", hide = true)]
    verifier: Option<i32>,
    #[command(flatten)]
    worker: WorkerArgs,
}

/// Runs the worker of that exercise with the codec that `codec` makes, until a signal stops it.
pub fn main<C: PayloadCodec + Send + Sync + 'static>(
    step: Step,
    codec: impl Fn(KeyService) -> C + Sync,
) -> ExitCode {
    exit::end(run(&Cli::parse(), step, &|keys| AnyCodec::new(codec(keys))))
}

fn run(cli: &Cli, step: Step, codec: MakeCodec<'_>) -> anyhow::Result<Exit> {
    match cli.verifier {
        Some(verifier) => examiner::run(step, codec, cli.worker.seed(), Some(verifier)),
        None => worker::run(&cli.worker, CodecSource::exercise(step), codec),
    }
}
