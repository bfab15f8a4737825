//! The scripted key service for a codec under test: it stalls, fails and changes its keys on command, and
//! records every answer.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{
    DataKey, DataKeys, Deal, KeyRequest, KeyService, KeyServiceError, KeySource, Keyring,
};

/// The start of every key id, as long as a cloud provider's.
const PREFIX: &str =
    "projects/Unblock/locations/europe-west1/keyRings/payloads/cryptoKeys/orders/versions";

/// How calls for one purpose behave.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// What happens to the next calls, before the other fields apply.
    pub next: VecDeque<Deal>,
    /// How long a call stalls, if it does.
    pub stall: Duration,
    /// The share of calls that stall, 0 to 1.
    pub stall_probability: f64,
    /// The share of calls that fail, 0 to 1.
    pub failure_rate: f64,
}

impl Behaviour {
    /// Every call stalls.
    pub fn stalling(stall: Duration) -> Self {
        Self { stall, stall_probability: 1.0, ..Self::default() }
    }

    /// Every call fails, after a stall.
    pub fn failing(stall: Duration) -> Self {
        Self { failure_rate: 1.0, ..Self::stalling(stall) }
    }
}

/// What a call to the key service asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The key to encrypt with.
    Encrypt,
    /// The key of this id, to decrypt with.
    Decrypt(String),
}

impl Purpose {
    fn of(request: &KeyRequest<'_>) -> Self {
        request.key_id.map_or(Self::Encrypt, |id| Self::Decrypt(id.to_owned()))
    }

    /// Whether both are for encryption, or both for decryption.
    pub fn is_like(&self, other: &Self) -> bool {
        (self == &Self::Encrypt) == (other == &Self::Encrypt)
    }
}

/// A call that started.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    pub purpose: Purpose,
    pub deal: Deal,
    /// The thread that waits, when it waits there.
    pub blocks: Option<ThreadId>,
}

/// A call that came back.
#[derive(Clone, Debug)]
pub struct Answered {
    pub at: Instant,
    pub purpose: Purpose,
    /// The id of the key that was given; `None` when the call failed.
    pub key: Option<String>,
}

/// The key service of a trial. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Script(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    keys: DataKeys,
    active: DataKey,
    revoked: HashSet<String>,
    encrypt: Behaviour,
    decrypt: Behaviour,
    random: fastrand::Rng,
    asked: Vec<Asked>,
    answered: Vec<Answered>,
}

impl Script {
    /// A service with these keys that answers at once.
    pub fn new(keyring: &Keyring) -> Self {
        Self(Arc::new(Mutex::new(State {
            keys: keyring.keys().clone(),
            active: keyring.active().clone(),
            revoked: HashSet::new(),
            encrypt: Behaviour::default(),
            decrypt: Behaviour::default(),
            random: fastrand::Rng::with_seed(1),
            asked: Vec::new(),
            answered: Vec::new(),
        })))
    }

    /// A service with so many keys of the judge's own.
    pub fn with_keys(count: usize, random: &mut fastrand::Rng) -> Self {
        let service = random.u16(..);
        let entry = |number: usize, random: &mut fastrand::Rng| {
            let key: [u8; 32] = std::array::from_fn(|_| random.u8(..));
            // The ids are long, differ only at the end, and two differ only in case: a codec must compare ids
            // exactly.
            let case = if number.is_multiple_of(2) { "Key" } else { "key" };
            let id = format!("{PREFIX}/{service:04x}-{:02}-{case}", number / 2);
            format!("{id}={}", STANDARD.encode(key))
        };
        let entries: Vec<_> = (0..count).map(|number| entry(number, random)).collect();
        let keyring = Keyring::parse(&entries.join(","), None);
        Self::new(&keyring.expect("the judge writes valid keys"))
    }

    /// The key service for the codec.
    pub fn key_service(&self) -> KeyService {
        KeyService::from_source(self.clone())
    }

