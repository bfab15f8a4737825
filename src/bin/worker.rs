//! `cargo run --bin worker`: the worker of the exercise you are at.
//!
//! Each exercise has a program of its own, and which one is meant depends on the folder you are in and on
//! what is solved. `cargo workshop worker` finds that out; this program becomes it, with the same flags.

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use anyhow::Context;
use cli_kit::{cargo::without_cargos_variables, exit};

fn main() -> ExitCode {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    without_cargos_variables(&mut cargo);
    cargo.args(["run", "--package", "workshop", "--bin", "workshop", "--", "worker"]);
    let error = cargo.args(env::args_os().skip(1)).exec();
    exit::end(Err(error).context("cargo can't be run"))
}
