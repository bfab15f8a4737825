//! The wire format of Temporal's encryption samples (Python, Go, TypeScript): AES-256-GCM over the
//! serialized Payload, `data` = nonce (12 bytes), ciphertext, tag (16 bytes), no associated data.

use std::{collections::BTreeSet, mem, ops::Range};

use prost::{
    DecodeError, Message,
    bytes::Buf,
    encoding::{self, DecodeContext, WireType},
};
use ring::{
    aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce},
    rand::{SecureRandom, SystemRandom},
};

use crate::{
    DataKey, DataKeys, Payload,
    encodings::{InflateError, MOST_INFLATED, inflate, is_compressed, log_unknown, may_inflate},
};

/// The metadata key that names a payload's encoding.
pub const ENCODING: &str = "encoding";
/// The encoding of a sealed payload.
pub const ENCRYPTED: &[u8] = b"binary/encrypted";
/// The metadata key that names the data key a payload was sealed with.
pub const KEY_ID: &str = "encryption-key-id";

/// The number of the field `data`, in temporal/api/common/v1/message.proto.
const DATA: u32 = 2;
/// What is before a field's value at most, in bytes: its number, and a length of 64 bits.
const MAX_FIELD_HEAD: usize = 1 + 10;

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
    /// The payload names a key that is not available.
    #[error(
        "the payload is encrypted with key id {key_id:?}, which is not among the available keys \
         ({held})"
    )]
    UnknownKey {
        /// The id in the payload's metadata, with anything that is not UTF-8 replaced.
        key_id: String,
        /// The ids of the available keys.
        held: String,
    },
    /// The data is shorter than a nonce and a tag.
    #[error(
        "the encrypted payload has {0} bytes, too few for a nonce (12) and a tag (16): it was truncated"
    )]
    TooShort(usize),
    /// Authentication failed.
    #[error(
        "decryption with key id {key_id:?} failed: the data was changed, or sealed with another \
         key of that id"
    )]
    Authentication {
        /// The id in the payload's metadata.
        key_id: String,
    },
    /// The decrypted data is not a Payload message.
    #[error(
        "the data sealed with key id {key_id:?} is authentic but holds no Temporal Payload: \
         another program wrote it"
    )]
    NotAPayload {
        /// The id in the payload's metadata.
        key_id: String,
    },
    /// The decrypted payload says that it is compressed, and is not.
    #[error(
        "the payload sealed with key id {key_id:?} has the encoding binary/zlib, but its data is not a Payload \
         that was compressed with zlib"
    )]
    NotCompressed {
        /// The id in the payload's metadata.
        key_id: String,
    },
    /// Compressed payloads inflate to more than [`MOST_INFLATED`].
    #[error(
        "the payload sealed with key id {key_id:?} is compressed (binary/zlib), and would inflate to more than \
         {MOST_INFLATED} bytes together with the other payloads of the same call"
    )]
    InflatesTooFar {
        /// The id in the payload's metadata.
        key_id: String,
    },
    /// [`inflating_within`](crate::inflating_within) refused memory for a compressed payload.
    #[error(
        "the payload sealed with key id {key_id:?} is compressed (binary/zlib), and what it inflates to would take \
         more memory than is left for such payloads"
    )]
    NoMemory {
        /// The id in the payload's metadata.
        key_id: String,
    },
}

/// Encrypts one payload with a fresh nonce from the system's random generator.
///
/// The data is allocated once, at its final size, and encrypted in place.
///
/// # Errors
/// When the random generator fails, or the payload is larger than AES-GCM allows.
pub fn seal(key: &DataKey, payload: &Payload) -> Result<Payload, SealError> {
    let length = payload.encoded_len();
    let mut data = Vec::with_capacity(NONCE_LEN + length + MAX_TAG_LEN);
    data.extend_from_slice(&nonce()?);
    // A `Vec` grows as needed, so the only possible error of `encode` cannot occur.
    payload.encode(&mut data).map_err(|_| SealError::TooLarge(length))?;
    encrypt(key, data)
}

