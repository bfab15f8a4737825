//! The slow dependency: a key service. Asked for the key to encrypt with, it answers at once nine times out
//! of ten, and late the tenth time.
//!
//! Behind its calls is either a simulation, in this process, or a client of a real key management service.

use std::{
    error, fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use futures::future::BoxFuture;

use crate::{DataKey, DataKeys, Keyring};

/// How often and how long a simulated call stalls, and how often it fails.
///
/// The defaults are those of the support case: one call in ten for the key to seal with takes 400 ms, and
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

/// How long a key may be used by default.
const KEY_LIFETIME: Duration = Duration::from_secs(60);

/// How many calls a [`KeyService`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls begun.
    pub started: u64,
    /// Calls that came back, with a key or an error. One that is dropped while it waits does not.
    pub finished: u64,
    /// Calls that stalled.
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
        "the key service failed (call {call}): no data key, so nothing was encrypted; the task is \
         tried again"
    )]
    NoKeyToSeal {
        /// Which call of its kind, counted from 1.
        call: u64,
    },
    /// It failed when it was asked for a key to open with.
    #[error(
        "the key service failed (call {call}): no data key {key_id:?}, so nothing was decrypted; \
         the task is tried again"
    )]
    NoKeyToOpen {
        /// Which call of its kind, counted from 1.
        call: u64,
        /// The id asked for.
        key_id: String,
    },
    /// It has no key of that id.
    #[error(
        "the payload is encrypted with key id {key_id:?}, which the key service does not hold (it \
         holds {held}): add that key to its keyring"
    )]
    UnknownKey {
        /// The id asked for.
        key_id: String,
        /// The ids there are.
        held: String,
    },
    /// Its client has no answer.
    #[error(
        "no data key {key_id:?}, so nothing was {}: {reason}; the task is tried again",
        if *encrypting { "encrypted" } else { "decrypted" }
    )]
    Client {
        /// The id of the key.
        key_id: String,
        /// Whether the key was to encrypt with.
        encrypting: bool,
        /// What the client reported.
        reason: Arc<dyn error::Error + Send + Sync>,
    },
}

/// The error for an id that is not among those there are.
#[cfg(all(feature = "kms-async", feature = "kms-blocking"))]
pub(crate) fn no_such_key<'a>(id: &str, held: impl Iterator<Item = &'a str>) -> KeyServiceError {
    let held = held.collect::<Vec<_>>().join(", ");
    KeyServiceError::UnknownKey { key_id: id.to_owned(), held }
}

/// One call to a key service, as its [`KeySource`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct KeyRequest<'a> {
    /// Which call for this purpose, counted from 1.
    pub call: u64,
    /// The id of the key to decrypt with. `None` asks for the key to encrypt with.
    pub key_id: Option<&'a str>,
    /// Whether the caller waits on its own thread.
    pub blocking: bool,
}

impl KeyRequest<'_> {
    /// The answer of a service that encrypts with `active` and hands out `keys`.
    ///
    /// # Errors
    /// When the call is to fail, or there is no such key.
    pub fn answer(
        &self,
        deal: Deal,
        active: &DataKey,
        keys: &DataKeys,
    ) -> Result<DataKey, KeyServiceError> {
        let call = self.call;
        let Some(id) = self.key_id else {
            return match deal.fails {
                true => Err(KeyServiceError::NoKeyToSeal { call }),
                false => Ok(active.clone()),
            };
        };
        let key_id = id.to_owned();
        if deal.fails {
            return Err(KeyServiceError::NoKeyToOpen { call, key_id });
        }
        let unknown = || KeyServiceError::UnknownKey { key_id, held: keys.to_string() };
        keys.get(id).cloned().ok_or_else(unknown)
    }
}

/// What is decided about a call when it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deal {
    /// How long the call stalls, if it does.
    pub stall: Option<Duration>,
    /// Whether the call fails after that.
    pub fails: bool,
}

