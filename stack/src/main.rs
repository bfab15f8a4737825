//! The program `stack`, for `nix run .#stack`; `cargo workshop stack` is the same.

use std::process::ExitCode;

use clap::Parser;
use cli_kit::exit;
use stack::command::{self, StackArgs};

/// Start and stop Temporal, a codec server, a key service, Prometheus and Grafana.
#[derive(Parser)]
#[command(name = "stack", version)]
struct Cli {
    #[command(flatten)]
    stack: StackArgs,
}

fn main() -> ExitCode {
    exit::end(command::run(&Cli::parse().stack))
}
