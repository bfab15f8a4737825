//! How a codec treats payloads: those of another implementation, and payloads of every kind.

use codec_kit::{ENCODING, Keyring, Payload, vectors::Vectors};
use futures::future::join_all;
use temporalio_common::protos::temporal::api::common::v1::payload::ExternalPayloadDetails;

use super::common::{CALLS_AT_ONCE, LARGE_PAYLOAD, LARGEST_PAYLOAD, MARKER, SHORT_STALL};
use crate::{
    measure::{JudgeError, Operation},
    script::{Behaviour, Script},
    stage::{Stage, Subject, Trial, small},
};

/// Bytes of a payload between the small and the largest.
const MEDIUM_PAYLOAD: usize = 40_000;
/// A prime number: a codec that works in batches has a remainder, whatever their size.
const MANY_PAYLOADS: usize = 997;
/// Calls that need two keys each.
const MULTI_KEY_CALLS: usize = 48;
/// Threads of the blocking pool, few enough that calls can overtake each other.
const FEW_THREADS: usize = 4;

/// Has the codec decode every vector, and encode its content. Returns what is wrong, once for each vector.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn wire_format(subject: &Subject<'_>) -> Result<Vec<String>, JudgeError> {
    let Vectors { opens_to, must_be_an_error, decode_leaves_alone, .. } = Vectors::load();
    let mut wrong = Vec::new();
    // Some have a key of their own.
    let (test_key, others): (Vec<_>, Vec<_>) =
        opens_to.into_iter().partition(|vector| vector.keyring().is_test_key());
    for vector in others {
        let (stage, trial) = trial(subject, &vector.keyring())?;
        wrong.extend(stage.run(async move {
            both_ways(&trial, &vector.name, &vector.encrypted, &vector.plain).await
        })?);
    }
    let (stage, trial) = trial(subject, &Keyring::test_key())?;
    wrong.extend(stage.run(async move {
        let mut wrong = Vec::new();
        for vector in test_key {
            wrong.extend(both_ways(&trial, &vector.name, &vector.encrypted, &vector.plain).await);
        }
        for vector in must_be_an_error {
            if trial.call(Operation::Decode, vec![vector.encrypted]).await.is_ok() {
                wrong
                    .push(format!("{}: decoded without an error, but {}", vector.name, vector.why));
            }
        }
        for vector in decode_leaves_alone {
            let decoded = trial.call(Operation::Decode, vec![vector.payload.clone()]).await;
            if !decoded.is_ok_and(|decoded| decoded == [vector.payload]) {
                wrong.push(format!("{}: is not encrypted, and decode changed it", vector.name));
            }
        }
        wrong
    })?);
    Ok(wrong)
}

fn trial<'a>(
    subject: &'a Subject<'a>,
    keyring: &Keyring,
) -> Result<(Stage<'a>, Trial), JudgeError> {
    let stage = Stage::new(subject, 1)?;
    let trial = stage.codec(Script::new(keyring));
    Ok((stage, trial))
}

async fn both_ways(trial: &Trial, name: &str, encrypted: &Payload, plain: &Payload) -> Vec<String> {
    let mut wrong = Vec::new();
    match trial.call(Operation::Decode, vec![encrypted.clone()]).await {
        Ok(decoded) if decoded == [plain.clone()] => {}
        Ok(_) => wrong.push(format!("{name}: decodes to something else")),
        Err(error) => wrong.push(format!("{name}: was not decoded: {error}")),
    }
    // Twice, because two encryptions of the same payload must differ.
    if let Err(error) = trial.call(Operation::Encode, vec![plain.clone(); 2]).await {
        wrong.push(format!("{name}: was not encoded: {error}"));
    }
    wrong
}

/// Has the codec encode and decode payloads of all kinds: none at all, small ones with metadata, one of
/// 2 MiB, nearly a thousand in one call, encrypted and plain ones in one call, with two keys, a tampered one among
/// good ones, many calls at once; some keys come late. Every call is checked; this only makes them.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn payloads(subject: &Subject<'_>) -> Result<(), JudgeError> {
    let mut random = fastrand::Rng::with_seed(subject.seed);
    // Random keys, so that a codec with a built-in key can't encrypt with them.
    let script = Script::with_keys(3, &mut random);
    let mut some = |count: usize, size: usize| -> Vec<Payload> {
        (0..count).map(|_| payload(&mut random, size)).collect()
    };
    let (again, large_again) = (some(1, 100), some(1, LARGE_PAYLOAD));
    let prompt: Vec<Vec<Vec<Payload>>> = vec![
        vec![some(0, 0)],
        vec![vec![Payload::default()]],
        vec![some(3, 100)],
        vec![some(1, LARGEST_PAYLOAD)],
        vec![some(1, MEDIUM_PAYLOAD)],
        vec![[some(1, MEDIUM_PAYLOAD), some(2, 40)].concat()],
        vec![some(MANY_PAYLOADS, 40)],
        vec![vec![with_external(some(1, 40).remove(0))]],
        vec![again.clone()],
        vec![again],
        vec![large_again.clone()],
        vec![large_again],
    ];
    let late: Vec<Vec<Vec<Payload>>> =
        vec![vec![some(20, 40)], (0..CALLS_AT_ONCE).map(|call| some(call % 4, 40)).collect()];
    let (plain, other) = (some(2, 40), some(2, 40));
    let stage = Stage::new(subject, FEW_THREADS)?;
    let trial = stage.codec(script);
    stage.run(async move {
        for calls in prompt {
            there_and_back(&trial, calls).await;
        }
        for given in mixed(&trial, &plain, &other) {
            trial.call(Operation::Decode, given).await.ok();
        }
        trial
            .script
            .behave(Behaviour { stall_probability: 0.2, ..Behaviour::stalling(SHORT_STALL) });
        for calls in late {
            there_and_back(&trial, calls).await;
        }
        for given in mixed(&trial, &plain, &other) {
            trial.call(Operation::Decode, given).await.ok();
        }
    })?;
    several_keys_at_once(subject)
}

