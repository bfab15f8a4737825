//! A Temporal dev server of one run's own: a server slows down as executions pile up in it, so no
//! codec inherits another's.

use std::{fs::File, path::Path};

use anyhow::Context;
use temporalio_sdk_core::ephemeral_server::{
    EphemeralExe, EphemeralServer, EphemeralServerError, TemporalDevServerConfig,
};

use super::{TemporalCli, worker_process::tail};
use crate::exit::Failure;

/// The SDK waits five seconds for a server to start; a cold or busy machine may need longer.
const TRIES: usize = 3;

/// A dev server on a free port of this machine, in memory. Dropping it kills it.
pub struct DevServer {
    server: EphemeralServer,
}

impl DevServer {
    /// Starts one. What it prints goes to `log`.
    ///
    /// # Errors
    /// When it does not start: the message holds its last words.
    pub async fn start(cli: &TemporalCli, log: &Path) -> anyhow::Result<Self> {
        let config = TemporalDevServerConfig::builder()
            .exe(EphemeralExe::ExistingPath(cli.path.to_string_lossy().into_owned()))
            .build();
        let mut tries = 0;
        loop {
            let output =
                File::create(log).with_context(|| format!("can't write {}", log.display()))?;
            tries += 1;
            let started =
                config.start_server_with_output(output.try_clone()?.into(), output.into()).await;
            match started {
                Ok(server) => return Ok(Self { server }),
                Err(EphemeralServerError::StartupTimeout { .. }) if tries < TRIES => {}
                Err(error) => {
                    return Err(Failure::environment(format!(
                        "the dev server {} did not start: {error}{}",
                        cli.path.display(),
                        tail(log)
                    ))
                    .into());
                }
            }
        }
    }

    /// Its address, as host:port.
    pub fn address(&self) -> &str {
        &self.server.target
    }

    /// Stops it, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.server.shutdown().await?)
    }
}