    /// From now on, calls for both purposes behave like this.
    pub fn behave(&self, behaviour: Behaviour) {
        let mut state = self.state();
        state.decrypt = behaviour.clone();
        state.encrypt = behaviour;
    }

    /// The next call for this purpose behaves like this.
    pub fn deal_next(&self, purpose: &Purpose, deal: Deal) {
        self.state().behaviour(purpose).next.push_back(deal);
    }

    /// The next call for this purpose stalls, after those that are to fail.
    pub fn stall_next(&self, purpose: &Purpose, stall: Duration) {
        self.deal_next(purpose, Deal { stall: Some(stall), fails: false });
    }

    /// The next calls for this purpose fail.
    pub fn fail_next(&self, purpose: &Purpose, calls: usize) {
        let mut state = self.state();
        let fails = Deal { stall: None, fails: true };
        state.behaviour(purpose).next.extend(std::iter::repeat_n(fails, calls));
    }

    /// Cancels what was set for the next calls.
    pub fn forget_next(&self, purpose: &Purpose) {
        self.state().behaviour(purpose).next.clear();
    }

    /// From now on, this is the key to encrypt with.
    pub fn activate(&self, id: &str) {
        let mut state = self.state();
        let key = state.keys.get(id).cloned().expect("the judge activates a key of the service");
        state.active = key;
    }

    /// From now on, the service does not return this key.
    pub fn revoke(&self, id: &str) {
        self.state().revoked.insert(id.to_owned());
    }

    /// From now on, the service returns it again.
    pub fn restore(&self, id: &str) {
        self.state().revoked.remove(id);
    }

    /// Every key that it has or had.
    pub fn keys(&self) -> DataKeys {
        self.state().keys.clone()
    }

    /// Whether the service hands out this key.
    pub fn hands_out(&self, id: &str) -> bool {
        self.state().hands_out(id)
    }

    /// The calls that started from `since` on.
    pub fn asked_since(&self, since: Instant) -> Vec<Asked> {
        // They are in order, and most are older.
        let state = self.state();
        let late = state.asked.iter().rev().take_while(|asked| asked.at >= since);
        late.cloned().collect()
    }

    /// The calls that came back, oldest first, as `look` sees them.
    pub fn answers<T>(&self, look: impl FnOnce(&[Answered]) -> T) -> T {
        look(&self.state().answered)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hands_out(&self, id: &str) -> bool {
        self.keys.get(id).is_some() && !self.revoked.contains(id)
    }

    /// The keys that the service hands out.
    fn held(&self) -> DataKeys {
        let ids = self.keys.ids().filter(|id| self.hands_out(id));
        ids.filter_map(|id| self.keys.get(id)).cloned().collect()
    }

    fn behaviour(&mut self, purpose: &Purpose) -> &mut Behaviour {
        match purpose {
            Purpose::Encrypt => &mut self.encrypt,
            Purpose::Decrypt(_) => &mut self.decrypt,
        }
    }
}

impl KeySource for Script {
    fn begin(&self, request: &KeyRequest<'_>) -> Deal {
        let mut state = self.state();
        let (stall, fail) = (state.random.f64(), state.random.f64());
        let purpose = Purpose::of(request);
        let behaviour = state.behaviour(&purpose);
        let deal = behaviour.next.pop_front().unwrap_or_else(|| Deal {
            stall: (stall < behaviour.stall_probability).then_some(behaviour.stall),
            fails: fail < behaviour.failure_rate,
        });
        let blocks = request.blocking.then(|| thread::current().id());
        state.asked.push(Asked { at: Instant::now(), purpose, deal, blocks });
        deal
    }

    fn answer(&self, request: &KeyRequest<'_>, deal: Deal) -> Result<DataKey, KeyServiceError> {
        let mut state = self.state();
        let answer = request.answer(deal, &state.active, &state.held());
        let key = answer.as_ref().ok().map(|key| key.id().to_owned());
        state.answered.push(Answered { at: Instant::now(), purpose: Purpose::of(request), key });
        answer
    }
}
