//! seal and open: against payloads made elsewhere, and for any payload.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use arbtest::{
    arbitrary::{self, Unstructured},
    arbtest,
};
use codec_kit::{
    COMPRESSED, ENCODING, ENCRYPTED, Error, KEY_ID, Keyring, MOST_INFLATED, OpenError, Payload,
    inflating_within, key_ids, open, open_all, seal, seal_all,
    vectors::{self, Vectors},
};
use flate2::{Compress, Compression, FlushCompress};
use prost::Message;

#[test]
fn what_must_open_opens_to_those_exact_bytes() {
    let vectors = Vectors::load();
    assert_eq!(vectors.opens_to.len(), 8);
    for vector in vectors.opens_to {
        let opened = open(vector.keyring().keys(), vector.encrypted).unwrap();
        assert_eq!(opened, vector.plain, "{}", vector.name);
    }
}

#[test]
fn what_must_be_an_error_is_one_that_names_the_reason() {
    let vectors = Vectors::load();
    assert_eq!(vectors.must_be_an_error.len(), 11);
    for vector in vectors.must_be_an_error {
        let error = open(vector.keyring().keys(), vector.encrypted).unwrap_err();
        let expected = match vector.why.as_str() {
            "no such key" => matches!(error, OpenError::UnknownKey { .. }),
            "authentication fails" => matches!(error, OpenError::Authentication { .. }),
            "the opened bytes are no Payload message" => {
                matches!(error, OpenError::NotAPayload { .. })
            }
            _ => matches!(error, OpenError::TooShort(_)),
        };
        assert!(expected, "{}: {error:?}", vector.name);
    }
}

#[test]
fn what_is_not_encrypted_is_left_alone() {
    let vectors = Vectors::load();
    assert_eq!(vectors.decode_leaves_alone.len(), 7);
    for vector in vectors.decode_leaves_alone {
        let opened = open(Keyring::test_key().keys(), vector.payload.clone()).unwrap();
        assert_eq!(opened, vector.payload, "{}", vector.name);
    }
}

#[test]
fn an_error_names_the_key_id_and_no_plaintext() {
    let vectors = Vectors::load();
    let unknown = vectors.must_be_an_error.iter().find(|v| v.name == "unknown key id").unwrap();
    let error = open(unknown.keyring().keys(), unknown.encrypted.clone()).unwrap_err().to_string();
    assert!(error.contains("nobody-has-this-key") && error.contains("test-key-id"), "{error}");

    let foreign =
        vectors.must_be_an_error.iter().find(|v| v.name.starts_with("authentic")).unwrap();
    let error = open(foreign.keyring().keys(), foreign.encrypted.clone()).unwrap_err();
    // The source of the error would quote what was decrypted: there is none.
    assert!(std::error::Error::source(&error).is_none());
}

#[test]
fn what_go_compressed_and_encrypted_opens_to_what_it_was() {
    let vectors = vectors::compressed();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let opened = open(vector.keyring().keys(), vector.encrypted).unwrap();
        assert_eq!(opened, vector.plain, "{}", vector.name);
    }
}

/// A payload whose encoding is `binary/zlib`, with that data, encrypted.
fn sealed_as_compressed(data: &[u8]) -> Payload {
    let metadata = [(ENCODING.to_owned(), COMPRESSED.to_vec())].into();
    let payload = Payload { metadata, data: data.to_vec(), ..Default::default() };
    seal(Keyring::test_key().active(), &payload).expect("the system gives a nonce")
}

/// A zlib stream of that many MiB of zeros: 1 KiB each.
fn zeros(mebibytes: usize) -> Vec<u8> {
    let mut zlib = Compress::new(Compression::best(), true);
    let mut compress = |flush| {
        let mut block = Vec::with_capacity(1 << 20);
        zlib.compress_vec(&vec![0; 1 << 20], &mut block, flush).expect("memory is compressed");
        block
    };
    // After a full flush, a block does not refer to those before it.
    let mut stream = compress(FlushCompress::Full);
    let block = compress(FlushCompress::Full);
    for _ in 1..mebibytes {
        stream.extend_from_slice(&block);
    }
    stream
}

