//! The keys of the service, and the form of what they encrypt.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

/// The alias, without `alias/`, of the key that is there from the start.
pub const DEFAULT_ALIAS: &str = "workshop";

/// The first byte of each ciphertext.
const VERSION: u8 = 1;
const KEY_LENGTH: usize = 32;
const ID_LENGTH: usize = 16;
/// Version, key id, nonce.
const HEADER_LENGTH: usize = 1 + ID_LENGTH + NONCE_LENGTH;
const NONCE_LENGTH: usize = NONCE_LEN;
/// A key file is a few lines.
const LARGEST_FILE: u64 = 64 * 1024;

/// One key. Its bytes never leave it, and are wiped when it is dropped.
pub(crate) struct Key {
    id: Uuid,
    alias: String,
    bytes: Zeroizing<[u8; KEY_LENGTH]>,
    created: Timestamp,
    enabled: AtomicBool,
}

/// The keys of a service.
pub struct Keys(Vec<Key>);

/// Why keys can't be used. Names the line, and never quotes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The system gives no random numbers.
    #[error("the system's random generator failed: no key can be made")]
    NoRandomness,
    /// The file can't be read or written.
    #[error("the key file {} can't be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A line is no `alias=base64`.
    #[error("line {0} of the keys is not of the form alias=base64")]
    NotAnEntry(usize),
    /// An alias has characters that KMS does not allow.
    #[error("line {0} of the keys: an alias has letters, digits, / _ and - only, and at most 250")]
    WrongAlias(usize),
    /// The key has the wrong length, or is not base64.
    #[error("line {0} of the keys: what follows the first = is not 32 bytes in base64")]
    WrongKey(usize),
    /// An alias occurs twice.
    #[error("line {line} of the keys: the alias {alias} occurs twice")]
    Doubled {
        /// The later line.
        line: usize,
        /// The alias.
        alias: String,
    },
    /// There is no key of an alias.
    #[error("there is no key with the alias {0}")]
    Unknown(String),
    /// There is no line with a key.
    #[error("there is no key: write at least one line alias=base64, such as workshop=…")]
    Empty,
}

/// What a ciphertext can't be decrypted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CiphertextError {
    /// It is damaged, or has another encryption context.
    Invalid,
    /// It names a key that is not here.
    NoSuchKey,
}

impl Keys {
    /// One key with [`DEFAULT_ALIAS`], which is gone when the service stops.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random() -> Result<Self, KeysError> {
        Ok(Self(vec![Key::new(DEFAULT_ALIAS, random_bytes()?, Timestamp::now())]))
    }

    /// The keys of a text with one `alias=base64` a line. Empty lines and lines from `#` on are skipped. The
    /// same text gives the same ids, so a service that is started again decrypts what it encrypted before.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        Self::parse_made(text, Timestamp::now())
    }

    fn parse_made(text: &str, created: Timestamp) -> Result<Self, KeysError> {
        let mut keys: Vec<Key> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            let (alias, encoded) = text.split_once('=').ok_or(KeysError::NotAnEntry(line))?;
            if !is_alias(alias) {
                return Err(KeysError::WrongAlias(line));
            }
            // Large enough that base64 never moves the key and leaves a copy behind.
            let mut decoded = Zeroizing::new(Vec::with_capacity(encoded.len()));
            let is_base64 = STANDARD.decode_vec(encoded, &mut decoded).is_ok();
            if !is_base64 || decoded.len() != KEY_LENGTH {
                return Err(KeysError::WrongKey(line));
            }
            if keys.iter().any(|key| key.alias == alias) {
                return Err(KeysError::Doubled { line, alias: alias.to_owned() });
            }
            let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
            bytes.copy_from_slice(&decoded);
            keys.push(Key::new(alias, bytes, created));
        }
        match keys.is_empty() {
            true => Err(KeysError::Empty),
            false => Ok(Self(keys)),
        }
    }

    /// The keys of a file. If the file does not exist, one key is made and kept there, readable by its owner
    /// only.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn from_file(path: &Path) -> Result<Self, KeysError> {
        let wrong = |source| KeysError::File { path: path.to_owned(), source };
        match fs::metadata(path) {
            Ok(found) if found.len() > LARGEST_FILE => {
                Err(wrong(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 KiB")))
            }
            Ok(found) => {
                let created = found.modified().unwrap_or_else(|_| SystemTime::now());
                let text = Zeroizing::new(fs::read_to_string(path).map_err(wrong)?);
                Self::parse_made(&text, created.try_into().unwrap_or_else(|_| Timestamp::now()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut line = Zeroizing::new(String::with_capacity(128));
                line.push_str(DEFAULT_ALIAS);
                line.push('=');
                STANDARD.encode_string(*random_bytes()?, &mut line);
                line.push('\n');
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).create_new(true).mode(0o600).open(path);
                let mut file = file.map_err(wrong)?;
                file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
                Self::parse(&line)
            }
            Err(error) => Err(wrong(error)),
        }
    }

    /// The aliases, without `alias/`, in the order of the keys.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.alias.as_str())
    }

    pub(crate) fn all(&self) -> &[Key] {
        &self.0
    }

    /// The key of an id or an alias, both as in a request.
    pub(crate) fn find(&self, id: &str) -> Option<&Key> {
        match id.strip_prefix("alias/") {
            Some(alias) => self.0.iter().find(|key| key.alias == alias),
            None => {
                let id = Uuid::try_parse(id).ok()?;
                self.0.iter().find(|key| key.id == id)
            }
        }
    }

    /// The key that a ciphertext names.
    pub(crate) fn of_ciphertext(&self, ciphertext: &[u8]) -> Result<&Key, CiphertextError> {
        let (header, _) =
            ciphertext.split_first_chunk::<HEADER_LENGTH>().ok_or(CiphertextError::Invalid)?;
        let [version, rest @ ..] = header;
        let (id, _) = rest.split_first_chunk::<ID_LENGTH>().ok_or(CiphertextError::Invalid)?;
        if *version != VERSION {
            return Err(CiphertextError::Invalid);
        }
        let key = self.0.iter().find(|key| key.id.as_bytes() == id);
        key.ok_or(CiphertextError::NoSuchKey)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.aliases()).finish()
    }
}

