//! The server over real sockets.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/support/ended.rs"]
mod ended;
#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod cors;
mod jwts;
mod program;
mod protocol;
mod tls;
mod tokens;
