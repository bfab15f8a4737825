//! Process groups, and work that a signal stops.

use std::{io, num::NonZeroUsize, pin::pin, process::ExitStatus, thread, time::Duration};

use cli_kit::{
    exit::{Exit, Failure},
    term::note,
};
use codec_kit::{ACTIVE_KEY_VARIABLE, KEY_FILE_VARIABLE, KEYS_VARIABLE};
use greeting::signals;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    runtime,
    time::timeout,
};

/// A process in its own process group. Dropping it kills the whole group, so what the process started
/// (cargo's compiler, a codec's own child) does not outlive the program that waits for it.
pub struct ProcessGroup {
    leader: Child,
    /// The group's id. It stays valid after the leader has exited, because what the leader started may still
    /// run.
    id: Option<Pid>,
}

impl ProcessGroup {
    /// Starts it.
    ///
    /// # Errors
    /// When the system can't start it.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let leader = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { leader, id })
    }

    /// Its process id; `None` once it has exited and been waited for.
    pub fn id(&self) -> Option<u32> {
        self.leader.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system can't say.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.leader.try_wait()
    }

    /// Kills the whole group, and waits until the leader has exited: then nothing more is written.
    ///
    /// # Errors
    /// When the system can't say.
    pub async fn end(&mut self) -> io::Result<()> {
        self.kill();
        self.leader.wait().await?;
        Ok(())
    }

    fn kill(&self) {
        if let Some(id) = self.id {
            kill_process_group(id, Signal::KILL).ok();
        }
    }

    /// Passes on each line of its stdout as it arrives, and waits until it exits.
    ///
    /// # Errors
    /// When the system can't say.
    pub async fn lines(mut self, mut each: impl FnMut(&str)) -> io::Result<ExitStatus> {
        if let Some(stdout) = self.leader.stdout.take() {
            let mut stdout = BufReader::new(stdout);
            let mut line = Vec::new();
            while stdout.read_until(b'\n', &mut line).await? > 0 {
                each(&String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        self.leader.wait().await
    }

    /// Waits until it exits. Returns what it wrote to stdout, if that is a pipe.
    ///
    /// # Errors
    /// When the system can't say.
    pub async fn output(mut self) -> io::Result<(ExitStatus, Vec<u8>)> {
        let mut written = Vec::new();
        if let Some(mut stdout) = self.leader.stdout.take() {
            stdout.read_to_end(&mut written).await?;
        }
        Ok((self.leader.wait().await?, written))
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Environment variables that would change what is measured or what a worker prints: its log level, its
/// number of threads, its keys. `RUST_BACKTRACE` stays, because it explains a panic.
const OF_THE_USER: [&str; 5] =
    ["RUST_LOG", "TOKIO_WORKER_THREADS", KEYS_VARIABLE, KEY_FILE_VARIABLE, ACTIVE_KEY_VARIABLE];

/// Runs a measured program without the user's settings, so that it behaves the same in every shell.
pub fn without_users_settings(measured: &mut Command) {
    for name in OF_THE_USER {
        measured.env_remove(name);
    }
}

/// The same for a worker of the user's own server, which needs that server's keys.
pub fn without_users_settings_but_keys(measured: &mut Command) {
    let is_key = |name: &str| name.starts_with("CODEC_");
    for name in OF_THE_USER.into_iter().filter(|name| !is_key(name)) {
        measured.env_remove(name);
    }
}

/// Does the work on a new runtime, and cancels it at a signal: dropping it kills what it started. `lost` is
/// the second half of the message.
///
/// # Errors
/// Those of the work, or that it was interrupted.
pub fn until_interrupted(
    work: impl Future<Output = anyhow::Result<Exit>>,
    lost: &str,
) -> anyhow::Result<Exit> {
    until_signal(work, SIGNAL_GRACE, |signal| interrupted(signal, lost))
}

/// The same for work without an end: Ctrl-C is the normal way to stop it, so it is not an error.
///
/// # Errors
/// Those of the work, or that another signal stopped it.
pub fn until_stopped(
    work: impl Future<Output = anyhow::Result<Exit>>,
    lost: &str,
) -> anyhow::Result<Exit> {
    until_signal(work, SIGNAL_GRACE, |signal| match signal {
        signals::KEYBOARD => {
            note("\nStopped.");
            Ok(Exit::Done)
        }
        signal => interrupted(signal, lost),
    })
}

fn interrupted(signal: &str, lost: &str) -> anyhow::Result<Exit> {
    Err(Failure::interrupted(format!("{signal}; {lost}")).into())
}

/// Ctrl-C reaches what the work has started, too. If that ends first, the work fails before the signal that
/// ended it is seen here: after a failure, a signal has this long to arrive.
const SIGNAL_GRACE: Duration = Duration::from_millis(100);

fn until_signal(
    work: impl Future<Output = anyhow::Result<Exit>>,
    grace: Duration,
    stopped: impl FnOnce(&'static str) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    // One thread per processor, whatever TOKIO_WORKER_THREADS says: that is meant for other programs, and
    // Tokio panics if it is not a number.
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let result = runtime.block_on(async {
        let mut signal = pin!(signals::next());
        tokio::select! {
            biased;
            signal = &mut signal => stopped(signal?),
            result = work => match result {
                Ok(exit) => Ok(exit),
                Err(error) => match timeout(grace, signal).await {
                    Ok(signal) => stopped(signal?),
                    Err(_) => Err(error),
                },
            },
        }
    });
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: the signal reaches the whole process.
    #[test]
    fn work_that_fails_because_of_a_signal_was_interrupted() {
        let by_itself = until_interrupted(async { anyhow::bail!("failed") }, "all is lost");
        assert_eq!(by_itself.unwrap_err().to_string(), "failed");

        let by_a_signal = async {
            // What the work has started ends before the signal reaches this process.
            let mut child = Command::new("sh");
            child.args(["-c", "(sleep 0.02; kill -INT $0) & exit 1"]);
            child.arg(std::process::id().to_string());
            let status = child.status().await?;
            anyhow::bail!("the child ended ({status})")
        };
        // A busy machine may take long to start `sleep`.
        let grace = Duration::from_secs(60);
        let stopped = |signal| interrupted(signal, "all is lost");
        let error = until_signal(by_a_signal, grace, stopped).unwrap_err();
        assert_eq!(error.to_string(), "interrupted; all is lost");
    }
}
