//! Makes wrapped keyrings: of data keys that there are, or of new ones.

use super::{blocking::BlockingClient, error::KmsError, wire::Context};
use crate::{Keyring, WrappedKeyring};

/// The name of the entry that binds a wrapped key to its id.
const KEY_ID: &str = "codec-key-id";

/// The context of a data key. Under another id it does not decrypt, so that no one who can write a keyring
/// can exchange its keys.
pub(super) fn context(id: &str) -> Context {
    Context::from([(KEY_ID.to_owned(), id.to_owned())])
}

/// A data key that could not be wrapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// The id can't stand in a keyring.
    #[error("{0:?} can't be the id of a key: it must have no =, no comma and no white space")]
    WrongId(String),
    /// The service refused, or gave no answer.
    #[error("the key {id:?} can't be wrapped: {source}")]
    Kms {
        /// The key's id.
        id: String,
        /// Why.
        source: KmsError,
    },
}

/// Encrypts each key of a keyring with the KMS key of that id, ARN or alias. The ids stay, so what they
/// encrypted can be decrypted. A key that is public, as [`Keyring::test_key`] is, stays public.
///
/// # Errors
/// See [`WrapError`].
pub fn wrap(
    client: &BlockingClient,
    kms_key_id: &str,
    keyring: &Keyring,
) -> Result<WrappedKeyring, WrapError> {
    let active = keyring.active();
    let encrypt = |key: &crate::DataKey| {
        let id = key.id();
        let ciphertext = client.encrypt(kms_key_id, key.bytes(), &context(id));
        ciphertext.map_err(|source| WrapError::Kms { id: id.to_owned(), source })
    };
    let mut wrapped = WrappedKeyring::with_key(active.id(), encrypt(active)?);
    for id in keyring.keys().ids().filter(|id| *id != active.id()) {
        if let Some(key) = keyring.keys().get(id) {
            wrapped.insert(id, encrypt(key)?);
        }
    }
    Ok(wrapped)
}

/// A keyring with one new data key, which KMS makes. The key itself is wiped at once.
///
/// # Errors
/// See [`WrapError`].
pub fn new_wrapped_key(
    client: &BlockingClient,
    kms_key_id: &str,
    id: &str,
) -> Result<WrappedKeyring, WrapError> {
    if id.is_empty()
        || id.contains(['=', ','])
        || id.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err(WrapError::WrongId(id.to_owned()));
    }
    let generated = client.generate_data_key(kms_key_id, &context(id));
    let generated = generated.map_err(|source| WrapError::Kms { id: id.to_owned(), source })?;
    Ok(WrappedKeyring::with_key(id, generated.ciphertext))
}