impl Key {
    fn new(alias: &str, bytes: Zeroizing<[u8; KEY_LENGTH]>, created: Timestamp) -> Self {
        // The id is a keyed hash: the same key has the same id, and the id tells nothing of the key.
        let keyed = hmac::Key::new(hmac::HMAC_SHA256, &*bytes);
        let hash = hmac::sign(&keyed, format!("id of {alias}").as_bytes());
        let mut id = [0; ID_LENGTH];
        id.copy_from_slice(&hash.as_ref()[..ID_LENGTH]);
        let id = uuid::Builder::from_custom_bytes(id).into_uuid();
        Self { id, alias: alias.to_owned(), bytes, created, enabled: AtomicBool::new(true) }
    }

    pub(crate) fn id(&self) -> String {
        self.id.to_string()
    }

    pub(crate) fn alias(&self) -> &str {
        &self.alias
    }

    pub(crate) fn created(&self) -> Timestamp {
        self.created
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    pub(crate) fn enable(&self, enabled: bool) {
        self.enabled.store(enabled, Relaxed);
    }

    /// Expanded for one use: ring does not wipe expanded keys, so none is kept.
    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &*self.bytes).expect("32 bytes are such a key");
        LessSafeKey::new(key)
    }

    /// Version, key id, nonce, ciphertext and tag. What stands before the ciphertext is authenticated
    /// together with the context.
    pub(crate) fn encrypt(
        &self,
        plaintext: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>, KeysError> {
        let mut nonce = [0; NONCE_LENGTH];
        SystemRandom::new().fill(&mut nonce).map_err(|_| KeysError::NoRandomness)?;
        let tag = AES_256_GCM.tag_len();
        let mut blob = Vec::with_capacity(HEADER_LENGTH + plaintext.len() + tag);
        blob.push(VERSION);
        blob.extend_from_slice(self.id.as_bytes());
        blob.extend_from_slice(&nonce);
        let aad = associated(&blob, context);
        blob.extend_from_slice(plaintext);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let (_, sealed) = blob.split_at_mut(HEADER_LENGTH);
        let tag = self
            .cipher()
            .seal_in_place_separate_tag(nonce, Aad::from(aad), sealed)
            .expect("a request is far shorter than what AES-GCM can take");
        blob.extend_from_slice(tag.as_ref());
        Ok(blob)
    }

    /// What [`encrypt`](Self::encrypt) was given.
    pub(crate) fn decrypt(
        &self,
        ciphertext: &[u8],
        context: &BTreeMap<String, String>,
    ) -> Result<Zeroizing<Vec<u8>>, CiphertextError> {
        let (header, sealed) =
            ciphertext.split_first_chunk::<HEADER_LENGTH>().ok_or(CiphertextError::Invalid)?;
        let nonce = header.last_chunk::<NONCE_LENGTH>().ok_or(CiphertextError::Invalid)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let aad = Aad::from(associated(header, context));
        let mut plaintext = Zeroizing::new(sealed.to_vec());
        let opened = self.cipher().open_in_place(nonce, aad, &mut plaintext);
        let length = opened.map_err(|_| CiphertextError::Invalid)?.len();
        // The tag stays behind otherwise; the vector does not move.
        plaintext.truncate(length);
        Ok(plaintext)
    }
}