/// The back end of a [`KeyService`]: decides how long each call takes and what it returns.
pub trait KeySource: fmt::Debug + Send + Sync {
    /// Called when a call starts.
    fn begin(&self, request: &KeyRequest<'_>) -> Deal;

    /// Called after the stall, unless the caller has dropped the call by then.
    ///
    /// # Errors
    /// When the service fails, or has no such key.
    fn answer(&self, request: &KeyRequest<'_>, deal: Deal) -> Result<DataKey, KeyServiceError>;
}

/// The back end of a [`KeyService`] that asks a service elsewhere.
pub trait KeyClient: fmt::Debug + Send + Sync {
    /// Waits for the answer on the calling thread.
    ///
    /// # Errors
    /// When there is no such key, or no answer.
    fn fetch_blocking(&self, request: &KeyRequest<'_>) -> Result<DataKey, KeyServiceError>;

    /// Waits without a thread. Dropping the future cancels the request.
    fn fetch<'a>(
        &'a self,
        request: &'a KeyRequest<'a>,
    ) -> BoxFuture<'a, Result<DataKey, KeyServiceError>>;
}

/// Hands out data keys, and sometimes takes its time. Cloning shares it.
///
/// It has two kinds of calls, like the two kinds of client libraries, and each kind for two purposes:
///
/// | | waits on the calling thread | waits without a thread |
/// | --- | --- | --- |
/// | the key to encrypt with | [`data_key_blocking`](Self::data_key_blocking) | [`data_key`](Self::data_key) |
/// | the key of an id, to decrypt with | [`data_key_by_id_blocking`](Self::data_key_by_id_blocking) | [`data_key_by_id`](Self::data_key_by_id) |
#[derive(Clone, Debug)]
pub struct KeyService {
    inner: Arc<Inner>,
    key_lifetime: Duration,
}

#[derive(Debug)]
struct Inner {
    back_end: BackEnd,
    // Each under one lock, so that its counts fit together whenever they are read.
    encrypt: Mutex<Calls>,
    decrypt: Mutex<Calls>,
}

#[derive(Debug)]
enum BackEnd {
    /// Stalls and failures are dealt here.
    Source(Box<dyn KeySource>),
    /// They come from elsewhere.
    Client(Box<dyn KeyClient>),
}

impl KeyService {
    /// A service that never stalls.
    pub fn new(keyring: Keyring) -> Self {
        Self::with_stalls(keyring, Stalls::never())
    }

    /// A service with these stalls.
    pub fn with_stalls(keyring: Keyring, stalls: Stalls) -> Self {
        Self::from_source(Simulation::new(keyring, stalls))
    }

    /// A service whose answers come from `source`.
    pub fn from_source(source: impl KeySource + 'static) -> Self {
        Self::new_with(BackEnd::Source(Box::new(source)))
    }

    /// A service that `client` asks. Whether one of its calls stalls is not known here, so
    /// [`Calls::stalled`] stays 0.
    pub fn from_client(client: impl KeyClient + 'static) -> Self {
        Self::new_with(BackEnd::Client(Box::new(client)))
    }

    fn new_with(back_end: BackEnd) -> Self {
        let inner = Inner { back_end, encrypt: Mutex::default(), decrypt: Mutex::default() };
        Self { inner: Arc::new(inner), key_lifetime: KEY_LIFETIME }
    }

    /// The same service, with keys that may be used for `lifetime`.
    pub fn with_key_lifetime(self, key_lifetime: Duration) -> Self {
        Self { key_lifetime, ..self }
    }

    /// The data key to encrypt with. **Waits on the calling thread**, as a blocking client does.
    ///
    /// # Errors
    /// When the service fails.
    pub fn data_key_blocking(&self) -> Result<DataKey, KeyServiceError> {
        self.inner.wait_on_thread(None)
    }

    /// The data key to encrypt with. Waits without holding a thread.
    ///
    /// # Errors
    /// When the service fails.
    pub async fn data_key(&self) -> Result<DataKey, KeyServiceError> {
        self.inner.wait(None).await
    }

    /// The data key of that id, to decrypt with. **Waits on the calling thread**, as a blocking client
    /// does.
    ///
    /// # Errors
    /// When the service fails, or has no such key.
    pub fn data_key_by_id_blocking(&self, id: &str) -> Result<DataKey, KeyServiceError> {
        self.inner.wait_on_thread(Some(id))
    }

    /// The data key of that id, to decrypt with. Waits without holding a thread.
    ///
    /// # Errors
    /// When the service fails, or has no such key.
    pub async fn data_key_by_id(&self, id: &str) -> Result<DataKey, KeyServiceError> {
        self.inner.wait(Some(id)).await
    }

    /// How long a key may be used after the service returned it: 60 s by default. A codec that caches a key
    /// for longer may use a revoked key.
    pub fn key_lifetime(&self) -> Duration {
        self.key_lifetime
    }

    /// The calls for the key to encrypt with so far.
    pub fn calls(&self) -> Calls {
        *locked(&self.inner.encrypt)
    }

    /// The calls for keys to decrypt with so far.
    pub fn decode_calls(&self) -> Calls {
        *locked(&self.inner.decrypt)
    }
}

impl Inner {
    fn wait_on_thread(&self, key_id: Option<&str>) -> Result<DataKey, KeyServiceError> {
        let request = self.begin(key_id, true);
        let answer = match &self.back_end {
            BackEnd::Client(client) => client.fetch_blocking(&request),
            BackEnd::Source(source) => {
                let deal = self.deal(source.as_ref(), &request);
                if let Some(stall) = deal.stall {
                    thread::sleep(stall);
                }
                source.answer(&request, deal)
            }
        };
        self.finish(&request, answer)
    }

    async fn wait(&self, key_id: Option<&str>) -> Result<DataKey, KeyServiceError> {
        let request = self.begin(key_id, false);
        let answer = match &self.back_end {
            BackEnd::Client(client) => client.fetch(&request).await,
            BackEnd::Source(source) => {
                let deal = self.deal(source.as_ref(), &request);
                if let Some(stall) = deal.stall {
                    tokio::time::sleep(stall).await;
                }
                source.answer(&request, deal)
            }
        };
        self.finish(&request, answer)
    }

    fn begin<'a>(&self, key_id: Option<&'a str>, blocking: bool) -> KeyRequest<'a> {
        let mut calls = self.calls(key_id);
        calls.started += 1;
        KeyRequest { call: calls.started, key_id, blocking }
    }

