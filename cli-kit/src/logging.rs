//! Logs: ours and those of the libraries, through one `tracing` subscriber, on stderr.

use std::io;

use anyhow::anyhow;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// How a log line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// The flags for logs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LogArgs {
    /// How log lines are written to stderr; RUST_LOG chooses which (default: info)
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

impl LogArgs {
    /// Installs the subscriber. `default` is the filter for when `RUST_LOG` is not set.
    ///
    /// # Errors
    /// When `RUST_LOG` is no filter, or a subscriber is there already.
    pub fn init(&self, default: &str) -> anyhow::Result<()> {
        let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
            Ok(directives) if !directives.is_empty() => EnvFilter::try_new(directives)
                .map_err(|error| Failure::usage(format!("RUST_LOG: {error}")))?,
            _ => EnvFilter::new(default),
        };
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        match self.log_format {
            LogFormat::Json => builder.json().try_init(),
            LogFormat::Text => builder.with_ansi(console::colors_enabled_stderr()).try_init(),
        }
        .map_err(|error| anyhow!(error))
    }
}
