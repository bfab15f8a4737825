//! Keys that are made for one experiment, of which the starter and the worker encrypt with different ones.

use anyhow::anyhow;
use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{ACTIVE_KEY_VARIABLE, KEY_FILE_VARIABLE, KEYS_VARIABLE, Keyring};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::process::Command;

/// Two keys. The starter and the worker have both: each encrypts with its own, and decrypts with either.
#[derive(Clone)]
pub struct Keys {
    /// As [`KEYS_VARIABLE`] has them.
    entries: String,
    /// What the starter encrypts with.
    pub starter: Keyring,
    /// What the worker encrypts with.
    pub worker: Keyring,
}

impl Keys {
    /// Two keys that are used nowhere else.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> anyhow::Result<Self> {
        let entries =
            [STARTER, WORKER].map(|id| Ok(format!("{id}={}", STANDARD.encode(random::<32>()?))));
        let entries = entries.into_iter().collect::<anyhow::Result<Vec<_>>>()?.join(",");
        let [starter, worker] = [STARTER, WORKER].map(|id| Keyring::parse(&entries, Some(id)));
        Ok(Self { starter: starter?, worker: worker?, entries })
    }

    /// Hands them to a worker.
    pub fn give_to(&self, worker: &mut Command) {
        worker
            .env(KEYS_VARIABLE, &self.entries)
            .env(ACTIVE_KEY_VARIABLE, WORKER)
            .env_remove(KEY_FILE_VARIABLE);
    }
}

/// The id of the starter's key.
const STARTER: &str = "starter";
/// The id of the worker's key.
const WORKER: &str = "worker";

/// Random bytes.
///
/// # Errors
/// When the system has none.
pub fn random<const LENGTH: usize>() -> anyhow::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow!("the system has no random numbers"))?;
    Ok(bytes)
}