/// As [`seal`], in the buffer that the payload's data is in already. A new buffer of 1 MiB costs more than its
/// encryption, because the system has to find memory for it.
pub(crate) fn seal_in_place(key: &DataKey, mut payload: Payload) -> Result<Payload, SealError> {
    let mut data = mem::take(&mut payload.data);
    let length = data.len();
    // The order of a message's fields is free: here `data` is the last.
    let mut head = Vec::with_capacity(NONCE_LEN + payload.encoded_len() + MAX_FIELD_HEAD);
    head.extend_from_slice(&nonce()?);
    payload.encode(&mut head).map_err(|_| SealError::TooLarge(length))?;
    encoding::encode_key(DATA, WireType::LengthDelimited, &mut head);
    encoding::encode_varint(length as u64, &mut head);

    data.reserve_exact(head.len() + MAX_TAG_LEN);
    data.resize(head.len() + length, 0);
    data.copy_within(..length, head.len());
    data[..head.len()].copy_from_slice(&head);
    encrypt(key, data)
}

fn nonce() -> Result<[u8; NONCE_LEN], SealError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| SealError::Random)?;
    Ok(nonce)
}

/// Encrypts what is behind the nonce, and appends the tag.
fn encrypt(key: &DataKey, mut data: Vec<u8>) -> Result<Payload, SealError> {
    let length = data.len() - NONCE_LEN;
    let (nonce, plain) = data.split_at_mut(NONCE_LEN);
    let tag = Nonce::try_assume_unique_for_key(nonce)
        .and_then(|nonce| key.cipher().seal_in_place_separate_tag(nonce, Aad::empty(), plain))
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

/// The ids of the keys that these payloads are sealed with, each once. A payload that is not sealed has no
/// id. Neither has a sealed one that names no key, which [`open`] refuses.
pub fn key_ids(payloads: &[Payload]) -> BTreeSet<String> {
    let sealed = payloads.iter().filter(|payload| is_sealed(payload));
    sealed.filter_map(key_id).map(str::to_owned).collect()
}

fn is_sealed(payload: &Payload) -> bool {
    payload.metadata.get(ENCODING).is_some_and(|encoding| encoding == ENCRYPTED)
}

/// Only if it is valid UTF-8: a lossy conversion could confuse two ids.
fn key_id(payload: &Payload) -> Option<&str> {
    std::str::from_utf8(payload.metadata.get(KEY_ID)?).ok()
}

/// Decrypts one payload in place. One that is not `binary/encrypted` comes back untouched.
///
/// A payload that was compressed before it was encrypted ([`COMPRESSED`](crate::COMPRESSED)) is inflated, to at
/// most [`MOST_INFLATED`] bytes. Any other encoding that no SDK reads by itself is logged once.
///
/// # Errors
/// See [`OpenError`]: each says the reason and the key id.
pub fn open(keys: &DataKeys, payload: Payload) -> Result<Payload, OpenError> {
    open_within(keys, payload, &mut { MOST_INFLATED })
}

/// As [`open`], where several payloads share what they may inflate to, in bytes.
pub(crate) fn open_within(
    keys: &DataKeys,
    payload: Payload,
    left: &mut usize,
) -> Result<Payload, OpenError> {
    let opened = if is_sealed(&payload) { decrypt(keys, payload, left)? } else { payload };
    log_unknown(&opened);
    Ok(opened)
}

fn decrypt(keys: &DataKeys, payload: Payload, left: &mut usize) -> Result<Payload, OpenError> {
    let Some(key) = key_id(&payload).and_then(|id| keys.get(id)) else {
        let named = payload.metadata.get(KEY_ID).map_or(&[][..], Vec::as_slice);
        return Err(OpenError::UnknownKey {
            key_id: String::from_utf8_lossy(named).into_owned(),
            held: keys.to_string(),
        });
    };
    if payload.data.len() < NONCE_LEN + MAX_TAG_LEN {
        return Err(OpenError::TooShort(payload.data.len()));
    }
    let key_id = || key.id().to_owned();
    let mut data = payload.data;
    // Decrypts and closes the gap that the nonce leaves, in one pass over the data.
    let length = Nonce::try_assume_unique_for_key(&data[..NONCE_LEN])
        .and_then(|nonce| key.cipher().open_within(nonce, Aad::empty(), &mut data, NONCE_LEN..))
        .map_err(|_| OpenError::Authentication { key_id: key_id() })?
        .len();
    data.truncate(length);
    let opened = parse(data).map_err(|_| OpenError::NotAPayload { key_id: key_id() })?;
    if !is_compressed(&opened) {
        return Ok(opened);
    }
    let inflated = inflate(&opened.data, *left, may_inflate).map_err(|error| match error {
        InflateError::Broken => OpenError::NotCompressed { key_id: key_id() },
        InflateError::TooLarge => OpenError::InflatesTooFar { key_id: key_id() },
        InflateError::NoMemory => OpenError::NoMemory { key_id: key_id() },
    })?;
    *left -= inflated.len();
    parse(inflated).map_err(|_| OpenError::NotCompressed { key_id: key_id() })
}

/// Reads a Payload message and leaves its `data` in the buffer it came in: prost would copy it
/// twice, which at 1 MiB takes eight times as long as decrypting it.
fn parse(mut message: Vec<u8>) -> Result<Payload, DecodeError> {
    let Some((field, value)) = data_field(&message) else {
        return Payload::decode(&*message);
    };
    let mut payload = Payload::decode(message[..field].chain(&message[value.end..]))?;
    message.truncate(value.end);
    message.drain(..value.start);
    payload.data = message;
    Ok(payload)
}

/// Where the field `data` starts and where its value is, if there is one. If there are several, the last one
/// counts.
fn data_field(message: &[u8]) -> Option<(usize, Range<usize>)> {
    let mut found = None;
    let mut rest = message;
    while !rest.is_empty() {
        let field = message.len() - rest.len();
        let (number, wire_type) = encoding::decode_key(&mut rest).ok()?;
        if (number, wire_type) != (DATA, WireType::LengthDelimited) {
            encoding::skip_field(wire_type, number, &mut rest, DecodeContext::default()).ok()?;
            continue;
        }
        let length = usize::try_from(encoding::decode_varint(&mut rest).ok()?).ok()?;
        let start = message.len() - rest.len();
        rest = rest.get(length..)?;
        found = Some((field, start..start + length));
    }
    found
}

/// The cipher that [`seal`] and [`open`] use.
pub(crate) static ALGORITHM: &ring::aead::Algorithm = &AES_256_GCM;

#[cfg(test)]
mod tests {
    use super::*;

    /// Two concatenated serializations are one message, in which later fields win.
    #[test]
    fn a_message_with_two_data_fields_reads_as_prost_reads_it() {
        let payload = |data: &[u8]| Payload { data: data.to_vec(), ..Default::default() };
        let message = [payload(b"first"), payload(b"second")].map(|p| p.encode_to_vec()).concat();
        assert_eq!(parse(message.clone()).unwrap(), Payload::decode(&*message).unwrap());
        assert_eq!(parse(message).unwrap().data, b"second");
    }

    #[test]
    fn fields_around_the_data_are_kept() {
        let metadata = |key: &str| Payload {
            metadata: [(key.to_owned(), b"value".to_vec())].into(),
            ..Default::default()
        };
        let data = Payload { data: b"data".to_vec(), ..Default::default() };
        let message =
            [metadata("before"), data, metadata("after")].map(|p| p.encode_to_vec()).concat();
        let read = parse(message.clone()).unwrap();
        assert_eq!(read, Payload::decode(&*message).unwrap());
        assert_eq!((read.metadata.len(), &read.data[..]), (2, &b"data"[..]));
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error() {
        assert!(parse(vec![0x12, 0x7f, 1]).is_err());
    }
}
