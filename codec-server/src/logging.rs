//! Logs on stderr.

use std::io;

use anyhow::anyhow;
use clap::ValueEnum;
use cli_kit::exit::Failure;
use tracing_subscriber::EnvFilter;

const FILTER: &str = "info";

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Installs the subscriber.
///
/// # Errors
/// When `RUST_LOG` is no filter, or a subscriber is there already.
pub fn init(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(directives)
            .map_err(|error| Failure::usage(format!("RUST_LOG: {error}")))?,
        _ => EnvFilter::new(FILTER),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(console::colors_enabled_stderr()).try_init(),
    }
    .map_err(|error| anyhow!(error))
}
