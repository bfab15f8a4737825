//! Data keys that a key management service unwraps, one call each.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use zeroize::Zeroizing;

use super::{
    asynchronous::AsyncClient,
    blocking::BlockingClient,
    error::KmsError,
    settings::{Settings, SettingsError},
    wire::{Call, Purpose},
    wrap::context,
};
use crate::{
    DataKey, KeyClient, KeyRequest, KeyService, KeyServiceError, WrappedKeyring,
    key_service::no_such_key,
};

/// The keys of a [`WrappedKeyring`]. Each call decrypts one with KMS, and keeps nothing.
#[derive(Clone, Debug)]
pub struct KmsKeys {
    keyring: WrappedKeyring,
    blocking: BlockingClient,
    asynchronous: AsyncClient,
}

impl KmsKeys {
    /// Keys that these clients unwrap.
    pub fn new(
        keyring: WrappedKeyring,
        blocking: BlockingClient,
        asynchronous: AsyncClient,
    ) -> Self {
        Self { keyring, blocking, asynchronous }
    }

    /// Keys that AWS KMS unwraps, or a service that speaks its protocol.
    ///
    /// # Errors
    /// When TLS can't be set up. No call is made.
    pub fn connect(keyring: WrappedKeyring, settings: &Settings) -> Result<Self, SettingsError> {
        let (blocking, asynchronous) =
            (BlockingClient::new(settings)?, AsyncClient::new(settings)?);
        Ok(Self::new(keyring, blocking, asynchronous))
    }

    /// The keys as they were wrapped.
    pub fn keyring(&self) -> &WrappedKeyring {
        &self.keyring
    }

    /// The id of the key that is wanted, and the call that unwraps it.
    fn call<'a>(&'a self, request: &KeyRequest<'a>) -> Result<(&'a str, Call), KeyServiceError> {
        let (id, purpose) = match request.key_id {
            None => (self.keyring.active(), Purpose::Encrypt),
            Some(id) => (id, Purpose::Decrypt),
        };
        let ciphertext =
            self.keyring.ciphertext(id).ok_or_else(|| no_such_key(id, self.keyring.ids()))?;
        Ok((id, Call::decrypt(ciphertext, &context(id)).with_purpose(purpose)))
    }
}

impl KeyClient for KmsKeys {
    fn fetch_blocking(&self, request: &KeyRequest<'_>) -> Result<DataKey, KeyServiceError> {
        let (id, call) = self.call(request)?;
        data_key(request, id, &call, self.blocking.plaintext(&call))
    }

    fn fetch<'a>(
        &'a self,
        request: &'a KeyRequest<'a>,
    ) -> BoxFuture<'a, Result<DataKey, KeyServiceError>> {
        async move {
            let (id, call) = self.call(request)?;
            data_key(request, id, &call, self.asynchronous.plaintext(&call).await)
        }
        .boxed()
    }
}

fn data_key(
    request: &KeyRequest<'_>,
    id: &str,
    call: &Call,
    plaintext: Result<Zeroizing<Vec<u8>>, KmsError>,
) -> Result<DataKey, KeyServiceError> {
    let key = plaintext.and_then(|plaintext| {
        let key = DataKey::from_bytes(id, &plaintext);
        key.ok_or_else(|| call.bad("the unwrapped key has not the 32 bytes of AES-256"))
    });
    key.map_err(|error| KeyServiceError::Client {
        key_id: id.to_owned(),
        encrypting: request.key_id.is_none(),
        reason: Arc::new(error),
    })
}

impl KeyService {
    /// A service that unwraps the keys of `keyring` with AWS KMS, or with a service that speaks its protocol.
    ///
    /// # Errors
    /// When TLS can't be set up. No call is made.
    pub fn with_kms(keyring: WrappedKeyring, settings: &Settings) -> Result<Self, SettingsError> {
        KmsKeys::connect(keyring, settings).map(Self::from_client)
    }
}
