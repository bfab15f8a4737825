//! Data keys by id: one active, to seal with; the others to open what was sealed before a rotation.

use std::{collections::BTreeMap, env, fmt, fs, io, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::aead::{LessSafeKey, UnboundKey};
use zeroize::Zeroizing;

use crate::payload::ALGORITHM;

/// Keys as `id=base64`, separated by commas or white space. The first is active unless
/// [`ACTIVE_KEY_VARIABLE`] names another.
pub const KEYS_VARIABLE: &str = "CODEC_KEYS";
/// The path of a file with one `id=base64` a line; empty lines and lines from `#` on are skipped.
pub const KEY_FILE_VARIABLE: &str = "CODEC_KEY_FILE";
/// The id of the key to seal with.
pub const ACTIVE_KEY_VARIABLE: &str = "CODEC_ACTIVE_KEY";

/// What the key of an entry starts with if it is [wrapped](crate::WrappedKeyring). The colon is no letter of
/// base64.
pub(crate) const WRAPPED: &str = "kms:";

const KEY_LENGTH: usize = 32;

/// The byte-order mark that some editors write before a file's first line.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// One data key and its id. Cloning shares it; the bytes are wiped when the last clone is dropped.
#[derive(Clone)]
pub struct DataKey(Arc<Inner>);

struct Inner {
    id: String,
    bytes: Zeroizing<[u8; KEY_LENGTH]>,
}

impl DataKey {
    /// A key of these bytes. `None` unless they are 32.
    pub(crate) fn from_bytes(id: &str, bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_LENGTH]);
        if bytes.len() != KEY_LENGTH {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(Arc::new(Inner { id: id.to_owned(), bytes: key })))
    }

    /// The key itself, for a key management service to encrypt.
    #[cfg(feature = "kms-blocking")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &*self.0.bytes
    }

    /// The id that goes into each sealed payload's metadata.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The key, expanded for one use. ring does not wipe expanded keys, so none is kept: expanding it again
    /// costs some hundred nanoseconds a call, and no copy on the heap outlives [`Zeroizing`].
    pub(crate) fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(ALGORITHM, &*self.0.bytes)
            .expect("32 bytes, checked when the key was read, are a key of AES-256");
        LessSafeKey::new(key)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("id", &self.0.id).finish_non_exhaustive()
    }
}

/// Why a keyring could not be read. Names the entry and the reason, but never shows the entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// There is no entry at all.
    #[error("there is no key: write at least one as id=base64")]
    Empty,
    /// An entry has no `=`, or nothing before it.
    #[error("entry {entry} is not of the form id=base64")]
    NotAnEntry {
        /// Which entry, counted from 1.
        entry: usize,
    },
    /// An entry has an invisible character, as files from editors and web pages sometimes do.
    #[error(
        "entry {entry} has an invisible character, U+{:04X}: delete it, or type the entry again",
        u32::from(*character)
    )]
    Invisible {
        /// Which entry, counted from 1.
        entry: usize,
        /// The character. No key has one, so it is no part of the secret.
        character: char,
    },
    /// An entry's key is not base64.
    #[error("entry {entry}, key id {id:?}: what follows the first = is not valid base64")]
    NotBase64 {
        /// Which entry, counted from 1.
        entry: usize,
        /// Its id.
        id: String,
    },
    /// An entry's key has the wrong length.
    #[error("entry {entry}, key id {id:?}: the key has {length} bytes, AES-256 needs {KEY_LENGTH}")]
    WrongLength {
        /// Which entry, counted from 1.
        entry: usize,
        /// Its id.
        id: String,
        /// The length found, in bytes.
        length: usize,
    },
    /// An entry's key is encrypted, where plain keys are expected.
    #[error(
        "entry {entry}, key id {id:?}: the key is wrapped by a key management service, so only that can \
         unwrap it: use this keyring with one"
    )]
    Wrapped {
        /// Which entry, counted from 1.
        entry: usize,
        /// Its id.
        id: String,
    },
    /// An entry's key is plain, where wrapped ones are expected.
    #[error(
        "entry {entry}, key id {id:?}: the key is not wrapped (id=kms:base64): wrap it, or put it in a keyring \
         without wrapped keys"
    )]
    NotWrapped {
        /// Which entry, counted from 1.
        entry: usize,
        /// Its id.
        id: String,
    },
    /// Two entries have the same id.
    #[error(
        "entry {entry}: key id {id:?} occurs twice, so it is not clear which of the two keys to use"
    )]
    Doubled {
        /// The later entry, counted from 1.
        entry: usize,
        /// The id.
        id: String,
    },
    /// The active id is not in the keyring.
    #[error("the active key id {active:?} is not in the keyring, which holds {held}")]
    UnknownActive {
        /// The id asked for.
        active: String,
        /// The ids there are.
        held: String,
    },
    /// There is an active id, and there are no keys.
    #[error(
        "{ACTIVE_KEY_VARIABLE} names the key id {0:?}, but there are no keys: set {KEYS_VARIABLE} or \
         {KEY_FILE_VARIABLE}"
    )]
    ActiveAlone(String),
    /// The key file can't be read.
    #[error("can't read the key file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The key file is UTF-16, as some programs on Windows write it.
    #[error("the key file {} is UTF-16: save it as UTF-8", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// Keys are given twice.
    #[error("both {KEYS_VARIABLE} and {KEY_FILE_VARIABLE} are set: unset one of them")]
    Both,
}

