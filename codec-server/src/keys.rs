//! The worker's keys: from the same variables, through the same key service, and read again when their file
//! changes.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use codec_kit::{
    AnyCodec, DataKey, Deal, KeyRequest, KeyService, KeyServiceError, KeySource, Keyring,
    KeyringError,
};
use solutions::Step;

/// Why keys can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// They can't be read.
    #[error("the data keys can't be used: {0}")]
    Keyring(#[from] KeyringError),
    /// It is the public key, where others than this machine's users can connect.
    #[error(
        "the key is the Temporal samples' test key, which is public, and this server can be reached \
         from other machines. Give it the worker's keys: CODEC_KEYS, or CODEC_KEY_FILE with a file of \
         lines such as my-key=$(head -c 32 /dev/urandom | base64), and CODEC_ACTIVE_KEY"
    )]
    Public,
}

/// A keyring that can be replaced while it is in use. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Keys {
    keyring: Arc<RwLock<Keyring>>,
    public_allowed: bool,
}

impl Keys {
    /// The keys of this process' environment; the public test key where there are none.
    ///
    /// # Errors
    /// When they can't be read, or the key is public and that is not allowed.
    pub fn from_env(public_allowed: bool) -> Result<Self, KeysError> {
        let keyring = Arc::new(RwLock::new(read(public_allowed)?));
        Ok(Self { keyring, public_allowed })
    }

    /// Reads them again. Returns a description of the keys, without the keys.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env). Then they stay as they are.
    pub fn read_again(&self) -> Result<String, KeysError> {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = read(self.public_allowed)?;
        Ok(self.to_string())
    }

    /// Whether the key to encrypt with is the public test key.
    pub fn are_public(&self) -> bool {
        self.keyring().is_test_key()
    }

    /// The worker's codec with these keys: it asks the key service once for each key in `lifetime`. So a key that
    /// is removed from its file may be used for so long.
    pub fn codec(&self, lifetime: Duration) -> AnyCodec {
        let service = KeyService::from_source(self.clone()).with_key_lifetime(lifetime);
        Step::BeyondAsync.codec(service)
    }

    fn keyring(&self) -> Keyring {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The ids.
impl std::fmt::Display for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keyring = self.keyring();
        write!(f, "{} (encrypts with {})", keyring.keys(), keyring.active().id())
    }
}

impl KeySource for Keys {
    fn begin(&self, _: &KeyRequest<'_>) -> Deal {
        Deal::default()
    }

    fn answer(&self, request: &KeyRequest<'_>, deal: Deal) -> Result<DataKey, KeyServiceError> {
        let keyring = self.keyring();
        request.answer(deal, keyring.active(), keyring.keys())
    }
}

fn read(public_allowed: bool) -> Result<Keyring, KeysError> {
    let keyring = Keyring::from_env()?.unwrap_or_else(Keyring::test_key);
    match keyring.is_test_key() && !public_allowed {
        true => Err(KeysError::Public),
        false => Ok(keyring),
    }
}
