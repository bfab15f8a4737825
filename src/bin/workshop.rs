//! The workshop's own program: `cargo workshop …`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use solutions::Step;
use stack::command::StackArgs;
use workshop::{
    branches::{self, BranchesArgs},
    compare::{self, CompareArgs},
    doctor::{self, DoctorArgs},
    exit::{self, Exit, Failure},
    hints::{self, HintArgs},
    verify::{self, VerifyArgs},
    watch::{self, WatchArgs},
    worker::{self, CodecFile, WorkerArgs},
};

/// Unblock: what a blocking payload codec does to a Temporal worker, and how to cure it.
#[derive(Parser)]
#[command(name = "workshop", bin_name = "cargo workshop", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure the codecs side by side on a real Temporal server
    Compare(Box<CompareArgs>),
    /// Judge your codec of an exercise by what it does
    Verify(VerifyArgs),
    /// Judge an exercise each time that you save its codec
    Watch(WatchArgs),
    /// Show a hint for an exercise
    Hint(HintArgs),
    /// Write the steps as branches of your repository: exercise/01-…, solution/01-…
    Branches(BranchesArgs),
    /// Start Temporal, Prometheus and Grafana; see how they are; end them
    Stack(StackArgs),
    /// Look at programs, ports, disk, memory, server, metrics and clock
    Doctor(DoctorArgs),
    /// The worker process of a comparison, with a reference codec
    #[command(hide = true)]
    Worker {
        #[arg(long)]
        solution: u8,
        #[command(flatten)]
        worker: Box<WorkerArgs>,
    },
}

fn main() -> ExitCode {
    exit::end(run(Cli::parse().command))
}

fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Compare(args) => compare::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Hint(args) => hints::run(&args),
        Command::Branches(args) => branches::run(&args),
        Command::Stack(args) => stack::command::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Worker { solution, worker } => {
            let step = Step::solution(solution).map_err(Failure::usage)?;
            worker::run(&worker, CodecFile::solution(step), |keys| step.codec(keys))
        }
    }
}
