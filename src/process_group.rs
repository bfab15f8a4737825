//! A process and all that it starts, as one.

use std::{io, process::ExitStatus};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
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
