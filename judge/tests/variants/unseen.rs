//! Codecs that were written without knowledge of what the checks measure: a test set for the checks.
//!
//! Those whose name starts with "right: " are correct, all others are wrong. If a verdict is debatable, a
//! comment at the variant says so.
//!
//! | file | what its codecs do |
//! | --- | --- |
//! | `unseen_stalls.rs` | something wrong after a stall, or in one call of a hundred |
//! | `unseen_context.rs` | something wrong in one serialization context |
//! | `unseen_caching.rs` | cache keys wrongly |
//! | `unseen_decoding.rs` | decode wrongly, or have deadlines and retries that are wrong |
//! | `unseen_polls.rs` | block the thread where it is easy to miss |
//! | `unseen_leaks.rs` | leak plaintext |
//! | `unseen_growth.rs` | grow with every call |
//! | `unseen_observed.rs` | are observed in part, twice or not at all; right ones for step 1 |
//! | `unseen_popular.rs` | block as many do in their first attempt |
//! | `unseen_margins.rs` | go wrong just beyond a size, an age, a number or a time |
//! | `unseen_right.rs` | wait without blocking, with retries, I/O, threads and tasks |
//! | `unseen_right_structure.rs` | wait without blocking, built in as many ways as possible |
//! | `unseen_right_caching.rs` | cache keys as they should |

use std::{
    sync::{
        Arc, Mutex as StdMutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use codec_kit::{
    DataKey, DataKeys, KeyService, KeyServiceError, Keyring, Payload, key_ids, open_all, seal_all,
};
use solutions::Step;

use crate::{AnyError, Done, Variant, Verdict, Which};

mod unseen_caching;
mod unseen_context;
mod unseen_decoding;
mod unseen_growth;
mod unseen_leaks;
mod unseen_margins;
mod unseen_observed;
mod unseen_polls;
mod unseen_popular;
mod unseen_right;
mod unseen_right_caching;
mod unseen_right_structure;
mod unseen_stalls;
#[cfg(test)]
mod unseen_tests;

pub(crate) fn variants() -> Vec<Variant> {
    [
        unseen_stalls::variants(),
        unseen_context::variants(),
        unseen_caching::variants(),
        unseen_decoding::variants(),
        unseen_polls::variants(),
        unseen_leaks::variants(),
        unseen_growth::variants(),
        unseen_observed::variants(),
        unseen_popular::variants(),
        unseen_margins::variants(),
        unseen_right::variants(),
        unseen_right_structure::variants(),
        unseen_right_caching::variants(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Of step 1.
fn first(verdict: Verdict) -> Vec<(Step, Verdict)> {
    vec![(Step::Blocking, verdict)]
}

/// Of step 2.
fn second(verdict: Verdict) -> Vec<(Step, Verdict)> {
    vec![(Step::SpawnBlocking, verdict)]
}

/// Of step 3.
fn third(verdict: Verdict) -> Vec<(Step, Verdict)> {
    vec![(Step::Async, verdict)]
}

/// Of step 4.
fn last(verdict: Verdict) -> Vec<(Step, Verdict)> {
    vec![(Step::BeyondAsync, verdict)]
}

/// Encrypts as it should.
async fn good(keys: KeyService, payloads: Vec<Payload>) -> Done {
    Ok(seal_all(&keys.data_key().await?, payloads)?)
}

/// Encrypts with a key that it blocks its thread for.
async fn blocking(keys: KeyService, payloads: Vec<Payload>) -> Done {
    Ok(seal_all(&keys.data_key_blocking()?, payloads)?)
}

/// Decrypts with keys that it blocks its thread for.
async fn opens_blocking(keys: KeyService, payloads: Vec<Payload>) -> Done {
    let ids = key_ids(&payloads).into_iter();
    let found: DataKeys =
        ids.map(|id| keys.data_key_by_id_blocking(&id)).collect::<Result<_, _>>()?;
    Ok(open_all(&found, payloads)?)
}

/// The samples' public key: not the one that the key service was asked for, unless it hands out
/// that very key.
fn test_key() -> DataKey {
    Keyring::test_key().active().clone()
}

/// Whether this is the n-th call, the 2n-th, and so on.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl Counter {
    /// How many calls there were, this one included.
    fn count(&self) -> usize {
        self.0.fetch_add(1, Relaxed) + 1
    }

    fn is_every(&self, n: usize) -> bool {
        self.count().is_multiple_of(n)
    }
}

fn lock<T>(mutex: &StdMutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the key service, without blocking. Its error can be cloned: many may wait for it.
async fn request(keys: &KeyService, which: &Which) -> Result<DataKey, KeyServiceError> {
    match which {
        None => keys.data_key().await,
        Some(id) => keys.data_key_by_id(id).await,
    }
}

/// The same, with any error.
async fn ask(keys: &KeyService, which: &Which) -> Result<DataKey, AnyError> {
    Ok(request(keys, which).await?)
}

/// Asks the key service, and blocks the thread for it.
fn ask_blocking(keys: &KeyService, which: &Which) -> Result<DataKey, AnyError> {
    Ok(match which {
        None => keys.data_key_blocking()?,
        Some(id) => keys.data_key_by_id_blocking(id)?,
    })
}

/// A key, and when it came.
#[derive(Clone)]
struct Cached {
    key: DataKey,
    came: Instant,
    lifetime: Duration,
}

impl Cached {
    fn new(keys: &KeyService, key: DataKey) -> Self {
        Self { key, came: Instant::now(), lifetime: keys.key_lifetime() }
    }

    async fn ask(keys: &KeyService, which: &Which) -> Result<Self, AnyError> {
        Ok(Self::new(keys, ask(keys, which).await?))
    }

    fn if_valid(&self) -> Option<DataKey> {
        self.if_younger(self.lifetime)
    }

    fn is_valid(&self) -> bool {
        self.if_valid().is_some()
    }

    /// Whether it is in the second half of its lifetime: time to ask for its successor.
    fn is_due(&self) -> bool {
        self.came.elapsed() > self.lifetime / 2
    }

    fn if_younger(&self, age: Duration) -> Option<DataKey> {
        (self.came.elapsed() < age).then(|| self.key.clone())
    }
}
