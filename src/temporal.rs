//! Temporal on this machine: its CLI, found or installed, and servers that it runs.

mod cli;
mod dev_server;
pub mod server;

pub use cli::{TemporalCli, VERSION};
pub use dev_server::DevServer;
