//! The workshop's own program: `cargo workshop …`.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use solutions::Step;
use stack::command::StackArgs;
use workshop::{
    branches::{self, BranchesArgs},
    codec_file::{self, DiffArgs, ResetArgs, SolveArgs},
    compare::{self, CompareArgs},
    doctor::{self, DoctorArgs},
    exit::{self, Exit, Failure},
    hints::{self, HintArgs},
    prefetch::{self, PrefetchArgs},
    server,
    shell::{self, CompletionsArgs, ManArgs},
    verify::{self, VerifyArgs},
    watch::{self, WatchArgs},
    way::{self, StatusArgs},
    worker::{self, CodecFile, WorkerArgs},
};

/// Unblock: what a blocking payload codec does to a Temporal worker, and how to cure it.
#[derive(Parser)]
#[command(name = "workshop", bin_name = "cargo workshop", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Show which exercises are solved, and which is next
    Status(StatusArgs),
    /// Show the next exercise, and the commands for it
    #[command(after_help = "Examples:\n  cargo workshop next")]
    Next,
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
    /// Show what you have changed in an exercise's codec
    Diff(DiffArgs),
    /// Begin an exercise anew; your codec is kept
    Reset(ResetArgs),
    /// Put an exercise's solution in place; your codec is kept
    Solve(SolveArgs),
    /// Start Temporal, Prometheus and Grafana; see how they are; end them
    // Not at its flags: those are the program `stack`'s, too.
    #[command(after_help = "Examples:
  cargo workshop stack                      # until Ctrl-C
  cargo workshop stack --without grafana    # on a machine that has none
  cargo workshop stack --detach             # until `cargo workshop stack down`")]
    Stack(StackArgs),
    /// Start a Temporal server alone, on a machine without the other two
    #[command(after_help = "Examples:\n  cargo workshop server    # until Ctrl-C")]
    Server,
    /// Look at programs, ports, disk, memory, server, metrics and clock
    Doctor(DoctorArgs),
    /// Print what a shell needs to complete commands and flags
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
    /// Fetch and build all that a day without the network needs, and prove it
    Prefetch(PrefetchArgs),
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

fn run(command: Option<Command>) -> anyhow::Result<Exit> {
    let Some(command) = command else { return way::greet() };
    match command {
        Command::Status(args) => way::status(&args),
        Command::Next => way::next(),
        Command::Compare(args) => compare::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Hint(args) => hints::run(&args),
        Command::Branches(args) => branches::run(&args),
        Command::Diff(args) => codec_file::diff(&args),
        Command::Reset(args) => codec_file::reset(&args),
        Command::Solve(args) => codec_file::solve(&args),
        Command::Stack(args) => stack::command::run(&args),
        Command::Server => server::run(),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
        Command::Prefetch(args) => prefetch::run(&args),
        Command::Worker { solution, worker } => {
            let step = Step::solution(solution).map_err(Failure::usage)?;
            worker::run(&worker, CodecFile::solution(step), |keys| step.codec(keys))
        }
    }
}
