//! Keyrings whose data keys are encrypted by a key management service: it can be asked to decrypt one, and no
//! one who reads the keyring can do so without it.

use std::{collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    Keyring, KeyringError,
    keyring::{TextFromEnv, WRAPPED, entries, parse_entries, text_from_env},
};

/// Wrapped data keys by id, one of them active. Its `Display` is the entries, `id=kms:base64`, the active one
/// first: they are no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKeyring {
    keys: BTreeMap<String, Vec<u8>>,
    active: String,
}

impl WrappedKeyring {
    /// Reads `id=kms:base64` entries, separated by commas or white space. The first is active unless `active`
    /// names another.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn parse(text: &str, active: Option<&str>) -> Result<Self, KeyringError> {
        let (keys, active) = parse_entries(text, active, parse_ciphertext)?;
        Ok(Self { keys, active })
    }

    /// A keyring with one key, which is active.
    #[cfg(feature = "kms-blocking")]
    pub(crate) fn with_key(id: &str, ciphertext: Vec<u8>) -> Self {
        Self { keys: [(id.to_owned(), ciphertext)].into(), active: id.to_owned() }
    }

    #[cfg(feature = "kms-blocking")]
    pub(crate) fn insert(&mut self, id: &str, ciphertext: Vec<u8>) {
        self.keys.insert(id.to_owned(), ciphertext);
    }

    /// The id of the key to encrypt with.
    pub fn active(&self) -> &str {
        &self.active
    }

    /// The ids, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// A data key as the key management service encrypted it.
    pub fn ciphertext(&self, id: &str) -> Option<&[u8]> {
        self.keys.get(id).map(Vec::as_slice)
    }
}

impl fmt::Display for WrappedKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_active = |id: &str| id == self.active;
        let active = self.keys.iter().filter(|(id, _)| is_active(id));
        let others = self.keys.iter().filter(|(id, _)| !is_active(id));
        for (at, (id, ciphertext)) in active.chain(others).enumerate() {
            let separator = if at > 0 { "," } else { "" };
            write!(f, "{separator}{id}={WRAPPED}{}", STANDARD.encode(ciphertext))?;
        }
        Ok(())
    }
}

impl fmt::Debug for WrappedKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKeyring")
            .field("ids", &self.keys.keys())
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

fn parse_ciphertext(entry: usize, id: &str, key: &str) -> Result<Vec<u8>, KeyringError> {
    let id = id.to_owned();
    let Some(key) = key.strip_prefix(WRAPPED) else {
        return Err(KeyringError::NotWrapped { entry, id });
    };
    match STANDARD.decode(key) {
        Ok(ciphertext) if !ciphertext.is_empty() => Ok(ciphertext),
        _ => Err(KeyringError::NotBase64 { entry, id }),
    }
}

/// A keyring of either kind. One that has a wrapped entry must have no other.
#[derive(Clone, Debug)]
pub enum AnyKeyring {
    /// The keys themselves.
    Plain(Keyring),
    /// Keys that a key management service has to unwrap.
    Wrapped(WrappedKeyring),
}

impl AnyKeyring {
    /// Reads entries as [`Keyring::parse`] or [`WrappedKeyring::parse`] does.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn parse(text: &str, active: Option<&str>) -> Result<Self, KeyringError> {
        let is_wrapped =
            |entry: &str| entry.split_once('=').is_some_and(|(_, key)| key.starts_with(WRAPPED));
        match entries(text).any(is_wrapped) {
            true => WrappedKeyring::parse(text, active).map(Self::Wrapped),
            false => Keyring::parse(text, active).map(Self::Plain),
        }
    }

    /// Reads the keyring that the environment names, as [`Keyring::from_env`] does. `None` when it names
    /// none.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn from_env() -> Result<Option<Self>, KeyringError> {
        let Some(TextFromEnv { text, active }) = text_from_env()? else { return Ok(None) };
        Self::parse(&text, active.as_deref()).map(Some)
    }

    /// Whether this is [`Keyring::test_key`], which is public.
    pub fn is_test_key(&self) -> bool {
        matches!(self, Self::Plain(keyring) if keyring.is_test_key())
    }
}
