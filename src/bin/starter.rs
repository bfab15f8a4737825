//! Starts workflows and prints how long they took; see [`workshop::starter`].

use std::process::ExitCode;

use clap::Parser;
use workshop::{
    exit,
    starter::{self, StarterArgs},
};

fn main() -> ExitCode {
    exit::end(starter::run(&StarterArgs::parse()))
}
