//! What a codec may take while it is judged. The system keeps some of it, and is faster than anybody
//! who looks now and then.

use std::{io, process, thread, time::Duration};

use cli_kit::exit::Exit;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpgrp, getpid, getppid, getrlimit, kill_current_process_group,
    setrlimit,
};

/// How often a judge looks whether it is still asked for.
const PARENT_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of memory in use; a right codec needs a tenth of it.
pub const MEMORY: u64 = 1 << 30;
/// Bytes of memory that may be asked for, in use or not. More than may be in use, because each thread
/// asks for a stack of 2 MiB, and uses little of it: this is enough for two thousand.
const RESERVED: u64 = 4 << 30;
/// Bytes of output; a line of debugging for each call is well below.
pub const OUTPUT: u64 = 16 << 20;

/// Sets the limits that the system keeps for this process and all that it starts. Where the system
/// has no such limit, whoever looks now and then is alone.
pub fn impose() {
    // Memory that is not had is an abort, output that is too long a signal: see `examination`. A
    // process that aborts must not leave a file with its memory in it.
    for (resource, most) in
        [(Resource::Data, RESERVED), (Resource::Fsize, OUTPUT), (Resource::Core, 0)]
    {
        let Rlimit { current, maximum } = getrlimit(resource);
        let most = current.map_or(most, |current| current.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum }).ok();
    }
}

/// Ends this process, and what the codec has started, when whoever asked for it is gone: a `verify`
/// that was killed can't end a codec that loops. `parent` is its process id, as it may be gone by now, and
/// another process be the parent; `None`: whichever process is the parent now.
///
/// # Errors
/// When there is no thread for it.
pub fn end_with_parent(parent: Option<i32>) -> io::Result<()> {
    let parent = parent.map_or_else(getppid, Pid::from_raw);
    thread::Builder::new().name("parent".to_owned()).spawn(move || {
        while getppid() == parent {
            thread::sleep(PARENT_CHECK_INTERVAL);
        }
        // By hand, it may be in the group of something else.
        if getpgrp() == getpid() {
            kill_current_process_group(Signal::KILL).ok();
        }
        process::exit(Exit::Interrupted as i32);
    })?;
    Ok(())
}
