//! What judges codecs, and has cargo build them in a copy of the repository.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod attempt;
mod bad_input;
mod editor;
mod live;
mod verify;
mod watch;
mod workers;