#[test]
fn a_megabyte_that_inflates_to_a_gigabyte_is_refused() {
    let bomb = zeros(1024);
    assert!(bomb.len() < 2_000_000, "{}", bomb.len());
    let error = open(Keyring::test_key().keys(), sealed_as_compressed(&bomb)).unwrap_err();
    assert!(matches!(error, OpenError::InflatesTooFar { .. }), "{error}");
    let words = error.to_string();
    assert!(words.contains("test-key-id") && words.contains("binary/zlib"), "{words}");
}

#[test]
fn payloads_of_one_call_share_what_they_may_inflate_to() {
    let keyring = Keyring::test_key();
    // Valid on its own: the stream has an end, and what it holds is a Payload.
    let half = Payload { data: vec![0; MOST_INFLATED / 2 + 1], ..Default::default() };
    let mut stream = Vec::with_capacity(1 << 20);
    Compress::new(Compression::best(), true)
        .compress_vec(&half.encode_to_vec(), &mut stream, FlushCompress::Finish)
        .unwrap();
    let half = sealed_as_compressed(&stream);
    assert_eq!(open(keyring.keys(), half.clone()).unwrap().data.len(), MOST_INFLATED / 2 + 1);
    assert!(open_all(keyring.keys(), vec![half.clone()]).is_ok());
    let error = open_all(keyring.keys(), vec![half.clone(), half]).unwrap_err();
    assert!(matches!(error, Error::Open(OpenError::InflatesTooFar { .. })), "{error}");
}

#[tokio::test]
async fn memory_for_compressed_payloads_is_asked_for() {
    let keyring = Keyring::test_key();
    let payload = Payload { data: vec![0; 1 << 20], ..Default::default() };
    let mut stream = Vec::with_capacity(1 << 20);
    Compress::new(Compression::best(), true)
        .compress_vec(&payload.encode_to_vec(), &mut stream, FlushCompress::Finish)
        .unwrap();
    let payloads = vec![sealed_as_compressed(&stream), seal(keyring.active(), &payload).unwrap()];
    let open = async || open_all(keyring.keys(), payloads.clone());
    let asked = Arc::new(AtomicUsize::new(0));
    let grants = {
        let asked = asked.clone();
        Arc::new(move |bytes| asked.fetch_add(bytes, SeqCst) + bytes <= 3 << 20)
    };
    assert!(inflating_within(grants.clone(), open()).await.is_ok());
    // Only for the payload that is compressed.
    let first = asked.load(SeqCst);
    assert!(first > 1 << 20 && first < 2 << 20, "{first}");
    // The second time, there is less left than it takes.
    let _ = inflating_within(grants.clone(), open()).await;
    let error = inflating_within(grants, open()).await.unwrap_err();
    assert!(matches!(error, Error::Open(OpenError::NoMemory { .. })), "{error}");
    assert!(open().await.is_ok(), "it was asked outside");
}

#[test]
fn what_only_says_that_it_is_compressed_is_an_error() {
    // The last one is a zlib stream of what is no Payload message.
    let mut stream = Vec::with_capacity(100);
    Compress::new(Compression::best(), true)
        .compress_vec(b"no Payload", &mut stream, FlushCompress::Finish)
        .unwrap();
    for data in [&b""[..], b"no zlib stream", &zeros(1), &stream] {
        let error = open(Keyring::test_key().keys(), sealed_as_compressed(data)).unwrap_err();
        assert!(matches!(error, OpenError::NotCompressed { .. }), "{error}");
    }
}

/// Only what is authentic is inflated.
#[test]
fn a_compressed_payload_that_is_not_encrypted_is_left_alone() {
    let metadata = [(ENCODING.to_owned(), COMPRESSED.to_vec())].into();
    let payload = Payload { metadata, data: zeros(1024), ..Default::default() };
    assert_eq!(open(Keyring::test_key().keys(), payload.clone()).unwrap(), payload);
}

#[test]
fn keys_that_were_rotated_out_still_open() {
    let old = Keyring::parse("2025=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", None).unwrap();
    let both = Keyring::parse(
        "2026=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=,2025=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        None,
    )
    .unwrap();
    let plain = Payload { data: b"\"Hello\"".to_vec(), ..Default::default() };
    let sealed_before = seal(old.active(), &plain).unwrap();
    let sealed_now = seal(both.active(), &plain).unwrap();
    assert_eq!(sealed_now.metadata[KEY_ID], b"2026");
    assert_eq!(open(both.keys(), sealed_before).unwrap(), plain);
    assert!(matches!(open(old.keys(), sealed_now), Err(OpenError::UnknownKey { .. })));
}

