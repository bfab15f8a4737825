//! Temporal on this machine: the CLI, found or installed, and the servers that it runs.

mod cli;
mod dev_server;
pub mod server;

pub use cli::{TemporalCli, VERSION};
pub use dev_server::DevServer;
