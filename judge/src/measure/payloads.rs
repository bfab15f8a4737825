//! How a codec treats payloads.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{
    AnyCodec, ENCODING, ENCRYPTED, KEY_ID, KeyService, Keyring, Payload, Stalls, vectors::Vectors,
};
use futures::future::join_all;

use super::harness::{
    CALLS_AT_ONCE, JudgeError, LARGEST_PAYLOAD, MARKER, MakeCodec, SHORT_STALL, decode, encode,
    on_one_thread,
};

/// Threads of the blocking pool where order could be lost among them.
const FEW_THREADS: usize = 4;

/// How a codec treats payloads.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn wire_format(make: MakeCodec<'_>) -> Result<Vec<String>, JudgeError> {
    let vectors = Vectors::load();
    let mut wrong = Vec::new();
    for vector in vectors.opens_to {
        let keyring = vector.keyring();
        let codec = make(KeyService::new(keyring.clone()));
        wrong.extend(on_one_thread(1, async move {
            let opened = match decode(&codec, vec![vector.encrypted]).await {
                Ok(opened) if opened == [vector.plain.clone()] => None,
                Ok(_) => Some(format!("{}: opened to something else", vector.name)),
                Err(error) => Some(format!("{}: was not opened: {error}", vector.name)),
            };
            let sealed = round_trip(&codec, &keyring, &vector.name, &vector.plain).await;
            opened.into_iter().chain(sealed)
        })?);
    }
    for vector in vectors.must_be_an_error {
        let codec = make(KeyService::new(vector.keyring()));
        wrong.extend(on_one_thread(1, async move {
            let accepted = decode(&codec, vec![vector.encrypted]).await.is_ok();
            accepted.then(|| format!("{}: was accepted, but {}", vector.name, vector.why))
        })?);
    }
    for vector in vectors.decode_leaves_alone {
        let codec = make(KeyService::new(Keyring::test_key()));
        wrong.extend(on_one_thread(1, async move {
            let decoded = decode(&codec, vec![vector.payload.clone()]).await;
            let untouched = decoded.is_ok_and(|decoded| decoded == [vector.payload]);
            (!untouched)
                .then(|| format!("{}: is not encrypted, and was not left alone", vector.name))
        })?);
    }
    Ok(wrong)
}

/// Sealing must encrypt, in the format that [`codec_kit::open`] reads, never twice the same way.
async fn round_trip(
    codec: &AnyCodec,
    keyring: &Keyring,
    name: &str,
    plain: &Payload,
) -> Option<String> {
    let sealed = match encode(codec, vec![plain.clone(), plain.clone()]).await {
        Ok(sealed) => sealed,
        Err(error) => return Some(format!("{name}: was not sealed: {error}")),
    };
    let encrypted = |p: &Payload| p.metadata.get(ENCODING).is_some_and(|e| e == ENCRYPTED);
    let with_its_key = |p: &Payload| is_sealed_with(p, keyring.active().id());
    let opens = |p: &Payload| codec_kit::open(keyring.keys(), p.clone()).is_ok_and(|o| o == *plain);
    match &sealed[..] {
        [a, b] if ![a, b].into_iter().all(encrypted) => Some(format!("{name}: was not encrypted")),
        [a, b] if a.data == b.data => Some(format!("{name}: sealed twice to the same bytes")),
        [a, b] if ![a, b].into_iter().all(with_its_key) => Some(format!("{name}: {FOREIGN_KEY}")),
        [a, b] if ![a, b].into_iter().all(opens) => {
            Some(format!("{name}: what was sealed does not open to what went in"))
        }
        [_, _] => None,
        others => Some(format!("{name}: 2 payloads went in, {} came out", others.len())),
    }
}

const FOREIGN_KEY: &str = "was sealed with a key that the key service did not give";

fn is_sealed_with(payload: &Payload, key_id: &str) -> bool {
    payload.metadata.get(KEY_ID).is_some_and(|named| named == key_id.as_bytes())
}

