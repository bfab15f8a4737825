//! The two clients of a key management service: one suite for both, against the workshop's key service and
//! against moto; then what they do when the service fails.

#![allow(clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)]

mod conformance;
mod faults;
mod fuzz;
#[path = "../inputs/mod.rs"]
mod inputs;
mod keys;
mod limits;
#[path = "../../../tests/support/port.rs"]
mod port;
mod support;
mod tls;
