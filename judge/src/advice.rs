//! Advice for the failures that people run into most often, recognised by the error message.

use crate::Check;

/// What a failure with these words means, and where to look next.
struct Known {
    words: &'static str,
    means: &'static str,
    next: &'static str,
}

/// The messages are Tokio's, those of the crate `futures`, and ours.
const KNOWN: [Known; 6] = [
    Known {
        words: "can call blocking only when running on the multi-threaded runtime",
        means: "`block_in_place` hands the thread's other work to another thread. The worker's runtime has only one thread, so no other thread can take over.",
        next: "Another function moves a blocking call off the thread, on any runtime. The README of exercise 2 names it.",
    },
    Known {
        words: "Cannot start a runtime from within a runtime",
        means: "`Handle::block_on` blocks the thread that calls it, and this thread already runs the worker's runtime: the future it waits for could never run.",
        next: "In async code, await the future instead of blocking on it.",
    },
    Known {
        words: "Cannot block the current thread from within a runtime",
        means: "`blocking_lock` and its relatives block the thread that calls them, and this thread runs the worker's runtime.",
        next: "In async code, `lock().await` waits for a Tokio lock without blocking. Is the lock needed while the key is on its way?",
    },
    Known {
        words: "there is no reactor running, must be called from the context of a Tokio",
        means: "A Tokio task, timer or socket was created on a thread that does not belong to a Tokio runtime.",
        next: "Start it from async code, or keep a `Handle` of the worker's runtime and start it there.",
    },
    Known {
        words: "cannot execute `LocalPool` executor from within another executor",
        means: "`futures::executor::block_on` blocks the thread until its future is done, and here it runs inside another one.",
        next: "In async code, await the future instead of blocking on it.",
    },
    Known {
        words: "in a poll that never returned",
        means: "The thread is blocked inside the codec forever. `block_on` inside async code does that: it waits on the very thread that would have to run what it waits for. So does a lock that is still held.",
        next: "Look for a wait that is not an await: block_on, recv, join, lock.",
    },
];

/// What this failed check means, and where to look next, if its message is known.
pub fn of(check: &Check) -> Option<[&'static str; 2]> {
    let known = KNOWN.iter().find(|known| check.seen.contains(known.words))?;
    Some([known.means, known.next])
}
