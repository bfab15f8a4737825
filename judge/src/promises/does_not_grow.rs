//! Leaves nothing behind after a call.

use crate::{
    fault::Kind,
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
    next: "Look for what each call adds and nothing removes: a list entry, a Tokio task, a thread, an open file, a process.",
    of: |_| true,
    broken_by: &[Kind::NeverPauses],
    alone: true,
    by_time: false,
    unless_broken: &[],
    measure,
};

/// Bytes, after all calls: what the checks themselves note of them, and an allocator's slack. Right codecs have left up
/// to 4.5 MiB.
const MEMORY: usize = 8 << 20;
/// Bytes, after fewer calls.
const LEAST_MEMORY: usize = 6 << 20;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let Growth { calls, given, memory, tasks, threads, descriptors, processes } =
        measure::growth(subject)?;
    // A busy machine makes fewer calls in the same time. A codec that keeps all that one operation is given is well
    // above half of it.
    let much = (given / 2).clamp(LEAST_MEMORY, MEMORY);
    let mut grown = Vec::new();
    if memory > much {
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
