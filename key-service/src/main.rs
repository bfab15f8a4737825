//! The program `key-service`.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    key_service::main(env::args_os())
}
