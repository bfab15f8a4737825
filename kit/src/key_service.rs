//! The slow dependency: a key service that answers at once nine times out of ten, and late the
//! tenth.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::{DataKey, Keyring};

/// How often and how long a simulated call stalls, and how often it fails.
///
/// The defaults are the support case's: one call in ten takes 400 ms.
#[derive(Clone, Debug, PartialEq)]
pub struct Stalls {
    /// The share of calls that stall, 0 to 1.
    pub probability: f64,
    /// How long a stalled call takes.
    pub duration: Duration,
    /// The share of calls that fail, 0 to 1, after their stall if they have one.
    pub failure_rate: f64,
    /// The same seed deals the same stalls, in the order of the calls.
    pub seed: u64,
}

impl Default for Stalls {
    fn default() -> Self {
        Self { probability: 0.1, duration: Duration::from_millis(400), failure_rate: 0.0, seed: 1 }
    }
}

impl Stalls {
    /// A service that always answers at once.
    pub fn never() -> Self {
        Self { probability: 0.0, ..Self::default() }
    }
}

/// How many calls a [`KeyService`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls begun.
    pub started: u64,
    /// Calls that came back, with a key or an error. One that is dropped while it waits does not.
    pub finished: u64,
    /// Calls that were dealt a stall.
    pub stalled: u64,
    /// Calls that came back with an error.
    pub failed: u64,
}

/// The key service gave no key.
#[derive(Debug, thiserror::Error)]
#[error(
    "the key service failed (call {call}): no data key, so nothing was encrypted; the task is tried again"
)]
pub struct KeyServiceError {
    call: u64,
}

/// Hands out the data key to seal with, and sometimes takes its time. Cloning shares it.
///
/// The same dependency behind two calls, one for each kind of client library there is:
/// [`data_key_blocking`](Self::data_key_blocking) waits on the calling thread,
/// [`data_key`](Self::data_key) waits without one.
#[derive(Clone, Debug)]
pub struct KeyService(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keyring: Keyring,
    stalls: Stalls,
    // A std mutex is right: it is held for one roll of the dice, and nothing awaits meanwhile.
    dice: Mutex<fastrand::Rng>,
    started: AtomicU64,
    finished: AtomicU64,
    stalled: AtomicU64,
    failed: AtomicU64,
}

/// What one call was dealt.
struct Deal {
    call: u64,
    stall: Option<Duration>,
    fails: bool,
}

impl KeyService {
    /// A service that never stalls.
    pub fn new(keyring: Keyring) -> Self {
        Self::with_stalls(keyring, Stalls::never())
    }

    /// A service that stalls as told.
    pub fn with_stalls(keyring: Keyring, stalls: Stalls) -> Self {
        Self(Arc::new(Inner {
            dice: Mutex::new(fastrand::Rng::with_seed(stalls.seed)),
            keyring,
            stalls,
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }))
    }

    /// The data key to seal with. **Waits on the calling thread**, as a blocking client does.
    ///
    /// # Errors
    /// When the service fails.
    pub fn data_key_blocking(&self) -> Result<DataKey, KeyServiceError> {
        let deal = self.begin();
        if let Some(stall) = deal.stall {
            thread::sleep(stall);
        }
        self.finish(&deal)
    }

    /// The data key to seal with. Waits without holding a thread.
    ///
    /// # Errors
    /// When the service fails.
    pub async fn data_key(&self) -> Result<DataKey, KeyServiceError> {
        let deal = self.begin();
        if let Some(stall) = deal.stall {
            tokio::time::sleep(stall).await;
        }
        self.finish(&deal)
    }

    /// The keys to open with. They are at hand: opening waits for nobody.
    pub fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// How this service stalls.
    pub fn stalls(&self) -> &Stalls {
        &self.0.stalls
    }

    /// The calls so far: whoever sealed without waiting for its key shows here.
    pub fn calls(&self) -> Calls {
        Calls {
            started: self.0.started.load(Relaxed),
            finished: self.0.finished.load(Relaxed),
            stalled: self.0.stalled.load(Relaxed),
            failed: self.0.failed.load(Relaxed),
        }
    }

    fn begin(&self) -> Deal {
        let inner = &self.0;
        let call = inner.started.fetch_add(1, Relaxed) + 1;
        let mut dice = inner.dice.lock().unwrap_or_else(PoisonError::into_inner);
        // Both are rolled for every call, so that a failure rate does not deal other stalls.
        let (stalls, fails) = (dice.f64(), dice.f64());
        drop(dice);
        let stall = (stalls < inner.stalls.probability).then_some(inner.stalls.duration);
        if stall.is_some() {
            inner.stalled.fetch_add(1, Relaxed);
        }
        Deal { call, stall, fails: fails < inner.stalls.failure_rate }
    }

    fn finish(&self, deal: &Deal) -> Result<DataKey, KeyServiceError> {
        let inner = &self.0;
        inner.finished.fetch_add(1, Relaxed);
        if deal.fails {
            inner.failed.fetch_add(1, Relaxed);
            return Err(KeyServiceError { call: deal.call });
        }
        Ok(inner.keyring.active().clone())
    }
}
