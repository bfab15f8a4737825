//! The key service over its sockets: every operation, every error, the admin port, the program, other
//! clients.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

mod admin;
mod boto3;
#[path = "../../../tests/support/ended.rs"]
mod ended;
mod fuzz;
#[path = "../../../kit/tests/inputs/mod.rs"]
mod inputs;
mod operations;
mod program;
mod signatures;
mod support;