/// Has a new codec decode many calls at once that need two keys each, in either order: they must not wait for each other
/// forever.
fn several_keys_at_once(subject: &Subject<'_>) -> Result<(), JudgeError> {
    const KEYS: usize = 4;
    let stage = Stage::new(subject, FEW_THREADS)?;
    let trial = stage.trial(KEYS, Behaviour::stalling(SHORT_STALL));
    let calls = (0..MULTI_KEY_CALLS).map(|call| {
        let (first, second) = (call % KEYS, (call + 1 + call / KEYS % (KEYS - 1)) % KEYS);
        [first, second].map(|key| trial.given(Operation::Decode, vec![small()], key)).concat()
    });
    let calls: Vec<_> = calls.collect();
    stage.run(async move {
        trial.all_at_once(Operation::Decode, calls).await;
    })
}

/// Calls to decode that mix everything that can be in one call.
fn mixed(trial: &Trial, plain: &[Payload], other: &[Payload]) -> Vec<Vec<Payload>> {
    let with = |key: usize, plain: &[Payload]| trial.given(Operation::Decode, plain.to_vec(), key);
    let tampered = |key: usize, plain: &[Payload]| {
        let mut encrypted = with(key, plain);
        if let Some(last) = encrypted.last_mut().and_then(|last| last.data.last_mut()) {
            *last ^= 1;
        }
        encrypted
    };
    let twice = with(1, &plain[..1]);
    let mut marked = with(1, plain);
    for payload in &mut marked {
        payload.metadata.insert("trace-id".to_owned(), b"4711".to_vec());
    }
    let unencrypted = UNENCRYPTED.iter().map(|unencrypted| {
        let passed_on = unencrypted(other[0].clone());
        [with(1, plain), vec![passed_on], with(2, other)].concat()
    });
    let mixed = vec![
        plain.to_vec(),
        [twice.clone(), twice].concat(),
        marked,
        [with(1, plain), other.to_vec()].concat(),
        [plain.to_vec(), with(1, other)].concat(),
        [with(1, plain), with(2, other)].concat(),
        [with(2, plain), with(1, other), with(2, plain)].concat(),
        [with(0, plain), with(1, other), with(2, plain)].concat(),
        tampered(1, plain),
        [tampered(1, plain), with(1, other)].concat(),
        [with(2, plain), tampered(1, other)].concat(),
        [other.to_vec(), tampered(2, plain)].concat(),
    ];
    mixed.into_iter().chain(unencrypted).collect()
}

/// What a payload that is not encrypted can be. Decode passes on each as it came, and decodes what is beside it.
pub const UNENCRYPTED: [fn(Payload) -> Payload; 5] = [
    |plain| plain,
    |plain| with_encoding(plain, "binary/plain"),
    |plain| with_encoding(plain, "json/protobuf"),
    |plain| Payload { metadata: Default::default(), ..plain },
    with_external,
];

fn with_encoding(mut plain: Payload, encoding: &str) -> Payload {
    plain.metadata.insert(ENCODING.to_owned(), encoding.into());
    plain
}

/// The same, with a field that few payloads have.
fn with_external(plain: Payload) -> Payload {
    Payload { external_payloads: vec![ExternalPayloadDetails { size_bytes: 4711 }], ..plain }
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

/// Encodes all of these concurrently, and decodes the results in one call: the cost of a slow decode is
/// measured elsewhere.
async fn there_and_back(trial: &Trial, calls: Vec<Vec<Payload>>) {
    let all = join_all(calls.into_iter().map(|plain| trial.call(Operation::Encode, plain))).await;
    let together: Vec<Payload> = all.into_iter().flatten().flatten().collect();
    trial.call(Operation::Decode, together).await.ok();
}
