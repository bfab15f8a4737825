//! The wire format of Temporal's encryption samples (Python, Go, TypeScript): AES-256-GCM over the
//! serialized Payload, `data` = nonce (12 bytes), ciphertext, tag (16 bytes), no associated data.

use prost::Message;
use ring::{
    aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce},
    rand::{SecureRandom, SystemRandom},
};

use crate::{DataKey, Keyring, Payload};

/// The metadata key that names a payload's encoding.
pub const ENCODING: &str = "encoding";
/// The encoding of a sealed payload.
pub const ENCRYPTED: &[u8] = b"binary/encrypted";
/// The metadata key that names the data key a payload was sealed with.
pub const KEY_ID: &str = "encryption-key-id";

/// Why a payload could not be sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The operating system's random generator gave no nonce.
    #[error("the system's random generator failed: no nonce, so nothing was encrypted")]
    Random,
    /// The payload is larger than AES-GCM can take (64 GiB).
    #[error("a payload of {0} bytes is too large to encrypt with AES-GCM")]
    TooLarge(usize),
}

/// Why a sealed payload could not be opened. Names the key id, never a key or plaintext.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The payload names a key that the keyring does not hold.
    #[error(
        "the payload is encrypted with key id {key_id:?}, which this keyring does not hold (it holds {held}): add that key to the keyring"
    )]
    UnknownKey {
        /// The id in the payload's metadata, with anything that is not UTF-8 replaced.
        key_id: String,
        /// The ids of the keyring.
        held: String,
    },
    /// The data is shorter than a nonce and a tag.
    #[error(
        "the encrypted payload has {0} bytes, too few for a nonce (12) and a tag (16): it was truncated"
    )]
    TooShort(usize),
    /// Authentication failed.
    #[error(
        "decryption with key id {key_id:?} failed: the data was changed, or sealed with another key of that id"
    )]
    Authentication {
        /// The id in the payload's metadata.
        key_id: String,
    },
    /// What came out is no Payload message.
    #[error(
        "the data sealed with key id {key_id:?} is authentic but holds no Temporal Payload: another program wrote it"
    )]
    NotAPayload {
        /// The id in the payload's metadata.
        key_id: String,
    },
}

/// Encrypts one payload with a fresh nonce from the system's random generator.
///
/// The data is allocated once, at its final size, and encrypted where it stands.
///
/// # Errors
/// When the random generator fails, or the payload is larger than AES-GCM allows.
pub fn seal(key: &DataKey, payload: &Payload) -> Result<Payload, SealError> {
    let length = payload.encoded_len();
    let mut data = Vec::with_capacity(NONCE_LEN + length + MAX_TAG_LEN);

    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
    data.extend_from_slice(&nonce);
    // A Vec grows when it must, so the only error `encode` knows cannot occur.
    payload.encode(&mut data).map_err(|_| SealError::TooLarge(length))?;

    let tag = key
        .cipher()
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut data[NONCE_LEN..],
        )
        .map_err(|_| SealError::TooLarge(length))?;
    data.extend_from_slice(tag.as_ref());

    Ok(Payload {
        metadata: [
            (ENCODING.to_owned(), ENCRYPTED.to_vec()),
            (KEY_ID.to_owned(), key.id().as_bytes().to_vec()),
        ]
        .into(),
        data,
        ..Default::default()
    })
}

/// Decrypts one payload in place. One that is not `binary/encrypted` comes back untouched.
///
/// # Errors
/// See [`OpenError`]: each says the reason and the key id.
pub fn open(keyring: &Keyring, mut payload: Payload) -> Result<Payload, OpenError> {
    if payload.metadata.get(ENCODING).map(Vec::as_slice) != Some(ENCRYPTED) {
        return Ok(payload);
    }
    let named = payload.metadata.get(KEY_ID).map_or(&[][..], Vec::as_slice);
    // Compared as text only if it is text: a lossy comparison could take one id for another.
    let Some(key) = std::str::from_utf8(named).ok().and_then(|id| keyring.get(id)) else {
        return Err(OpenError::UnknownKey {
            key_id: String::from_utf8_lossy(named).into_owned(),
            held: keyring.ids().collect::<Vec<_>>().join(", "),
        });
    };
    if payload.data.len() < NONCE_LEN + MAX_TAG_LEN {
        return Err(OpenError::TooShort(payload.data.len()));
    }
    let (nonce, sealed) = payload.data.split_at_mut(NONCE_LEN);
    let key_id = || key.id().to_owned();
    let plain = Nonce::try_assume_unique_for_key(nonce)
        .and_then(|nonce| key.cipher().open_in_place(nonce, Aad::empty(), sealed))
        .map_err(|_| OpenError::Authentication { key_id: key_id() })?;
    Payload::decode(&*plain).map_err(|_| OpenError::NotAPayload { key_id: key_id() })
}

/// The cipher that [`seal`] and [`open`] use.
pub(crate) static ALGORITHM: &ring::aead::Algorithm = &AES_256_GCM;
