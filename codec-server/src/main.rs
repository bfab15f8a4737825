//! The program `codec-server`.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    codec_server::main(env::args_os())
}