/// Data keys by id, to open with. Its `Display` lists the ids.
#[derive(Clone, Default)]
pub struct DataKeys(BTreeMap<String, DataKey>);

impl DataKeys {
    /// Adds a key; returns the one that had its id before.
    pub fn insert(&mut self, key: DataKey) -> Option<DataKey> {
        self.0.insert(key.id().to_owned(), key)
    }

    /// The key of that id.
    pub fn get(&self, id: &str) -> Option<&DataKey> {
        self.0.get(id)
    }

    /// The ids, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl FromIterator<DataKey> for DataKeys {
    fn from_iter<I: IntoIterator<Item = DataKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.id().to_owned(), key)).collect())
    }
}

impl fmt::Display for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        f.write_str(&self.ids().collect::<Vec<_>>().join(", "))
    }
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// Data keys by id, one of them active.
#[derive(Clone)]
pub struct Keyring {
    keys: DataKeys,
    active: DataKey,
    test_key: bool,
}

impl Keyring {
    /// The samples' well-known key: **public**, for a server on this machine only.
    pub fn test_key() -> Self {
        let active = DataKey(Arc::new(Inner {
            id: "test-key-id".to_owned(),
            bytes: Zeroizing::new(*b"test-key-test-key-test-key-test!"),
        }));
        Self { keys: [active.clone()].into_iter().collect(), active, test_key: true }
    }

    /// Reads `id=base64` entries, separated by commas or white space. The first is active unless
    /// `active` names another. Byte-order marks are skipped.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn parse(text: &str, active: Option<&str>) -> Result<Self, KeyringError> {
        let (keys, active) = parse_entries(text, active, parse_key)?;
        let keys: DataKeys = keys.into_values().collect();
        let active = keys.get(&active).cloned().ok_or(KeyringError::Empty)?;
        Ok(Self { keys, active, test_key: false })
    }

    /// Reads the keyring that the environment names: [`KEYS_VARIABLE`] or [`KEY_FILE_VARIABLE`],
    /// with [`ACTIVE_KEY_VARIABLE`]. `None` when neither is set.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn from_env() -> Result<Option<Self>, KeyringError> {
        let Some(TextFromEnv { text, active }) = text_from_env()? else { return Ok(None) };
        Self::parse(&text, active.as_deref()).map(Some)
    }

    /// The key to seal with.
    pub fn active(&self) -> &DataKey {
        &self.active
    }

    /// All keys, to open with.
    pub fn keys(&self) -> &DataKeys {
        &self.keys
    }

    /// Whether this is [`Keyring::test_key`], which is public.
    pub fn is_test_key(&self) -> bool {
        self.test_key || self.active.0.bytes == Self::test_key().active.0.bytes
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("ids", &self.keys)
            .field("active", &self.active.id())
            .finish_non_exhaustive()
    }
}