/// What is not sealed, or names no key, asks for none.
#[test]
fn the_key_ids_are_those_of_sealed_payloads_each_once() {
    let keyring = Keyring::test_key();
    let sealed = seal(keyring.active(), &Payload::default()).unwrap();
    let mut unnamed = sealed.clone();
    unnamed.metadata.remove(KEY_ID);
    let mut not_text = sealed.clone();
    not_text.metadata.insert(KEY_ID.to_owned(), vec![0xff]);
    let plain =
        Payload { metadata: [(KEY_ID.to_owned(), b"a".to_vec())].into(), ..Default::default() };
    let ids = key_ids(&[sealed.clone(), plain, unnamed, sealed, not_text]);
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["test-key-id"]);
    assert!(key_ids(&[]).is_empty());
}

/// Any payload: metadata of any keys and values, any data.
fn payload(u: &mut Unstructured<'_>) -> arbitrary::Result<Payload> {
    Ok(Payload { metadata: u.arbitrary()?, data: u.arbitrary()?, ..Default::default() })
}

#[test]
fn any_payload_survives() {
    arbtest(|u| {
        let (keyring, plain) = (Keyring::test_key(), payload(u)?);
        let one = seal(keyring.active(), &plain).unwrap();
        let all = seal_all(keyring.active(), vec![plain.clone(); 2]).unwrap();
        for sealed in [vec![one], all].concat() {
            assert_eq!(sealed.metadata[ENCODING], ENCRYPTED);
            assert_eq!(sealed.metadata[KEY_ID], b"test-key-id");
            assert_eq!(open(keyring.keys(), sealed).unwrap(), plain);
        }
        Ok(())
    });
}

/// A new buffer for a large payload would take longer than its encryption.
#[test]
fn a_payload_is_sealed_in_its_own_buffer() {
    let mut data = Vec::with_capacity(2 << 20);
    data.resize(1 << 20, b'x');
    let buffer = data.as_ptr();
    let plain = Payload { data, ..Payload::default() };
    let sealed = seal_all(Keyring::test_key().active(), vec![plain]).unwrap();
    assert_eq!(sealed[0].data.as_ptr(), buffer);
    let opened = open_all(Keyring::test_key().keys(), sealed).unwrap();
    assert_eq!(opened[0].data.as_ptr(), buffer);
    assert!(opened[0].data == vec![b'x'; 1 << 20]);
}

#[test]
fn no_two_seals_share_a_nonce() {
    let plain = Payload::default();
    let one = (0..10_000).map(|_| seal(Keyring::test_key().active(), &plain).unwrap());
    let all = seal_all(Keyring::test_key().active(), vec![plain.clone(); 10_000]).unwrap();
    let nonces: HashSet<_> = one.chain(all).map(|sealed| sealed.data[..12].to_vec()).collect();
    assert_eq!(nonces.len(), 20_000);
}

#[test]
fn any_changed_bit_is_refused() {
    arbtest(|u| {
        let (keyring, plain) = (Keyring::test_key(), payload(u)?);
        let mut sealed = seal(keyring.active(), &plain).unwrap();
        let at = u.choose_index(sealed.data.len())?;
        sealed.data[at] ^= 1 << u.int_in_range(0..=7)?;
        let refused = matches!(open(keyring.keys(), sealed), Err(OpenError::Authentication { .. }));
        assert!(refused);
        Ok(())
    });
}

#[test]
fn any_bytes_are_refused_and_never_a_panic() {
    arbtest(|u| {
        let metadata = [
            (ENCODING.to_owned(), ENCRYPTED.to_vec()),
            (KEY_ID.to_owned(), b"test-key-id".to_vec()),
        ];
        let payload =
            Payload { metadata: metadata.into(), data: u.arbitrary()?, ..Default::default() };
        assert!(open(Keyring::test_key().keys(), payload).is_err());
        Ok(())
    });
}
