//! What several measures need.

use std::{collections::HashSet, ffi::OsString, fs, time::Duration};

use codec_kit::Calls;
use tokio::{
    runtime,
    time::{Instant, sleep},
};

use crate::{
    checked::ERROR_MEMORY,
    script::{Behaviour, Purpose},
    stage::Trial,
};

/// So many stalls in a row where one is due are a second and more: no other work on the machine takes that long.
pub const CLEARLY: f64 = 6.0;

/// The payloads' data starts with it, so that it can be recognised where it must not be readable.
pub const MARKER: &str = "judge-8Rk2vQ7mXw5d";

/// How often a measurement is repeated that a busy machine can spoil.
pub(super) const NOISE_RETRIES: usize = 3;
/// The largest payload that is tried: Temporal's limit.
pub(super) const LARGEST_PAYLOAD: usize = 2 << 20;
/// Bytes of a payload that a codec may well treat as a large one.
pub(super) const LARGE_PAYLOAD: usize = 300_000;
/// Tokio's default for its blocking pool.
pub const POOL_THREADS: usize = 512;
/// Concurrent calls, enough to see what happens once in a hundred.
pub(super) const CALLS_AT_ONCE: usize = 130;
/// How often threads and tasks are counted.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);
/// A short delay of a key, long enough to change the order of what waits for it.
pub(super) const SHORT_STALL: Duration = Duration::from_millis(10);

/// How long a codec may take to recover: it may remember an error for a second, and retry.
pub(super) const RECOVERY: Duration = Duration::from_secs(3);

/// `verify` came to no result.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// No runtime to run the codec on.
    #[error("no Tokio runtime could be started for the codec: {0}")]
    Runtime(#[from] std::io::Error),
    /// A reference codec seems to misbehave as well, here and now.
    #[error("this machine is too busy to judge: {0}")]
    TooBusy(String),
    /// The codec blocks its thread forever, or waits for something that never comes.
    #[error("it did not finish within {} s", .0.as_secs())]
    Stuck(Duration),
}

/// What a codec is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// To encode.
    Encode,
    /// To decode.
    Decode,
}

impl Operation {
    /// Both, in this order.
    pub const BOTH: [Self; 2] = [Self::Encode, Self::Decode];

    /// What it asks the key service for.
    pub fn purpose(self) -> Purpose {
        match self {
            Self::Encode => Purpose::Encrypt,
            // Of any key.
            Self::Decode => Purpose::Decrypt(String::new()),
        }
    }

    /// The method of a codec that does it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Decode => "decode",
        }
    }

    /// What it does to a payload, in a sentence.
    pub fn done(self) -> &'static str {
        match self {
            Self::Encode => "encrypted",
            Self::Decode => "decrypted",
        }
    }
}

/// Answers that were keys.
pub(super) fn came(calls: Calls) -> u64 {
    calls.finished - calls.failed
}

/// Whether the codec succeeds again in time, with the key of that number to decode with.
pub(super) async fn recovers(trial: &Trial, operation: Operation, key: usize) -> bool {
    let began = Instant::now();
    while began.elapsed() < RECOVERY {
        if trial.small_call(operation, key).await {
            return true;
        }
        sleep(SHORT_STALL).await;
    }
    false
}

/// Has the codec encode and decode when the key service answers at once, and nothing that was before excuses an error.
/// Every call is checked; this only makes them.
pub(super) async fn calls_without_excuse(trial: &Trial) {
    trial.script.behave(Behaviour::default());
    sleep(ERROR_MEMORY).await;
    for operation in Operation::BOTH {
        trial.small_call(operation, 1).await;
    }
}

/// Tasks of this runtime.
pub(super) fn tasks() -> usize {
    runtime::Handle::current().metrics().num_alive_tasks()
}

/// Threads of this process, if the system lists them. By name, not by number, because earlier threads may be
/// about to exit.
pub(super) fn threads() -> Option<HashSet<OsString>> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    Some(threads.filter_map(|thread| Some(thread.ok()?.file_name())).collect())
}