/// The header and the context in one canonical form: the entries in the order of their keys, each with its
/// length before it, so that no two contexts look the same.
fn associated(header: &[u8], context: &BTreeMap<String, String>) -> Vec<u8> {
    let mut bytes = header.to_vec();
    for text in context.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

fn is_alias(alias: &str) -> bool {
    let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"/_-".contains(&c);
    (1..=250).contains(&alias.len()) && alias.bytes().all(is_allowed)
}

fn random_bytes() -> Result<Zeroizing<[u8; KEY_LENGTH]>, KeysError> {
    let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| KeysError::NoRandomness)?;
    Ok(bytes)
}

/// Random bytes for a data key.
pub(crate) fn random(length: usize) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => {
            bytes.zeroize();
            Err(KeysError::NoRandomness)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "workshop=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    const OTHER: &str = "other=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

    fn context(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_text_gives_the_same_keys_again() {
        let text = format!("# keys\n\n{LINE} # the first\n{OTHER}\n");
        let (one, two) = (Keys::parse(&text).unwrap(), Keys::parse(&text).unwrap());
        assert_eq!(one.aliases().collect::<Vec<_>>(), ["workshop", "other"]);
        let blob = one.all()[0].encrypt(b"text", &context(&[])).unwrap();
        let key = two.of_ciphertext(&blob).unwrap();
        assert_eq!(key.alias(), "workshop");
        assert_eq!(&**key.decrypt(&blob, &context(&[])).unwrap(), b"text");
        assert_ne!(one.all()[0].id(), one.all()[1].id());
        let id = one.all()[1].id();
        assert_eq!(one.find(&id).unwrap().alias(), "other");
        assert_eq!(one.find("alias/other").unwrap().id(), id);
        assert!(one.find("other").is_none() && one.find("").is_none());
    }

    #[test]
    fn a_bad_line_is_named_and_not_quoted() {
        let key = &LINE["workshop=".len()..];
        for (text, says) in [
            (String::new(), "there is no key"),
            (format!("{LINE}\nkey"), "line 2 of the keys is not of the form"),
            (format!("\na b={key}"), "line 2 of the keys: an alias has"),
            ("workshop=AQEB".to_owned(), "line 1 of the keys: what follows"),
            (format!("{LINE}\n{LINE}"), "line 2 of the keys: the alias workshop occurs twice"),
        ] {
            let error = Keys::parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
            assert!(!error.contains("AQEB"), "{error}");
        }
        assert!(!format!("{:?}", Keys::parse(LINE).unwrap()).contains("AQ"));
    }

    #[test]
    fn a_file_is_made_once_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let made = Keys::from_file(&path).unwrap();
        let read = Keys::from_file(&path).unwrap();
        assert_eq!(made.all()[0].id(), read.all()[0].id());
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert!(Keys::from_file(folder.path()).is_err());
        assert!(Keys::from_file(&folder.path().join("no/folder")).is_err());
    }

    #[test]
    fn a_ciphertext_is_bound_to_its_key_and_context() {
        let keys = Keys::parse(&format!("{LINE}\n{OTHER}")).unwrap();
        let key = &keys.all()[0];
        let blob = key.encrypt(b"text", &context(&[("a", "b"), ("c", "d")])).unwrap();
        assert_eq!(&**key.decrypt(&blob, &context(&[("c", "d"), ("a", "b")])).unwrap(), b"text");
        // These would look the same without the lengths.
        for other in [&[("a", "bc"), ("", "d")][..], &[("ab", ""), ("c", "d")], &[("a", "b")], &[]]
        {
            assert_eq!(key.decrypt(&blob, &context(other)), Err(CiphertextError::Invalid));
        }
        for at in 0..blob.len() {
            let mut damaged = blob.clone();
            damaged[at] ^= 1;
            let opened = keys
                .of_ciphertext(&damaged)
                .and_then(|key| key.decrypt(&damaged, &context(&[("a", "b"), ("c", "d")])));
            assert!(opened.is_err(), "byte {at}");
            assert!(keys.of_ciphertext(&blob[..at]).is_err() || at >= HEADER_LENGTH);
        }
        // Nonces differ.
        assert_ne!(blob, key.encrypt(b"text", &context(&[("a", "b"), ("c", "d")])).unwrap());
    }
}
