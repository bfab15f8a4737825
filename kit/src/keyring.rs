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
        let mut keys = DataKeys::default();
        let mut first = None;
        let entries = text
            .split(|c: char| c == ',' || c.is_whitespace())
            // A byte-order mark may be at the start of a file, or in the middle if two files were
            // concatenated.
            .map(|entry| entry.trim_start_matches(BYTE_ORDER_MARK))
            .filter(|entry| !entry.is_empty());
        for (entry, text) in (1..).zip(entries) {
            let key = parse_entry(entry, text)?;
            first.get_or_insert_with(|| key.clone());
            if let Some(doubled) = keys.insert(key) {
                return Err(KeyringError::Doubled { entry, id: doubled.id().to_owned() });
            }
        }
        let first = first.ok_or(KeyringError::Empty)?;
        let active = match active {
            None => first,
            Some(id) => keys.get(id).cloned().ok_or_else(|| KeyringError::UnknownActive {
                active: id.to_owned(),
                held: keys.to_string(),
            })?,
        };
        Ok(Self { keys, active, test_key: false })
    }

    /// Reads the keyring that the environment names: [`KEYS_VARIABLE`] or [`KEY_FILE_VARIABLE`],
    /// with [`ACTIVE_KEY_VARIABLE`]. `None` when neither is set.
    ///
    /// # Errors
    /// See [`KeyringError`].
    pub fn from_env() -> Result<Option<Self>, KeyringError> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        let text = match (set(KEYS_VARIABLE), set(KEY_FILE_VARIABLE)) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err(KeyringError::Both),
            (Some(keys), None) => Zeroizing::new(keys.to_string_lossy().into_owned()),
            (None, Some(path)) => read_key_file(path.into())?,
        };
        let active = set(ACTIVE_KEY_VARIABLE).map(|id| id.to_string_lossy().into_owned());
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

fn parse_entry(entry: usize, text: &str) -> Result<DataKey, KeyringError> {
    if let Some(character) = text.chars().find(|character| is_invisible(*character)) {
        return Err(KeyringError::Invisible { entry, character });
    }
    let (id, key) = text
        .split_once('=')
        .filter(|(id, _)| !id.is_empty())
        .ok_or(KeyringError::NotAnEntry { entry })?;
    let id = id.to_owned();
    // Large enough that base64 never moves the key to a larger buffer and leaves a copy behind. The decoder's
    // own message would quote a character of the key, so it is dropped.
    let mut decoded = Zeroizing::new(Vec::with_capacity(key.len()));
    if STANDARD.decode_vec(key, &mut decoded).is_err() {
        return Err(KeyringError::NotBase64 { entry, id });
    }
    let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
    if decoded.len() != KEY_LENGTH {
        return Err(KeyringError::WrongLength { entry, id, length: decoded.len() });
    }
    bytes.copy_from_slice(&decoded);
    Ok(DataKey(Arc::new(Inner { id, bytes })))
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
