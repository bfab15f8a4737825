//! A Temporal dev server for a single run. A server slows down as executions accumulate, so each codec gets a
//! new one.

use std::{fs::File, path::Path};

use anyhow::Context;
use cli_kit::{exit::Failure, term::tail};
use temporalio_sdk_core::ephemeral_server::{
    EphemeralExe, EphemeralServer, EphemeralServerError, TemporalDevServerConfig,
};

use super::cli::TemporalCli;

/// The SDK waits only five seconds for a server to start. A cold or busy machine may need longer for the first ones.
const TRIES: usize = 8;

/// A dev server on a free port of this machine, in memory. Dropping it kills it.
pub struct DevServer {
    server: EphemeralServer,
}

impl DevServer {
    /// Starts one. What it prints goes to `log`.
    ///
    /// # Errors
    /// When it does not start: the message has the end of its log.
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

#[cfg(test)]
mod tests {
    use std::{
        net::TcpStream,
        panic::{self, AssertUnwindSafe},
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use cli_kit::root;

    use super::*;

    #[test]
    fn a_panic_stops_the_server_too() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (told, address) = mpsc::channel();
        let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(async {
                let ours = root::require().unwrap().join(root::OURS);
                let cli = TemporalCli::find_or_install(&ours).await.unwrap();
                let server = DevServer::start(&cli, &folder.path().join("log")).await.unwrap();
                TcpStream::connect(server.address()).unwrap();
                told.send(server.address().to_owned()).unwrap();
                panic!("as a bug would");
            })
        }));
        panicked.unwrap_err();
        // Empty if something else panicked before the server was there.
        let address = address.try_recv().unwrap();
        let began = Instant::now();
        while TcpStream::connect(&address).is_ok() {
            assert!(began.elapsed() < Duration::from_secs(60), "the server still runs");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
