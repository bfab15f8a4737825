//! The workshop's own program: `cargo workshop …`.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `cli` | every command and its flags |
//! | `guide` | leads through the exercises: where you are, hints, reset, solve, diff, watch, the worker |
//! | `verify` | is an exercise solved |
//! | `attempt` | `try`: one exercise's load, with a guess before and a live view |
//! | `compare` | the codecs side by side on a real server |
//! | `experiment` | one measured run, which both of them are made of |
//! | `course` | the exercises on disk: their files, how they are built, what is solved |
//! | `temporal` | the Temporal CLI, found or installed, and its dev server |
//! | `branches` | the steps as branches of the local repository |
//! | `prefetch` | downloads everything for working offline, or writes it to a bundle |
//! | `keys` | `keys wrap`: data keys that a key management service wraps |
//! | `doctor` | what is here, what is wrong, what to do |
//! | `process`, `atomic_file` | processes that leave nothing behind; files that are whole or not there |
//!
//! Each module uses only those below it: `cli`, then `guide`, then `verify`, `attempt` and `compare`, then
//! `experiment`, then `course` and `temporal`, then the rest. `tests/cli/house.rs` checks that.

mod atomic_file;
mod attempt;
mod branches;
mod cli;
mod compare;
mod course;
mod doctor;
mod experiment;
mod guide;
mod keys;
mod prefetch;
mod process;
mod temporal;
mod verify;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    cli_kit::exit::end(cli::Cli::parse().run())
}
