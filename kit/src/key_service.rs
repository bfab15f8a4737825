//! The slow dependency: a key service that answers at once nine times out of ten, and late the
//! tenth, when it is asked for the key to seal with.

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
/// The defaults are the support case's: one call in ten for the key to seal with takes 400 ms, and
/// decoding never waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Stalls {
    /// The share of calls for the key to seal with that stall, 0 to 1.
    pub probability: f64,
    /// The share of calls for a key to open with that stall, 0 to 1.
    pub decode_probability: f64,
    /// How long a stalled call takes.
    pub duration: Duration,
    /// The share of calls that fail, 0 to 1, after their stall if they have one.
    pub failure_rate: f64,
    /// The same seed deals the same stalls, in the order of the calls.
    pub seed: u64,
}

impl Default for Stalls {
    fn default() -> Self {
        Self {
            probability: 0.1,
            decode_probability: 0.0,
            duration: Duration::from_millis(400),
            failure_rate: 0.0,
            seed: 1,
        }
    }
}

impl Stalls {
    /// A service that always answers at once.
    pub fn never() -> Self {
        Self { probability: 0.0, ..Self::default() }
    }

    /// A service that stalls whenever it is asked.
    pub fn always(duration: Duration) -> Self {
        Self { probability: 1.0, decode_probability: 1.0, duration, ..Self::default() }
    }
}

/// How long a key may be used unless the service says otherwise.
const KEY_LIFETIME: Duration = Duration::from_secs(60);

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
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyServiceError {
    /// It failed when it was asked for the key to seal with.
    #[error(
        "the key service failed (call {call}): no data key, so nothing was encrypted; the task is tried again"
    )]
    NoKeyToSeal {
        /// Which call of its kind, counted from 1.
        call: u64,
    },
    /// It failed when it was asked for a key to open with.
    #[error(
        "the key service failed (call {call}): no data key {key_id:?}, so nothing was decrypted; the task is tried again"
    )]
    NoKeyToOpen {
        /// Which call of its kind, counted from 1.
        call: u64,
        /// The id asked for.
        key_id: String,
    },
    /// It has no key of that id.
    #[error(
        "the payload is encrypted with key id {key_id:?}, which the key service does not hold (it holds {held}): add that key to its keyring"
    )]
    UnknownKey {
        /// The id asked for.
        key_id: String,
        /// The ids there are.
        held: String,
    },
}

/// Hands out data keys, and sometimes takes its time. Cloning shares it.
///
/// The same dependency behind two calls, one for each kind of client library there is, and each of
/// them for two purposes:
///
/// | | waits on the calling thread | waits without a thread |
/// | --- | --- | --- |
/// | the key to seal with | [`data_key_blocking`](Self::data_key_blocking) | [`data_key`](Self::data_key) |
/// | the key of an id, to open with | [`data_key_by_id_blocking`](Self::data_key_by_id_blocking) | [`data_key_by_id`](Self::data_key_by_id) |
#[derive(Clone, Debug)]
pub struct KeyService {
    inner: Arc<Inner>,
    key_lifetime: Duration,
}

#[derive(Debug)]
struct Inner {
    keyring: Keyring,
    stalls: Stalls,
    sealing: Desk,
    opening: Desk,
}