/// Calls of one kind, made at once: the payloads of each.
type Kind = (&'static str, Vec<Vec<Payload>>);

/// Has the codec encode and decode payloads of all kinds: none at all, small ones with metadata, one
/// of 2 MiB, a thousand in one call, many calls at once; some keys come late. What is wrong is told,
/// at most once for each kind.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn payloads(make: MakeCodec<'_>, seed: u64) -> Result<Vec<String>, JudgeError> {
    let mut random = fastrand::Rng::with_seed(seed);
    // A key that nobody knows: a codec with a key of its own can't seal with it.
    let key: [u8; 32] = std::array::from_fn(|_| random.u8(..));
    let keyring = Keyring::parse(&format!("judge-{seed}={}", STANDARD.encode(key)), None)?;
    let mut some = |count: usize, size: usize| -> Vec<Payload> {
        (0..count).map(|_| payload(&mut random, size)).collect()
    };
    let again = some(1, 100);
    let at_once: Vec<Kind> = vec![
        ("no payload", vec![some(0, 0)]),
        ("an empty payload", vec![vec![Payload::default()]]),
        ("three payloads", vec![some(3, 100)]),
        ("a payload of 2 MiB", vec![some(1, LARGEST_PAYLOAD)]),
        ("a thousand payloads in one call", vec![some(1000, 40)]),
        ("a payload", vec![again.clone()]),
        ("the same payload again", vec![again]),
    ];
    let late: Vec<Kind> = vec![
        ("twenty payloads in one call, some keys late", vec![some(20, 40)]),
        (
            "many calls at once, some keys late",
            (0..CALLS_AT_ONCE).map(|call| some(call % 4, 40)).collect(),
        ),
    ];
    let stalls = Stalls {
        probability: 0.5,
        decode_probability: 0.5,
        duration: SHORT_STALL,
        failure_rate: 0.0,
        seed,
    };
    let mut wrong = Vec::new();
    let mut nonces = HashSet::new();
    for (kinds, keys) in [
        (at_once, KeyService::new(keyring.clone())),
        (late, KeyService::with_stalls(keyring.clone(), stalls)),
    ] {
        let (codec, keyring) = (make(keys), keyring.clone());
        let (told, used) = on_one_thread(FEW_THREADS, async move {
            let mut wrong = Vec::new();
            for (kind, calls) in kinds {
                let told = one_kind(&codec, &keyring, &key, &calls, &mut nonces).await;
                wrong.extend(told.err().map(|reason| format!("{kind}: {reason}")));
            }
            (wrong, nonces)
        })?;
        wrong.extend(told);
        nonces = used;
    }
    Ok(wrong)
}

fn payload(random: &mut fastrand::Rng, size: usize) -> Payload {
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
    bytes.iter_mut().zip(MARKER.bytes()).for_each(|(byte, mark)| *byte = mark);
    let metadata = [
        (ENCODING.to_owned(), b"json/plain".to_vec()),
        ("tenant".to_owned(), format!("tenant-{}", random.u32(..)).into_bytes()),
    ];
    Payload { metadata: metadata.into(), data: bytes, ..Payload::default() }
}

async fn one_kind(
    codec: &AnyCodec,
    keyring: &Keyring,
    key: &[u8],
    calls: &[Vec<Payload>],
    nonces: &mut HashSet<Vec<u8>>,
) -> Result<(), String> {
    let all_sealed = join_all(calls.iter().map(|plain| encode(codec, plain.clone()))).await;
    let mut together = Vec::new();
    for (plain, sealed) in calls.iter().zip(all_sealed) {
        let sealed = sealed.map_err(|error| format!("was not encoded: {error}"))?;
        if sealed.len() != plain.len() {
            return Err(format!("{} went in, {} came out of encode", plain.len(), sealed.len()));
        }
        for (sealed, plain) in sealed.iter().zip(plain) {
            one_payload(keyring, key, plain, sealed, nonces)?;
        }
        together.extend(sealed);
    }
    // All in one call: what a slow decode costs is another measurement's business.
    let opened = decode(codec, together).await;
    let opened = opened.map_err(|error| format!("was not decoded: {error}"))?;
    if !opened.iter().eq(calls.iter().flatten()) {
        return Err("decode gives something else than what was encoded".to_owned());
    }
    Ok(())
}

fn one_payload(
    keyring: &Keyring,
    key: &[u8],
    plain: &Payload,
    sealed: &Payload,
    nonces: &mut HashSet<Vec<u8>>,
) -> Result<(), String> {
    if sealed.metadata.get(ENCODING).is_none_or(|encoding| encoding != ENCRYPTED) {
        return Err("was not encrypted".to_owned());
    }
    // The first bytes are unlike any others.
    let shows = |secret: &[u8]| {
        let mut places = sealed.metadata.values().chain([&sealed.data]);
        !secret.is_empty()
            && places.any(|place| place.windows(secret.len()).any(|window| window == secret))
    };
    if shows(plain.data.get(..16).unwrap_or_default()) {
        return Err("the plaintext can be read in what was sealed".to_owned());
    }
    if shows(plain.metadata.get("tenant").map_or(&[], Vec::as_slice)) {
        return Err("the plaintext's metadata can be read in what was sealed".to_owned());
    }
    if shows(key) {
        return Err("the data key can be read in what was sealed".to_owned());
    }
    if !is_sealed_with(sealed, keyring.active().id()) {
        return Err(FOREIGN_KEY.to_owned());
    }
    if !nonces.insert(sealed.data.get(..12).unwrap_or_default().to_vec()) {
        return Err("a nonce was used twice".to_owned());
    }
    match codec_kit::open(keyring.keys(), sealed.clone()) {
        Ok(opened) if opened == *plain => Ok(()),
        Ok(_) => Err("what was sealed opens to another payload, or in another order".to_owned()),
        Err(error) => Err(format!("what was sealed does not open: {error}")),
    }
}
