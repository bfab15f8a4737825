//! Every command of `cargo workshop`, and what runs it.

mod shell;

use check_worker::{cli::CheckArgs, settings::Sdk};
use clap::{CommandFactory, Parser, Subcommand};
use cli_kit::{
    exit::Exit,
    settings::{self, Settings},
};
use stack::command::StackArgs;

use self::shell::{CompletionsArgs, ManArgs};
use crate::{
    attempt::{self, TryArgs},
    branches::{self, BranchesArgs},
    compare::{self, CompareArgs},
    doctor::{self, DoctorArgs},
    guide::{
        edit::{self, DiffArgs, ResetArgs, RestoreArgs, SolveArgs},
        hints::{self, HintArgs},
        puzzle::{self, PuzzleArgs},
        status::{self, StatusArgs},
        watch::{self, WatchArgs},
        worker::{self, ExerciseWorkerArgs},
    },
    keys::{self, KeysArgs},
    prefetch::{self, PrefetchArgs},
    temporal::server::{self, DevServerArgs},
    verify::{self, VerifyArgs},
};

/// Unblock: what a blocking payload codec does to a Temporal worker, and how to fix it.
#[derive(Parser)]
#[command(name = "workshop", bin_name = "cargo workshop", version)]
pub struct Cli {
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
    /// Guess, then measure: an exercise's load with your codec, in one terminal
    Try(TryArgs),
    /// Measure the codecs side by side on a real Temporal server
    Compare(Box<CompareArgs>),
    /// Check whether an exercise is solved, by what your codec does
    Verify(VerifyArgs),
    /// Check an exercise each time you save its codec
    Watch(WatchArgs),
    /// Show a hint for an exercise
    Hint(HintArgs),
    /// Find what is wrong with a codec that looks right
    Puzzle(PuzzleArgs),
    /// Write the steps as branches of your repository: exercise/01-…, solution/01-…
    Branches(BranchesArgs),
    /// Show what you have changed in an exercise's codec
    Diff(DiffArgs),
    /// Reset an exercise to its starting code (yours is saved)
    Reset(ResetArgs),
    /// Replace your codec with the solution (yours is saved)
    Solve(SolveArgs),
    /// Put back a codec that `reset` or `solve` saved
    Restore(RestoreArgs),
    /// Start, check or stop Temporal and the services around it
    // Not with the flags: the program `stack` has the same ones.
    #[command(after_help = "Examples:
  cargo workshop stack                      # until Ctrl-C
  cargo workshop stack --without grafana    # on a machine without Grafana
  cargo workshop stack --detach             # until `cargo workshop stack down`")]
    Stack(StackArgs),
    /// Start only the Temporal server
    Server(DevServerArgs),
    /// Wrap data keys with a key management service
    Keys(KeysArgs),
    /// Check this machine: programs, ports, disk, memory, server, metrics, clock
    Doctor(DoctorArgs),
    /// Find what holds up a worker, in any SDK, from its metrics
    #[command(after_help = "Examples:
  cargo workshop check-worker                     # the worker that runs here
  cargo workshop check-worker http://127.0.0.1:9464/metrics
  cargo workshop check-worker worker-1:9464 --record slow --anonymous")]
    CheckWorker(Box<CheckArgs>),
    /// Print a shell script that completes commands and flags
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
    /// Download and build everything for working offline, and check it
    Prefetch(PrefetchArgs),
    /// Run the worker of an exercise or of a solution, as `cargo run --bin worker` does
    #[command(hide = true, version)]
    Worker(Box<ExerciseWorkerArgs>),
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self) -> anyhow::Result<Exit> {
        let Some(command) = self.command else { return status::greet() };
        match command {
            Command::Status(args) => status::status(&args),
            Command::Next => status::next(),
            Command::Try(args) => attempt::run(&args),
            Command::Compare(args) => compare::run(&args),
            Command::Verify(args) => verify::run(&args),
            Command::Watch(args) => watch::run(&args),
            Command::Hint(args) => hints::run(&args),
            Command::Puzzle(args) => puzzle::run(&args),
            Command::Branches(args) => branches::run(&args),
            Command::Diff(args) => edit::diff(&args),
            Command::Reset(args) => edit::reset(&args),
            Command::Solve(args) => edit::solve(&args),
            Command::Restore(args) => edit::restore(&args),
            Command::Stack(args) => stack::command::run(&args),
            Command::CheckWorker(check) => {
                let here = Settings::from_env()?.url(settings::WORKER_METRICS_PORT, "/metrics");
                check_worker::cli::check(&check.or_worker(here, Sdk::Rust))
            }
            Command::Server(args) => server::run(&args),
            Command::Keys(args) => keys::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Completions(args) => shell::completions(&args, Cli::command()),
            Command::Man(args) => shell::man(&args, Cli::command()),
            Command::Prefetch(args) => prefetch::run(&args),
            Command::Worker(args) => worker::run(&args),
        }
    }
}
