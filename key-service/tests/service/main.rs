//! The key service over its sockets: every operation, every error, the admin port, the program, other
//! clients.

#![allow(clippy::unwrap_used)]

mod admin;
mod boto3;
mod fuzz;
mod operations;
mod program;
mod signatures;
mod support;