/// A keyring that is not parsed yet.
pub(crate) struct TextFromEnv {
    pub text: Zeroizing<String>,
    /// The id of the active key, if one is named.
    pub active: Option<String>,
}

/// What the environment says.
pub(crate) fn text_from_env() -> Result<Option<TextFromEnv>, KeyringError> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let active = set(ACTIVE_KEY_VARIABLE).map(|id| id.to_string_lossy().into_owned());
    let text = match (set(KEYS_VARIABLE), set(KEY_FILE_VARIABLE)) {
        (None, None) => return active.map_or(Ok(None), |id| Err(KeyringError::ActiveAlone(id))),
        (Some(_), Some(_)) => return Err(KeyringError::Both),
        (Some(keys), None) => Zeroizing::new(keys.to_string_lossy().into_owned()),
        (None, Some(path)) => read_key_file(path.into())?,
    };
    Ok(Some(TextFromEnv { text, active }))
}

/// The entries of a text, without byte-order marks. There may be one at the start of a file, or in the middle
/// if two files were concatenated.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace())
        .map(|entry| entry.trim_start_matches(BYTE_ORDER_MARK))
        .filter(|entry| !entry.is_empty())
}

/// Entries by id, and the id of the active one.
type Entries<T> = (BTreeMap<String, T>, String);

/// Reads entries, each with `parse`, which gets the entry's number, its id and what follows the first `=`.
pub(crate) fn parse_entries<T>(
    text: &str,
    active: Option<&str>,
    parse: impl Fn(usize, &str, &str) -> Result<T, KeyringError>,
) -> Result<Entries<T>, KeyringError> {
    let (mut keys, mut first) = (BTreeMap::new(), None);
    for (entry, text) in (1..).zip(entries(text)) {
        if let Some(character) = text.chars().find(|character| is_invisible(*character)) {
            return Err(KeyringError::Invisible { entry, character });
        }
        // With nothing after the =, the entry may be a key that lost its id: base64 of 32 bytes ends so.
        let (id, key) = text
            .split_once('=')
            .filter(|(id, key)| !id.is_empty() && !key.is_empty())
            .ok_or(KeyringError::NotAnEntry { entry })?;
        let key = parse(entry, id, key)?;
        first.get_or_insert(id);
        if keys.insert(id.to_owned(), key).is_some() {
            return Err(KeyringError::Doubled { entry, id: id.to_owned() });
        }
    }
    let active = active.or(first).ok_or(KeyringError::Empty)?;
    match keys.contains_key(active) {
        true => Ok((keys, active.to_owned())),
        false if keys.is_empty() => Err(KeyringError::Empty),
        false => {
            let held = keys.into_keys().collect::<Vec<_>>().join(", ");
            Err(KeyringError::UnknownActive { active: active.to_owned(), held })
        }
    }
}

fn parse_key(entry: usize, id: &str, key: &str) -> Result<DataKey, KeyringError> {
    let id = id.to_owned();
    if key.starts_with(WRAPPED) {
        return Err(KeyringError::Wrapped { entry, id });
    }
    // Large enough that base64 never moves the key to a larger buffer and leaves a copy behind. The decoder's
    // own message would quote a character of the key, so it is dropped.
    let mut decoded = Zeroizing::new(Vec::with_capacity(key.len()));
    if STANDARD.decode_vec(key, &mut decoded).is_err() {
        return Err(KeyringError::NotBase64 { entry, id });
    }
    DataKey::from_bytes(&id, &decoded).ok_or(KeyringError::WrongLength {
        entry,
        id,
        length: decoded.len(),
    })
}

/// Control characters, and those that Unicode lets a program show as nothing ("default ignorable").
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

fn read_key_file(path: PathBuf) -> Result<Zeroizing<String>, KeyringError> {
    let bytes = match fs::read(&path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(source) => return Err(KeyringError::File { path, source }),
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(KeyringError::Utf16 { path });
    }
    let text = match str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            return Err(KeyringError::File { path, source });
        }
    };
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    Ok(Zeroizing::new(lines.collect::<Vec<_>>().join("\n")))
}
