//! Starts workflows and prints how long they took; see [`greeting::starter`].

use std::process::ExitCode;

use clap::Parser;
use cli_kit::exit;
use greeting::starter::{self, StarterArgs};

fn main() -> ExitCode {
    exit::end(starter::run(&StarterArgs::parse()))
}
