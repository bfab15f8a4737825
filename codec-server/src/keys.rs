//! The worker's keys: from the same variables, through the same key service, and read again when their file
//! changes. Wrapped keys are unwrapped by the service that the `AWS_*` variables name.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use codec_kit::{
    AnyCodec, AnyKeyring, DataKey, Deal, KeyClient, KeyRequest, KeyService, KeyServiceError,
    Keyring, KeyringError,
    kms::{KmsKeys, Settings, SettingsError},
};
use futures::{FutureExt, future::BoxFuture};
use solutions::Step;

/// Why keys can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// They can't be read.
    #[error("the data keys can't be used: {0}")]
    Keyring(#[from] KeyringError),
    /// They are wrapped, and the variables do not say how KMS is to be asked.
    #[error("KMS can't be asked for the data keys: {0}")]
    Kms(#[from] SettingsError),
    /// It is the public key, where others than this machine's users can connect.
    #[error(
        "the key is the Temporal samples' test key, which is public, and others than this machine's \
         users can reach this server. Give it the worker's keys: CODEC_KEYS, or CODEC_KEY_FILE with a file of \
         lines such as my-key=$(head -c 32 /dev/urandom | base64), and CODEC_ACTIVE_KEY"
    )]
    Public,
}

/// A keyring that can be replaced while it is in use. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Keys {
    current: Arc<RwLock<Current>>,
    public_allowed: bool,
}

/// The keys of this moment.
#[derive(Clone, Debug)]
enum Current {
    /// The keys themselves.
    Plain(Keyring),
    /// Keys that a call to KMS unwraps, each time.
    Wrapped(KmsKeys),
}

impl Keys {
    /// The keys of this process' environment; the public test key where there are none.
    ///
    /// # Errors
    /// When they can't be read, they are wrapped and KMS can't be asked, or the key is public and that is not
    /// allowed.
    pub fn from_env(public_allowed: bool) -> Result<Self, KeysError> {
        let current = Arc::new(RwLock::new(read(public_allowed)?));
        Ok(Self { current, public_allowed })
    }

    /// Reads them again. Returns a description of the keys, without the keys.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env). Then they stay as they are.
    pub fn read_again(&self) -> Result<String, KeysError> {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = read(self.public_allowed)?;
        Ok(self.to_string())
    }

    /// Whether the key to encrypt with is the public test key.
    pub fn are_public(&self) -> bool {
        matches!(self.current(), Current::Plain(keyring) if keyring.is_test_key())
    }

    /// The worker's codec with these keys: it asks the key service once for each key in `lifetime`. So a key that
    /// is removed from its file may be used for so long.
    pub fn codec(&self, lifetime: Duration) -> AnyCodec {
        let service = KeyService::from_client(self.clone()).with_key_lifetime(lifetime);
        Step::BeyondAsync.codec(service)
    }

    fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The ids.
impl std::fmt::Display for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.current() {
            Current::Plain(keyring) => {
                write!(f, "{} (encrypts with {})", keyring.keys(), keyring.active().id())
            }
            Current::Wrapped(keys) => {
                let keyring = keys.keyring();
                let ids: Vec<_> = keyring.ids().collect();
                let active = keyring.active();
                write!(f, "{} (wrapped; encrypts with {active})", ids.join(", "))
            }
        }
    }
}

impl KeyClient for Keys {
    fn fetch_blocking(&self, request: &KeyRequest<'_>) -> Result<DataKey, KeyServiceError> {
        match self.current() {
            Current::Plain(keyring) => answer(request, &keyring),
            Current::Wrapped(keys) => keys.fetch_blocking(request),
        }
    }

    fn fetch<'a>(
        &'a self,
        request: &'a KeyRequest<'a>,
    ) -> BoxFuture<'a, Result<DataKey, KeyServiceError>> {
        async move {
            match self.current() {
                Current::Plain(keyring) => answer(request, &keyring),
                Current::Wrapped(keys) => keys.fetch(request).await,
            }
        }
        .boxed()
    }
}

fn answer(request: &KeyRequest<'_>, keyring: &Keyring) -> Result<DataKey, KeyServiceError> {
    request.answer(Deal::default(), keyring.active(), keyring.keys())
}

fn read(public_allowed: bool) -> Result<Current, KeysError> {
    let test_key = || AnyKeyring::Plain(Keyring::test_key());
    match AnyKeyring::from_env()?.unwrap_or_else(test_key) {
        AnyKeyring::Plain(keyring) if keyring.is_test_key() && !public_allowed => {
            Err(KeysError::Public)
        }
        AnyKeyring::Plain(keyring) => Ok(Current::Plain(keyring)),
        AnyKeyring::Wrapped(keyring) => {
            Ok(Current::Wrapped(KmsKeys::connect(keyring, &Settings::from_env()?)?))
        }
    }
}
