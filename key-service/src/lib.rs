//! A key service that speaks the protocol of AWS KMS over HTTP on loopback, and has faults on request.
//!
//! It encrypts, decrypts and makes data keys with keys that never leave it, checks each request's signature,
//! and answers with KMS's own names and shapes, so that AWS's SDKs can use it. It can be slow, fail,
//! throttle, refuse connections, cut answers and fall silent: set that with flags at its start, or while it
//! runs.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`server`](Server) | [`Server`]: starts it on a thread of its own, and stops it |
//! | [`faults`](Faults) | [`Faults`]: what goes wrong, how often, for which calls |
//! | [`keys`](Keys) | [`Keys`]: the keys, from a file or made at the start; the form of ciphertexts |
//! | `service` | one call: its signature, its faults, its answer |
//! | `operations` | what each operation does |
//! | `error` | KMS's errors |
//! | `admin` | the second port: faults, metrics, health |
//! | `metrics` | calls, their duration, the faults that were dealt |
//! | `connection` | a socket that a fault can cut, and that is counted |
//! | [`cli`] | the flags |
//!
//! # In another program
//!
//! ```
//! use key_service::{Credentials, Faults, Options, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = Credentials::new("workshop", "not-a-secret").expect("two words");
//! let server = Server::start(Options::new(credentials))?; // on free ports
//! println!("AWS_ENDPOINT_URL_KMS={}", server.endpoint());
//! server.set_faults(Faults { failure_rate: 0.3, ..Faults::default() })?;
//! server.stop(); // so does dropping it
//! # Ok(())
//! # }
//! ```

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

mod admin;
pub mod cli;
mod connection;
mod error;
mod faults;
#[cfg(test)]
#[path = "../../kit/tests/inputs/mod.rs"]
mod inputs;
mod keys;
mod metrics;
mod operations;
mod server;
mod service;

pub use faults::{Faults, Purpose, Stall, WrongFaults};
pub use keys::{DEFAULT_ALIAS, Keys, KeysError};
pub use operations::Operation;
pub use server::{Options, Server, StartError};
pub use sigv4::Credentials;

/// Runs the program with these arguments; the first is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli_kit::exit::end(cli::Cli::parse_from(args).run())
}
