//! A worker in a process of its own, and what it says of itself while it runs.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use cli_kit::{exit::Failure, term::tail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// A debug build on a busy machine starts within this.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// A worker that still drains after this is killed: its run is measured, and its server goes, too.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A running worker. Dropping it kills it.
pub struct WorkerProcess {
    child: Child,
    log: PathBuf,
    /// Where it serves `/metrics`.
    pub metrics: SocketAddr,
}

impl WorkerProcess {
    /// Starts the worker, and waits until it has said where its metrics are. Its log goes to `log`.
    ///
    /// # Errors
    /// When it ends instead: the message holds its last words.
    pub async fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .context("the worker can't be started")?;
        let stdout = child.stdout.take().context("the worker has no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = timeout(START_TIMEOUT, lines.next_line()).await;
        let metrics = match first {
            Ok(Ok(Some(line))) => metrics_address(&line),
            _ => None,
        };
        match metrics {
            Some(metrics) => Ok(Self { child, log: log.to_owned(), metrics }),
            None => {
                Err(Failure::environment(format!("the worker did not start{}", tail(log))).into())
            }
        }
    }

    /// Waits until the worker exits by itself, which it should not.
    ///
    /// # Errors
    /// Always: [`WorkerExited`].
    pub async fn exited(&mut self) -> anyhow::Result<Infallible> {
        let status = self.child.wait().await?;
        Err(WorkerExited { status, log: self.log.clone() }.into())
    }

    /// Stops the worker, and waits until it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            kill_process(pid, Signal::TERM)?;
            if timeout(DRAIN_TIMEOUT, self.child.wait()).await.is_err() {
                self.child.kill().await?;
            }
        }
        Ok(())
    }
}

/// The worker exited in the middle of its run.
#[derive(Clone, Debug)]
pub struct WorkerExited {
    /// How.
    pub status: ExitStatus,
    /// Where its log is.
    pub log: PathBuf,
}

impl fmt::Display for WorkerExited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, log } = self;
        write!(f, "the worker exited in the middle of its run ({status}){}", tail(log))
    }
}

impl Error for WorkerExited {}

/// The address in the first line that a worker prints.
fn metrics_address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("metrics on http://")?.strip_suffix("/metrics")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_the_address() {
        let address = metrics_address("metrics on http://127.0.0.1:8086/metrics");
        assert_eq!(address, Some(([127, 0, 0, 1], 8086).into()));
        assert_eq!(metrics_address("hello"), None);
    }
}
