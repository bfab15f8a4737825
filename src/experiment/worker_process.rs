//! A worker in a process of its own, and what it says of itself while it runs.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    fs::File,
    io::Write,
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

/// Bytes of a worker's own output that are kept beside its log.
const PRINTED: usize = 16 << 20;

/// A running worker. Dropping it kills it.
pub struct WorkerProcess {
    child: Child,
    log: PathBuf,
    /// Where it serves `/metrics`.
    pub metrics: SocketAddr,
}

impl WorkerProcess {
    /// Starts the worker, and waits until it has said where its metrics are. Its log goes to `log`, and so
    /// does what its codec prints.
    ///
    /// # Errors
    /// When it ends instead: the message holds the end of its log.
    pub async fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("can't write {}", log.display()))?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(output.try_clone()?)
            .kill_on_drop(true)
            .spawn()
            .context("the worker can't be started")?;
        let stdout = child.stdout.take().context("the worker has no stdout")?;
        let mut stdout = BufReader::new(stdout);
        // A codec that prints may do so before the worker does.
        let mut printed = Printed { log: output, left: PRINTED };
        let metrics = timeout(START_TIMEOUT, async {
            let mut line = Vec::new();
            while let Ok(1..) = stdout.read_until(b'\n', &mut line).await {
                if let Some(metrics) = metrics_address(&String::from_utf8_lossy(&line)) {
                    return Some(metrics);
                }
                printed.keep(&line);
                line.clear();
            }
            None
        });
        let Some(metrics) = metrics.await.ok().flatten() else {
            let did_not_start = format!("the worker did not start{}", tail(log));
            return Err(Failure::environment(did_not_start).into());
        };
        // Read to its end: a pipe that is closed makes a `println!` of the codec panic, and one that is
        // full holds its thread.
        tokio::spawn(async move {
            while let Ok(some @ [_, ..]) = stdout.fill_buf().await {
                printed.keep(some);
                let length = some.len();
                stdout.consume(length);
            }
        });
        Ok(Self { child, log: log.to_owned(), metrics })
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

/// What a worker prints, which goes to its log. More than there is room for is not kept.
struct Printed {
    log: File,
    left: usize,
}

impl Printed {
    fn keep(&mut self, printed: &[u8]) {
        let kept = &printed[..printed.len().min(self.left)];
        self.left -= kept.len();
        // A full disk is not the codec's fault.
        self.log.write_all(kept).ok();
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
    line.trim_end().strip_prefix("metrics on http://")?.strip_suffix("/metrics")?.parse().ok()
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

    /// A codec with a `println!`, before the worker's own first line and ever after.
    #[tokio::test]
    async fn what_a_codec_prints_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut worker = Command::new("sh");
        worker.args([
            "-c",
            "echo made; printf '\\377\\n'; echo 'metrics on http://127.0.0.1:8086/metrics'; echo logged >&2
             head -c 3000000 /dev/zero | tr '\\0' x && echo && head -c 30000000 /dev/zero && echo all >&2
             exec sleep 600",
        ]);
        let worker = WorkerProcess::start(worker, &log).await.unwrap();
        assert_eq!(worker.metrics, ([127, 0, 0, 1], 8086).into());
        let began = std::time::Instant::now();
        let read = || String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
        while !read().contains("all\n") {
            assert!(began.elapsed() < Duration::from_secs(60), "the pipe is full, or closed");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = read();
        assert!(log.contains("made\n") && log.contains("logged\n") && log.contains("xxx\n"));
        // Kept, as far as there is room.
        assert!((PRINTED..PRINTED + 4096).contains(&log.len()), "{}", log.len());
        worker.stop().await.unwrap();
    }
}