    fn deal(&self, source: &dyn KeySource, request: &KeyRequest<'_>) -> Deal {
        let deal = source.begin(request);
        if deal.stall.is_some() {
            self.calls(request.key_id).stalled += 1;
        }
        deal
    }

    fn finish(
        &self,
        request: &KeyRequest<'_>,
        answer: Result<DataKey, KeyServiceError>,
    ) -> Result<DataKey, KeyServiceError> {
        let mut calls = self.calls(request.key_id);
        calls.finished += 1;
        calls.failed += u64::from(answer.is_err());
        answer
    }

    fn calls(&self, key_id: Option<&str>) -> MutexGuard<'_, Calls> {
        locked(match key_id {
            None => &self.encrypt,
            Some(_) => &self.decrypt,
        })
    }
}

fn locked(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decides stalls and failures at random.
#[derive(Debug)]
struct Simulation {
    keyring: Keyring,
    stalls: Stalls,
    // A random generator for each purpose, so that calls for one purpose do not change the stalls of the
    // other. A std mutex is right: it is held for one random number, and never across an await.
    encrypt: Mutex<fastrand::Rng>,
    decrypt: Mutex<fastrand::Rng>,
}

impl Simulation {
    fn new(keyring: Keyring, stalls: Stalls) -> Self {
        let dice = |seed| Mutex::new(fastrand::Rng::with_seed(seed));
        // The second seed may be any other, as long as it is always the same.
        Self { encrypt: dice(stalls.seed), decrypt: dice(!stalls.seed), keyring, stalls }
    }
}

impl KeySource for Simulation {
    fn begin(&self, request: &KeyRequest<'_>) -> Deal {
        let Stalls { probability, decode_probability, duration, failure_rate, .. } = self.stalls;
        let (dice, probability) = match request.key_id {
            None => (&self.encrypt, probability),
            Some(_) => (&self.decrypt, decode_probability),
        };
        let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
        // Both numbers are drawn for every call, so that a failure rate does not change which calls stall.
        let (stall, fail) = (dice.f64(), dice.f64());
        Deal { stall: (stall < probability).then_some(duration), fails: fail < failure_rate }
    }

    fn answer(&self, request: &KeyRequest<'_>, deal: Deal) -> Result<DataKey, KeyServiceError> {
        request.answer(deal, self.keyring.active(), self.keyring.keys())
    }
}
