//! What a codec may take while it is judged. The system keeps some of it, and is faster than anybody
//! who looks now and then.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

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
