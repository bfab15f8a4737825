//! A process and all that it starts, as one.

use std::{io, process::ExitStatus};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

/// A process in a process group of its own. Dropping it kills the group: what the process started
/// (the compiler of cargo, a codec's own child) does not outlive whoever waits for it.
pub struct ProcessGroup(Child);

impl ProcessGroup {
    /// Starts it.
    ///
    /// # Errors
    /// When the system can't.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Ok(Self(command.process_group(0).kill_on_drop(true).spawn()?))
    }

    /// Its process; none when it has ended, and that was seen.
    pub fn id(&self) -> Option<u32> {
        self.0.id()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system can't say.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Waits for its end; with what it wrote to its stdout, if that is a pipe.
    ///
    /// # Errors
    /// When the system can't say.
    pub async fn output(mut self) -> io::Result<(ExitStatus, Vec<u8>)> {
        let mut written = Vec::new();
        if let Some(mut stdout) = self.0.stdout.take() {
            stdout.read_to_end(&mut written).await?;
        }
        Ok((self.0.wait().await?, written))
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(pid) = self.0.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}
