//! `stack`, `stack status`, `stack down`: the flags, and the functions behind them.

use clap::{Args, Subcommand};
use cli_kit::exit::Exit;

use crate::{
    checkout::Checkout,
    status,
    up::{self, UpArgs},
};

/// The flags of `stack`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StackArgs {
    #[command(subcommand)]
    command: Option<StackCommand>,
    #[command(flatten)]
    up: UpArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum StackCommand {
    /// Show the state of the services; exit code 3 if one is not healthy
    #[command(after_help = "Examples:\n  cargo workshop stack status --json")]
    Status {
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// Stop the stack
    #[command(after_help = "Examples:\n  cargo workshop stack down")]
    Down,
}

/// Runs `stack`, for the checkout that this program is run in.
///
/// # Errors
/// When a program is missing, a port is taken, or a service does not start or crashes: the message says what
/// to do, and nothing is left running.
pub fn run(args: &StackArgs) -> anyhow::Result<Exit> {
    let mut checkout = Checkout::find()?;
    match &args.command {
        None => up::up(&args.up, &mut checkout),
        Some(StackCommand::Status { json }) => status::status(&checkout, *json),
        Some(StackCommand::Down) => up::down(&checkout),
    }
}
