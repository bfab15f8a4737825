//! The program `check-worker`.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    check_worker::main(env::args_os())
}