/// Where calls for one purpose are dealt their stalls and counted. Each has dice of its own, so that
/// what is opened meanwhile does not deal other stalls to what is sealed.
#[derive(Debug)]
struct Desk {
    stall_probability: f64,
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
        let Stalls { probability, decode_probability, seed, .. } = stalls;
        let inner = Inner {
            keyring,
            stalls,
            sealing: Desk::new(probability, seed),
            // Any other seed, as long as it is always the same.
            opening: Desk::new(decode_probability, !seed),
        };
        Self { inner: Arc::new(inner), key_lifetime: KEY_LIFETIME }
    }

    /// The same service, with keys that may be used for so long.
    pub fn with_key_lifetime(self, key_lifetime: Duration) -> Self {
        Self { key_lifetime, ..self }
    }

    /// The data key to seal with. **Waits on the calling thread**, as a blocking client does.
    ///
    /// # Errors
    /// When the service fails.
    pub fn data_key_blocking(&self) -> Result<DataKey, KeyServiceError> {
        let deal = self.inner.sealing.begin(&self.inner.stalls);
        if let Some(stall) = deal.stall {
            thread::sleep(stall);
        }
        self.finish_sealing(&deal)
    }

    /// The data key to seal with. Waits without holding a thread.
    ///
    /// # Errors
    /// When the service fails.
    pub async fn data_key(&self) -> Result<DataKey, KeyServiceError> {
        let deal = self.inner.sealing.begin(&self.inner.stalls);
        if let Some(stall) = deal.stall {
            tokio::time::sleep(stall).await;
        }
        self.finish_sealing(&deal)
    }

    /// The data key of that id, to open with. **Waits on the calling thread**, as a blocking client
    /// does.
    ///
    /// # Errors
    /// When the service fails, or has no such key.
    pub fn data_key_by_id_blocking(&self, id: &str) -> Result<DataKey, KeyServiceError> {
        let deal = self.inner.opening.begin(&self.inner.stalls);
        if let Some(stall) = deal.stall {
            thread::sleep(stall);
        }
        self.finish_opening(&deal, id)
    }

    /// The data key of that id, to open with. Waits without holding a thread.
    ///
    /// # Errors
    /// When the service fails, or has no such key.
    pub async fn data_key_by_id(&self, id: &str) -> Result<DataKey, KeyServiceError> {
        let deal = self.inner.opening.begin(&self.inner.stalls);
        if let Some(stall) = deal.stall {
            tokio::time::sleep(stall).await;
        }
        self.finish_opening(&deal, id)
    }

    /// How long a key may be used after it was given: 60 s unless told otherwise. Whoever keeps one
    /// longer uses a key that may have been withdrawn.
    pub fn key_lifetime(&self) -> Duration {
        self.key_lifetime
    }

    /// How this service stalls.
    pub fn stalls(&self) -> &Stalls {
        &self.inner.stalls
    }

    /// The calls for the key to seal with so far: whoever sealed without waiting for its key shows
    /// here.
    pub fn calls(&self) -> Calls {
        self.inner.sealing.calls()
    }

    /// The calls for keys to open with so far.
    pub fn decode_calls(&self) -> Calls {
        self.inner.opening.calls()
    }

    fn finish_sealing(&self, deal: &Deal) -> Result<DataKey, KeyServiceError> {
        self.inner.sealing.finish(if deal.fails {
            Err(KeyServiceError::NoKeyToSeal { call: deal.call })
        } else {
            Ok(self.inner.keyring.active().clone())
        })
    }

    fn finish_opening(&self, deal: &Deal, id: &str) -> Result<DataKey, KeyServiceError> {
        let keys = self.inner.keyring.keys();
        let key_id = id.to_owned();
        self.inner.opening.finish(if deal.fails {
            Err(KeyServiceError::NoKeyToOpen { call: deal.call, key_id })
        } else {
            let unknown = || KeyServiceError::UnknownKey { key_id, held: keys.to_string() };
            keys.get(id).cloned().ok_or_else(unknown)
        })
    }
}

impl Desk {
    fn new(stall_probability: f64, seed: u64) -> Self {
        Self {
            stall_probability,
            dice: Mutex::new(fastrand::Rng::with_seed(seed)),
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    fn begin(&self, stalls: &Stalls) -> Deal {
        let call = self.started.fetch_add(1, Relaxed) + 1;
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        // Both are rolled for every call, so that a failure rate does not deal other stalls.
        let (stall, fail) = (dice.f64(), dice.f64());
        drop(dice);
        let stall = (stall < self.stall_probability).then_some(stalls.duration);
        if stall.is_some() {
            self.stalled.fetch_add(1, Relaxed);
        }
        Deal { call, stall, fails: fail < stalls.failure_rate }
    }

    fn finish(&self, answer: Result<DataKey, KeyServiceError>) -> Result<DataKey, KeyServiceError> {
        self.finished.fetch_add(1, Relaxed);
        if answer.is_err() {
            self.failed.fetch_add(1, Relaxed);
        }
        answer
    }

    fn calls(&self) -> Calls {
        Calls {
            started: self.started.load(Relaxed),
            finished: self.finished.load(Relaxed),
            stalled: self.stalled.load(Relaxed),
            failed: self.failed.load(Relaxed),
        }
    }
}
