//! `stack`, `stack status`, `stack down`: the flags, and who does what.

use clap::{Args, Subcommand};

use crate::{
    exit::Exit,
    root,
    settings::Settings,
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
    /// How the services are; exit code 3 if one is not well
    #[command(after_help = "Examples:\n  cargo workshop stack status --json")]
    Status {
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
    },
    /// End the stack
    #[command(after_help = "Examples:\n  cargo workshop stack down")]
    Down,
}

/// Runs `stack`, from the workshop's folder.
///
/// # Errors
/// When a program is missing, a port is taken, or a service does not come up or dies: the message
/// says what to do, and nothing is left running.
pub fn run(args: &StackArgs) -> anyhow::Result<Exit> {
    root::enter()?;
    let mut settings = Settings::from_env()?;
    match &args.command {
        None => up::up(&args.up, &mut settings),
        Some(StackCommand::Status { json }) => status::status(&settings, *json),
        Some(StackCommand::Down) => up::down(&settings),
    }
}
