//! What is left after thousands of calls.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use codec_kit::Payload;
use futures::future::join_all;
use tokio::{task::spawn_blocking, time::sleep};

use super::common::{MARKER, SAMPLE_INTERVAL, calls_without_excuse, tasks, threads};
use crate::{
    measure::{JudgeError, Operation},
    script::Behaviour,
    stage::{Stage, Subject},
};

/// Calls that are made, half of each operation.
const CALLS: usize = 6000;
/// And calls that fail, half of each operation: a codec that counts calls and forgets those that fail must reach its
/// limit, whatever that is.
const FAILING: usize = 600;
/// The time limit for these calls: fewer are made if they take longer.
const BUDGET: Duration = Duration::from_secs(6);
/// Calls before the measurement, after which a codec has everything that it keeps.
const WARM_UP: usize = 600;
/// How many at a time.
const AT_ONCE: usize = 100;
/// Threads of the blocking pool: few, because they stay for some seconds and are not growth.
const POOL: usize = 4;
/// Enough new processes and threads to notice a codec that starts one in each call.
const MANY: usize = 300;
/// Bytes of a payload: large, compared with what the checks themselves record about a call.
const PAYLOAD: usize = 8192;
/// How long to wait for what is about to finish.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is there after many calls that was not there before. 0 if the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// How many calls, half of them of each operation.
    pub calls: usize,
    /// Bytes of payload that the calls of each operation were given.
    pub given: usize,
    /// Bytes of memory.
    pub memory: usize,
    /// Tasks of the runtime.
    pub tasks: usize,
    /// Threads of the process.
    pub threads: usize,
    /// Open files, sockets and pipes.
    pub descriptors: usize,
    /// Processes that it started.
    pub processes: usize,
}

/// Has the codec encode and decode thousands of times with a key service that answers at once.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn growth(subject: &Subject<'_>) -> Result<Growth, JudgeError> {
    let stage = Stage::new(subject, POOL)?;
    let trial = stage.trial(2, Behaviour::default());
    stage.run(async move {
        let many = async |calls: usize, at_once: usize, size: usize| {
            let began = Instant::now();
            let mut made = 0;
            let started = || children() + thread_count();
            let many = started() + MANY;
            while made < calls && began.elapsed() < BUDGET && started() < many {
                for operation in Operation::BOTH {
                    // All different, because a codec may keep one of each.
                    let given = (made..made + at_once).map(|number| {
                        let mut data = format!("{MARKER} {calls} {number} ").into_bytes();
                        data.resize(size.max(data.len()), b'.');
                        let plain = vec![Payload { data, ..Payload::default() }];
                        trial.given(operation, plain, 1)
                    });
                    trial.all_at_once(operation, given.collect()).await;
                    made += at_once;
                }
            }
            made
        };
        // A process that a codec needs permanently is there from the start, and only one.
        let processes = children();
        many(WARM_UP, AT_ONCE, PAYLOAD).await;
        // The pool's threads stay for some seconds, whatever used them, and are not growth.
        join_all((0..POOL).map(|_| spawn_blocking(|| thread::sleep(SAMPLE_INTERVAL)))).await;
        let before = Resources { processes, ..Resources::now() };
        let calls = many(CALLS, AT_ONCE, PAYLOAD).await;
        // Error paths may leave something behind, too. A codec may take seconds for each error.
        trial.script.behave(Behaviour::failing(Duration::ZERO));
        many(FAILING, FAILING / 2, 0).await;
        let began = Instant::now();
        let grown = loop {
            let grown = Resources::now().beyond(&before, calls);
            let settled = (grown.tasks, grown.threads, grown.descriptors) == (0, 0, 0);
            if settled || began.elapsed() > PATIENCE {
                break grown;
            }
            sleep(SAMPLE_INTERVAL).await;
        };
        calls_without_excuse(&trial).await;
        grown
    })
}

/// What this process has.
struct Resources {
    memory: usize,
    tasks: usize,
    threads: usize,
    descriptors: usize,
    processes: usize,
}

impl Resources {
    fn now() -> Self {
        Self {
            memory: resident_memory().unwrap_or_default(),
            tasks: tasks(),
            threads: thread_count(),
            descriptors: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
            processes: children(),
        }
    }

    fn beyond(&self, before: &Self, calls: usize) -> Growth {
        Growth {
            calls,
            given: calls / 2 * PAYLOAD,
            memory: self.memory.saturating_sub(before.memory),
            tasks: self.tasks.saturating_sub(before.tasks),
            threads: self.threads.saturating_sub(before.threads),
            descriptors: self.descriptors.saturating_sub(before.descriptors),
            processes: self.processes.saturating_sub(before.processes),
        }
    }
}

/// Bytes, of /proc/self/status.
fn resident_memory() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn thread_count() -> usize {
    threads().unwrap_or_default().len()
}

/// Processes that any thread of this one has started, zombies included.
fn children() -> usize {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of =
        |path: std::path::PathBuf| fs::read_to_string(path.join("children")).unwrap_or_default();
    threads.map(|thread| of(thread.path()).split_ascii_whitespace().count()).sum()
}
