//! Leaves nothing behind after a call.

use crate::{
    measure::{self, Growth, JudgeError},
    promise::{Finding, Promise, SHARED},
    stage::Subject,
};

/// Leaves nothing behind after a call.
pub const DOES_NOT_GROW: &Promise = &Promise {
    name: "does_not_grow",
    says: "leaves nothing behind after a call",
    fails: "each call leaves something behind",
    means: "What a call leaves behind adds up. A worker makes millions of calls, until it runs out of memory, threads or files.",
    next: "Look for what each call adds and nothing removes: a list entry, a Tokio task, an open file, a process.",
    of: |_| true,
    broken_by: &[],
    alone: true,
    by_time: false,
    unless_broken: &[],
    measure,
};

/// Bytes: what the checks themselves note of so many calls, and an allocator's slack, is less than half
/// of it. The payloads of these calls are 24 MiB.
const MEMORY: usize = 8 << 20;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let Growth { calls, memory, tasks, threads, descriptors, processes } =
        measure::growth(subject)?;
    let mut grown = Vec::new();
    if memory > MEMORY {
        grown.push(format!("{} MiB more memory", memory >> 20));
    }
    for (count, what) in [
        (tasks, "Tokio tasks"),
        (threads, "threads"),
        (descriptors, "open files"),
        (processes, "processes"),
    ] {
        if count > SHARED {
            grown.push(format!("{count} more {what}"));
        }
    }
    Ok(match grown.is_empty() {
        true => Finding::kept_if(true, format!("nothing has grown after {calls} calls")),
        false => Finding::broken(format!("after {calls} calls there are {}", grown.join(", "))),
    })
}
