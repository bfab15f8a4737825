//! The resources that a codec may use while it is checked. The system enforces some of these limits, which is
//! faster than checking them now and then.

use std::{io, process, thread, time::Duration};

use cli_kit::exit::Exit;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpgrp, getpid, getppid, getrlimit, kill_current_process_group,
    setrlimit,
};

/// How often the process checks whether its parent still runs.
const PARENT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of memory in use; a correct codec needs a tenth of it.
pub const MEMORY: u64 = 1 << 30;
/// Bytes of address space. More than the memory in use, because each thread reserves a stack of 2 MiB and
/// uses little of it: this is enough for two thousand threads.
const RESERVED: u64 = 4 << 30;
/// Bytes of output; a line of debugging for each call stays far below.
pub const OUTPUT: u64 = 16 << 20;

/// Sets the limits that the system enforces for this process and everything it starts. On a system without
/// such limits, only the parent's regular check remains.
pub fn impose() {
    // A failed allocation aborts, and too much output raises a signal: see `subprocess`. A process that
    // aborts must not leave a core dump.
    for (resource, most) in
        [(Resource::Data, RESERVED), (Resource::Fsize, OUTPUT), (Resource::Core, 0)]
    {
        let Rlimit { current, maximum } = getrlimit(resource);
        let most = current.map_or(most, |current| current.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum }).ok();
    }
}

/// Ends this process, and what the codec has started, when the parent is gone: a `verify` that was killed
/// can't stop a codec that loops. `parent` is the parent's process id, because it may already be gone and
/// replaced as parent. `None` stands for the current parent.
///
/// # Errors
/// When no thread can be started for it.
pub fn end_with_parent(parent: Option<i32>) -> io::Result<()> {
    let parent = parent.map_or_else(getppid, Pid::from_raw);
    thread::Builder::new().name("parent".to_owned()).spawn(move || {
        while getppid() == parent {
            thread::sleep(PARENT_CHECK_INTERVAL);
        }
        // If started by hand, it may be in another program's process group.
        if getpgrp() == getpid() {
            kill_current_process_group(Signal::KILL).ok();
        }
        process::exit(Exit::Interrupted as i32);
    })?;
    Ok(())
}
