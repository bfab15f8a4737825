//! Processes: one with all that it starts, and work that a signal ends.

use std::{io, num::NonZeroUsize, process::ExitStatus, thread};

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
};

/// A process in a process group of its own. Dropping it kills the group: what the process started
/// (the compiler of cargo, a codec's own child) does not outlive whoever waits for it.
pub struct ProcessGroup {
    leader: Child,
    /// Its number, also when the leader is gone: what it has started may still be there.
    id: Option<Pid>,
}

impl ProcessGroup {
    /// Starts it.
    ///
    /// # Errors
    /// When the system can't.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let leader = command.process_group(0).kill_on_drop(true).spawn()?;
        let id = leader.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { leader, id })
    }

    /// Its process; none when it has ended, and that was seen.
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

    /// Kills all of it, and waits for the leader's end: then nothing more is written.
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

    /// Hands on each line of its stdout as it comes, and waits for its end.
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

    /// Waits for its end; with what it wrote to its stdout, if that is a pipe.
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

/// Variables of the user's shell that would change what is measured, or what a worker shows: how much it logs,
/// how many threads a runtime has, which keys it uses. `RUST_BACKTRACE` stays: it explains a panic.
const OF_THE_USER: [&str; 5] =
    ["RUST_LOG", "TOKIO_WORKER_THREADS", KEYS_VARIABLE, KEY_FILE_VARIABLE, ACTIVE_KEY_VARIABLE];

/// Runs a program that is measured without the user's settings, the same in every shell.
pub fn without_users_settings(measured: &mut Command) {
    for name in OF_THE_USER {
        measured.env_remove(name);
    }
}

/// The same for a worker of the user's own server: that one's keys are needed there.
pub fn without_users_settings_but_keys(measured: &mut Command) {
    let is_key = |name: &str| name.starts_with("CODEC_");
    for name in OF_THE_USER.into_iter().filter(|name| !is_key(name)) {
        measured.env_remove(name);
    }
}

/// Does the work on a runtime of its own, and gives it up at a signal: dropping it kills what it
/// started. `lost` says what that means.
///
/// # Errors
/// Those of the work, or that it was interrupted.
pub fn until_interrupted(
    work: impl Future<Output = anyhow::Result<Exit>>,
    lost: &str,
) -> anyhow::Result<Exit> {
    until_signal(work, |signal| Err(Failure::interrupted(format!("{signal}; {lost}")).into()))
}

/// The same for work that has no end: Ctrl-C is the normal way to stop it, and not an error.
///
/// # Errors
/// Those of the work, or that another signal stopped it.
pub fn until_stopped(
    work: impl Future<Output = anyhow::Result<Exit>>,
    lost: &str,
) -> anyhow::Result<Exit> {
    until_signal(work, |signal| match signal {
        signals::KEYBOARD => {
            note("\nStopped.");
            Ok(Exit::Done)
        }
        signal => Err(Failure::interrupted(format!("{signal}; {lost}")).into()),
    })
}

fn until_signal(
    work: impl Future<Output = anyhow::Result<Exit>>,
    stopped: impl FnOnce(&'static str) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    // As many threads as there are processors, whatever TOKIO_WORKER_THREADS says: it is meant for other
    // programs, and tokio panics at a value that is not a number.
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            signal = signals::next() => stopped(signal?),
        }
    });
    runtime.shutdown_background();
    result
}
