//! `open`: sealed payloads of any content, and payloads that only look sealed. [`inputs`] says how to run more of them.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod inputs;

use std::io::{Read, Write};

use arbtest::arbitrary::{Result, Unstructured};
use codec_kit::{
    COMPRESSED, ENCODING, ENCRYPTED, KEY_ID, Keyring, OpenError, Payload, open, open_all, seal,
};
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use inputs::{changed, nearly};
use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

const KEY: &[u8; 32] = b"test-key-test-key-test-key-test!";
const ID: &[u8] = b"test-key-id";

/// What `seal` would write if these bytes were the serialized payload.
fn sealed(message: &[u8]) -> Payload {
    let nonce = [7; 12];
    let mut encrypted = message.to_vec();
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, KEY).unwrap())
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut encrypted)
        .unwrap();
    let metadata =
        [(ENCODING.to_owned(), ENCRYPTED.to_vec()), (KEY_ID.to_owned(), ID.to_vec())].into();
    Payload { metadata, data: [&nonce[..], &encrypted].concat(), ..Payload::default() }
}

/// What a sealed message is to open to, by other means than those of `open`. `None` if it is to be refused.
fn expected(message: &[u8]) -> Option<Payload> {
    let payload = Payload::decode(message).ok()?;
    if payload.metadata.get(ENCODING).is_none_or(|encoding| encoding != COMPRESSED) {
        return Some(payload);
    }
    let mut inflated = Vec::new();
    ZlibDecoder::new(&*payload.data).read_to_end(&mut inflated).ok()?;
    Payload::decode(&*inflated).ok()
}

fn deflated(message: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(message).unwrap();
    zlib.finish().unwrap()
}

/// A serialized payload, or nearly one: fields of the right form, in any order and number.
fn message(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let of = |encoding: &[u8], data: &[u8]| {
        let metadata = [(ENCODING.to_owned(), encoding.to_vec())].into();
        Payload { metadata, data: data.to_vec(), ..Payload::default() }.encode_to_vec()
    };
    let data = |data: &[u8]| Payload { data: data.to_vec(), ..Payload::default() }.encode_to_vec();
    let pieces = [
        of(b"json/plain", b"\"Hello\""),
        of(COMPRESSED, &deflated(&of(b"json/plain", b"\"Hello\""))),
        of(COMPRESSED, &deflated(b"")),
        of(COMPRESSED, b""),
        of(b"binary/unheard-of", b"?"),
        data(b"data"),
        data(&[0; 200]),
        // The field `data`, and lengths that lead beyond the end, to the largest that there is.
        vec![0x12],
        vec![0x12, 0x7f],
        vec![0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        vec![0x12, 0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x12, 0x80, 0x00],
        // The same field as a number, other fields, groups, and tags that there are not.
        vec![0x10, 0x05],
        vec![0x15, 1, 2, 3, 4],
        vec![0x1a, 0x02, 0x08, 0x01],
        vec![0x0a, 0x00],
        vec![0x0a, 0x02, 0x0a, 0x00],
        vec![0x13, 0x14],
        vec![0x1b],
        vec![0x1c],
        vec![0x00],
        vec![0x17],
        vec![0x80],
        vec![0xff; 10],
        // The tag of `data` with more bytes than it needs.
        vec![0x92, 0x80, 0x00, 0x01, b'x'],
    ];
    nearly(u, &pieces)
}

#[test]
fn no_sealed_payload_is_too_strange() {
    let (keyring, mut opened) = (Keyring::test_key(), 0_u64);
    inputs::each("sealed payloads", |u| {
        let mut message = message(u)?;
        if u.ratio(1, 3)? {
            let zlib = deflated(&message);
            let data = if u.arbitrary()? { changed(u, zlib)? } else { zlib };
            let metadata = [(ENCODING.to_owned(), COMPRESSED.to_vec())].into();
            message = Payload { metadata, data, ..Payload::default() }.encode_to_vec();
        }
        if u.ratio(1, 4)? {
            message = changed(u, message)?;
        }
        let (wanted, sealed) = (expected(&message), sealed(&message));
        match (open(keyring.keys(), sealed.clone()), wanted) {
            (Ok(payload), Some(wanted)) => {
                assert_eq!(payload, wanted);
                opened += 1;
                let two = open_all(keyring.keys(), vec![sealed.clone(), sealed]).unwrap();
                assert_eq!(two, [wanted.clone(), wanted]);
            }
            (Err(OpenError::NotAPayload { .. } | OpenError::NotCompressed { .. }), None) => {}
            (result, wanted) => panic!("{result:?} instead of {wanted:?}"),
        }
        Ok(())
    });
    println!("sealed payloads: {opened} opened");
    assert!(opened > 0);
}

#[test]
fn no_payload_that_looks_sealed_is_too_strange() {
    let keyring = Keyring::test_key();
    let encodings = [ENCRYPTED, b"binary/encrypted\0", b"json/plain", COMPRESSED, b"\xff", b""];
    let ids = [ID, b"test-key-id ", b"another", b"\xff\xfe", "ключ".as_bytes(), b""];
    inputs::each("payloads that look sealed", |u| {
        let plain = Payload { data: u.arbitrary()?, ..Payload::default() };
        let whole = seal(keyring.active(), &plain).unwrap();
        let mut payload = whole.clone();
        let mut metadata = |u: &mut Unstructured<'_>, name: &str, values: &[&[u8]]| {
            if u.ratio(1, 4)? {
                match u.ratio(1, 4)? {
                    true => drop(payload.metadata.remove(name)),
                    false => {
                        let value = u.choose(values)?.to_vec();
                        payload.metadata.insert(name.to_owned(), value);
                    }
                }
            }
            Result::Ok(())
        };
        metadata(u, ENCODING, &encodings)?;
        metadata(u, KEY_ID, &ids)?;
        match u.int_in_range(0..=3)? {
            0 => {}
            1 => payload.data = u.arbitrary()?,
            2 => payload.data = changed(u, payload.data)?,
            _ => payload.data.truncate(u.int_in_range(0..=40)?),
        }
        let is_sealed = payload.metadata.get(ENCODING).is_some_and(|named| named == ENCRYPTED);
        match open(keyring.keys(), payload.clone()) {
            Ok(opened) if is_sealed => {
                assert_eq!((payload, opened), (whole, plain), "only what was sealed opens");
            }
            Ok(opened) => assert_eq!(opened, payload),
            Err(error) => {
                assert!(is_sealed && payload != whole, "{error}");
                assert!(error.to_string().len() < 4096, "{error}");
            }
        }
        Ok(())
    });
}
