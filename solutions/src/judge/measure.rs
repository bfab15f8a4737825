//! Measurements of what a codec does.
//!
//! Every measure is taken against the stall that the codec was dealt, not against absolute
//! milliseconds: a slow machine makes everything slower, the stall included. Where another program
//! on the machine can only make a figure worse, the best of a few tries counts.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs,
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::mpsc::{self, Receiver},
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{
    AnyCodec, Calls, ENCODING, ENCRYPTED, Figures, KeyService, Keyring, KeyringError, Observed,
    Payload, PayloadCodec, PayloadConversionError, SerializationContextData, Stalls, seal_all,
    vectors::Vectors,
};
use futures::future::join_all;
use tokio::{
    runtime,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Builds the codec under judgement around a key service.
pub type MakeCodec<'a> = &'a dyn Fn(KeyService) -> AnyCodec;

/// The payloads' data begins with it, so that it is known again where nobody should be able to read it.
pub const MARKER: &str = "judge-8Rk2vQ7mXw5d";

/// How often a measure is taken that only noise can spoil.
const TRIES: usize = 3;
/// The largest payload that is tried: Temporal's limit.
const LARGE: usize = 2 << 20;
/// Tokio's default for its blocking pool.
const MANY_THREADS: usize = 512;
/// Threads of the blocking pool where order could be lost among them.
const FEW_THREADS: usize = 4;
/// Calls at once, enough for what happens once in a hundred.
const CALLS: usize = 130;
/// Encodings that a key service that fails every other time is tried with.
const OFTEN: usize = 40;
/// How often threads and tasks are counted.
const LOOK: Duration = Duration::from_millis(5);
/// A key that comes late, but soon: late enough to change the order of what waits for it.
const LATE: Duration = Duration::from_millis(10);
/// How long a measure goes on with a codec that does one thing after another.
const ENOUGH: Duration = Duration::from_secs(2);
/// How long a codec may take to recover from an error: it may remember it for a second.
const RECOVERY: Duration = Duration::from_secs(3);
/// How long the judge waits for a measure that does not end. The longest that does takes 5 s.
const PATIENCE: Duration = Duration::from_secs(8);

/// The judge came to no result.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// No runtime to run the codec on.
    #[error("the judge could not start a tokio runtime to run the codec on: {0}")]
    Runtime(#[from] std::io::Error),
    /// No key to seal with.
    #[error("the judge could not make a data key: {0}")]
    Key(#[from] KeyringError),
    /// The codec holds its thread for ever, or waits for what never comes.
    #[error("it did not come to an end within {} s", .0.as_secs())]
    Stuck(Duration),
}

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
    let opens = |p: &Payload| codec_kit::open(keyring, p.clone()).is_ok_and(|o| o == *plain);
    match &sealed[..] {
        [a, b] if ![a, b].into_iter().all(encrypted) => Some(format!("{name}: was not encrypted")),
        [a, b] if a.data == b.data => Some(format!("{name}: sealed twice to the same bytes")),
        [a, b] if ![a, b].into_iter().all(opens) => {
            Some(format!("{name}: what was sealed does not open to what went in"))
        }
        [_, _] => None,
        others => Some(format!("{name}: 2 payloads went in, {} came out", others.len())),
    }
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
        ("a payload of 2 MiB", vec![some(1, LARGE)]),
        ("a thousand payloads in one call", vec![some(1000, 40)]),
        ("a payload", vec![again.clone()]),
        ("the same payload again", vec![again]),
    ];
    let late: Vec<Kind> = vec![
        ("twenty payloads in one call, some keys late", vec![some(20, 40)]),
        ("many calls at once, some keys late", (0..CALLS).map(|call| some(call % 4, 40)).collect()),
    ];
    let stalls = Stalls { probability: 0.5, duration: LATE, failure_rate: 0.0, seed };
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
    if !nonces.insert(sealed.data.get(..12).unwrap_or_default().to_vec()) {
        return Err("a nonce was used twice".to_owned());
    }
    match codec_kit::open(keyring, sealed.clone()) {
        Ok(opened) if opened == *plain => Ok(()),
        Ok(_) => Err("what was sealed opens to another payload, or in another order".to_owned()),
        Err(error) => Err(format!("what was sealed does not open: {error}")),
    }
}

/// What one encoding did that was dealt one stall.
#[derive(Clone, Copy, Debug)]
pub struct OneStall {
    /// The stall that was dealt.
    pub stall: Duration,
    /// The longest the codec, or a task that it started, held its thread, at its best of a few tries.
    pub longest_poll: Duration,
    /// How long the encoding took, at its best of a few tries.
    pub wall: Duration,
    /// Whether in every try a call to the key service had come back when the codec was done. One is
    /// enough: a codec may ask twice and take the first answer.
    pub waited_for_key: bool,
}

impl OneStall {
    /// Whether the codec held its thread for (nearly) the whole stall.
    pub fn holds_thread(&self) -> bool {
        self.longest_poll >= self.stall.mul_f64(0.9)
    }

    /// Whether the codec let go of its thread: it held it for less than a quarter of the stall.
    pub fn releases_thread(&self) -> bool {
        self.longest_poll < self.stall / 4
    }

    /// Whether the codec sealed only after its key had come.
    pub fn waits(&self) -> bool {
        self.waited_for_key && self.wall >= self.stall.mul_f64(0.99)
    }
}

/// Has the codec encode one payload while the key service stalls.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn one_stall(make: MakeCodec<'_>, stall: Duration) -> Result<OneStall, JudgeError> {
    let mut seen =
        OneStall { stall, longest_poll: Duration::MAX, wall: Duration::MAX, waited_for_key: true };
    for _ in 0..TRIES {
        let keys = stalling(stall);
        let figures = Figures::default();
        // From before the codec is made: one that asks for its key then has waited as well.
        let began = Instant::now();
        let codec = AnyCodec::new(Observed::with_figures(make(keys.clone()), figures.clone()));
        let ((wall, calls), held) = on_one_thread(
            1,
            with_lag(async move {
                // An error shows as a key that was not waited for.
                let sealed = encode(&codec, vec![small()]).await;
                (began.elapsed(), sealed.map(|_| keys.calls()).unwrap_or_default())
            }),
        )?;
        seen.longest_poll = seen.longest_poll.min(figures.encode().longest_poll.max(held));
        seen.wall = seen.wall.min(wall);
        seen.waited_for_key &= calls.finished > 0;
        // Noise makes it only worse: one try without any is enough.
        if seen.waits() && seen.longest_poll < stall / 8 && seen.wall < stall * 3 / 2 {
            break;
        }
    }
    Ok(seen)
}

/// What became of an encoding whose key takes very long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongStall {
    /// It waited.
    Waited,
    /// It gave up, and said so.
    GaveUp(Duration),
    /// It sealed without its key.
    Sealed(Duration),
}

/// Has the codec encode one payload while the key service stalls for so long that a codec with a
/// deadline would not wait for it.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn long_stall(make: MakeCodec<'_>, stall: Duration) -> Result<LongStall, JudgeError> {
    let keys = stalling(stall);
    let began = Instant::now();
    let codec = make(keys.clone());
    on_one_thread(1, async move {
        let sealed = encode(&codec, vec![small()]).await.is_ok();
        let (took, came) = (began.elapsed(), keys.calls().finished > 0);
        match (sealed, came) {
            (true, true) => LongStall::Waited,
            (true, false) => LongStall::Sealed(took),
            (false, _) => LongStall::GaveUp(took),
        }
    })
}

/// What several encodings at once did, each dealt one stall.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce {
    /// How many.
    pub encodings: usize,
    /// The most threads that the blocking pool might have.
    pub pool: usize,
    /// The stall that each was dealt.
    pub stall: Duration,
    /// How long they took together, at their best of a few tries.
    pub wall: Duration,
}

impl AtOnce {
    /// How many stalls one after another would have taken that long.
    pub fn stalls_in_a_row(&self) -> f64 {
        self.wall.as_secs_f64() / self.stall.as_secs_f64()
    }
}

/// Has the codec encode `encodings` payloads at once, on one thread and with a blocking pool of at
/// most `pool` threads, while the key service stalls.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn at_once(
    make: MakeCodec<'_>,
    encodings: usize,
    pool: usize,
    stall: Duration,
) -> Result<AtOnce, JudgeError> {
    let calls = vec![vec![small()]; encodings];
    let wall = best_wall(make, calls, pool, stall)?;
    Ok(AtOnce { encodings, pool, stall, wall })
}

/// Has the codec encode `payloads` payloads in one call while the key service stalls, and tells how
/// many stalls one after another would have taken that long: more than one, if each payload waits for
/// a key of its own, and for that of the payload before.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn stalls_of_one_call(
    make: MakeCodec<'_>,
    payloads: usize,
    pool: usize,
    stall: Duration,
) -> Result<f64, JudgeError> {
    let wall = best_wall(make, vec![vec![small(); payloads]], pool, stall)?;
    Ok(wall.as_secs_f64() / stall.as_secs_f64())
}

/// How long these calls took, made at once, at their best of a few tries.
fn best_wall(
    make: MakeCodec<'_>,
    calls: Vec<Vec<Payload>>,
    pool: usize,
    stall: Duration,
) -> Result<Duration, JudgeError> {
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let (codec, calls) = (make(stalling(stall)), calls.clone());
        let took = on_one_thread(pool, async move {
            let began = Instant::now();
            all_at_once(&codec, calls).await;
            began.elapsed()
        })?;
        best = best.min(took);
        // Hardly any noise, or more than noise can do.
        if best < stall * 3 / 2 || best > stall * 6 {
            break;
        }
    }
    Ok(best)
}

/// What a codec did with a key service that fails, and then with one that works again.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Whether the failed call was an error of the codec's, with nothing sealed, and whether it was
    /// so for each of many calls.
    pub is_passed_on: bool,
    /// Whether there was an answer at all, in some seconds.
    pub answered: bool,
    /// Calls to the key service for the first encoding.
    pub calls: u64,
    /// Whether it sealed again when the key service worked again.
    pub recovers: bool,
    /// Encodings that were sealed although the key service was asked and gave no key.
    pub sealed_without: usize,
}

/// Has the codec encode while the key service fails, and then with one that fails now and then.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn failure(make: MakeCodec<'_>) -> Result<Failure, JudgeError> {
    // Late enough that who asks for ever does not take a processor for ever.
    let stalls =
        Stalls { probability: 1.0, duration: LATE / 5, failure_rate: 1.0, ..Stalls::default() };
    let keys = KeyService::with_stalls(Keyring::test_key(), stalls);
    let codec = make(keys.clone());
    let failing = keys.clone();
    let first = on_one_thread(1, async move {
        let Ok(first) = timeout(ENOUGH, encode(&codec, vec![small()])).await else {
            return (None, failing.calls().started);
        };
        let calls = failing.calls().started;
        // What it does once in a hundred times shows here.
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..CALLS {
            let codec = codec.clone();
            tasks.spawn(async move {
                began.elapsed() < ENOUGH && encode(&codec, vec![small()]).await.is_ok()
            });
        }
        let mut sealed = first.is_ok();
        let all = async {
            while let Some(one) = tasks.join_next().await {
                sealed |= one.unwrap_or_default();
            }
        };
        timeout(ENOUGH, all).await.ok();
        (Some(!sealed), calls)
    });
    let (is_passed_on, calls) = match first {
        Err(JudgeError::Stuck(_)) => (None, keys.calls().started),
        other => other?,
    };
    let Some(is_passed_on) = is_passed_on else {
        let not = Failure {
            is_passed_on: false,
            answered: false,
            calls,
            recovers: false,
            sealed_without: 0,
        };
        return Ok(not);
    };
    let (recovers, sealed_without) = recovery(make)?;
    Ok(Failure { is_passed_on, answered: true, calls, recovers, sealed_without })
}

/// Whether a codec seals after errors, and how often it sealed without a key.
fn recovery(make: MakeCodec<'_>) -> Result<(bool, usize), JudgeError> {
    let keys = flaky();
    let codec = make(keys.clone());
    on_one_thread(1, async move {
        let began = Instant::now();
        let (mut sealed, mut without) = (0, 0);
        while sealed < OFTEN && began.elapsed() < RECOVERY {
            let before = keys.calls();
            let encoded = encode(&codec, vec![small()]).await;
            let after = keys.calls();
            if encoded.is_err() {
                if sealed == 0 {
                    sleep(LATE).await;
                }
                continue;
            }
            sealed += 1;
            let came = |calls: Calls| calls.finished - calls.failed;
            if after.failed > before.failed && came(after) == came(before) {
                without += 1;
            }
        }
        (sealed > 0, without)
    })
}

/// A key service that fails every other time, and the first few times.
fn flaky() -> KeyService {
    const FIRST: usize = 4;
    let stalls = |seed| Stalls { failure_rate: 0.5, seed, ..Stalls::never() };
    let service = |seed| KeyService::with_stalls(Keyring::test_key(), stalls(seed));
    let fails = |keys: &KeyService| (0..FIRST).all(|_| keys.data_key_blocking().is_err());
    // One seed in sixteen.
    let seed = (1..1000).find(|seed| fails(&service(*seed))).unwrap_or(1);
    service(seed)
}

/// Has the codec encode once, and returns how many calls `codec_call_seconds` counted in the default
/// registry, which is what a worker's `/metrics` serves.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn calls_counted(make: MakeCodec<'_>) -> Result<u64, JudgeError> {
    let codec = make(KeyService::new(Keyring::test_key()));
    let before = counted();
    on_one_thread(1, async move { encode(&codec, vec![small()]).await.ok() })?;
    Ok(counted() - before)
}

fn counted() -> u64 {
    let families = prometheus::gather();
    let calls = families.iter().filter(|family| family.name() == "codec_call_seconds");
    calls.flat_map(|calls| calls.get_metric()).map(|m| m.get_histogram().get_sample_count()).sum()
}

/// What many calls did at once, each dealt a stall.
#[derive(Clone, Copy, Debug)]
pub struct ManyCalls {
    /// The stall.
    pub stall: Duration,
    /// The longest that an encoding held its thread, at its best of a few tries.
    pub encode: Duration,
    /// The longest that a decoding held its thread, at its best of a few tries.
    pub decode: Duration,
    /// The longest that the thread was held, by many polls in a row or by tasks that the codec
    /// started, at its best of a few tries.
    pub held: Duration,
    /// The longest that a decoding took, at its best of a few tries: nothing that it needs is slow.
    pub decode_wall: Duration,
    /// How soon after the codec was made the first of them was sealed, at its soonest.
    pub soonest: Duration,
    /// How many were sealed in the time there was.
    pub sealed: usize,
    /// How many calls to the key service were made for that.
    pub keys: u64,
}

impl ManyCalls {
    /// Whether all calls let go of their thread: none held it for a quarter of the stall, and nothing
    /// else for most of it (many calls that seal one after another take some time, too).
    pub fn release_thread(&self) -> bool {
        self.encode.max(self.decode) < self.stall / 4 && self.held < self.stall * 3 / 4
    }
}

/// Has the codec encode many calls at once, small ones and a large one, and then decode as many, with
/// a key service that stalls each time: what is rare shows here. Ends early where the calls wait for
/// each other, or where one has held the thread.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn many_calls(
    make: MakeCodec<'_>,
    calls: usize,
    stall: Duration,
) -> Result<ManyCalls, JudgeError> {
    let long = Duration::MAX;
    let mut seen = ManyCalls {
        stall,
        encode: long,
        decode: long,
        held: long,
        decode_wall: long,
        soonest: long,
        sealed: 0,
        keys: 0,
    };
    for _ in 0..TRIES {
        let (keys, figures) = (stalling(stall), Figures::default());
        let began = Instant::now();
        let codec = AnyCodec::new(Observed::with_figures(make(keys.clone()), figures.clone()));
        let observed = figures.clone();
        let ((sealed, decode_wall), held) = on_one_thread(
            MANY_THREADS,
            with_lag(async move {
                let sealed = encode_many(&codec, calls, stall, began, &observed).await;
                (sealed, decode_many(&codec, calls, stall, &observed).await)
            }),
        )?;
        seen.held = seen.held.min(held);
        seen.encode = seen.encode.min(figures.encode().longest_poll);
        seen.decode = seen.decode.min(figures.decode().longest_poll);
        seen.decode_wall = seen.decode_wall.min(decode_wall);
        // Noise makes nothing sooner: of all tries, the soonest counts.
        seen.soonest = sealed.iter().copied().min().unwrap_or(long).min(seen.soonest);
        seen.sealed = sealed.len();
        seen.keys = keys.calls().started;
        if seen.release_thread() {
            break;
        }
    }
    Ok(seen)
}

/// Payloads of the call of that number: some have several, one has a large one.
fn nth_call(call: usize, calls: usize) -> Vec<Payload> {
    let size = if call == calls / 2 { LARGE } else { 100 };
    vec![Payload { data: vec![7; size], ..Payload::default() }; 1 + call % 3]
}

/// When each was sealed.
async fn encode_many(
    codec: &AnyCodec,
    calls: usize,
    stall: Duration,
    began: Instant,
    figures: &Figures,
) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    for call in 0..calls {
        let (codec, figures) = (codec.clone(), figures.clone());
        tasks.spawn(async move {
            let mut encoding = pin!(encode(&codec, nth_call(call, calls)));
            let sealed = poll_fn(|context| {
                // One has held the thread: the others would only take their time.
                if figures.encode().longest_poll >= stall / 4 {
                    return Poll::Ready(false);
                }
                encoding.as_mut().poll(context).map(|sealed| sealed.is_ok())
            });
            sealed.await.then(|| began.elapsed())
        });
    }
    let mut sealed = Vec::new();
    let all = async {
        while let Some(one) = tasks.join_next().await {
            sealed.extend(one.ok().flatten());
        }
    };
    timeout(stall * 5, all).await.ok();
    sealed
}

/// The longest that one took.
async fn decode_many(
    codec: &AnyCodec,
    calls: usize,
    stall: Duration,
    figures: &Figures,
) -> Duration {
    let mut longest = Duration::ZERO;
    let key = Keyring::test_key().active().clone();
    for call in 0..calls {
        // Errors are another measurement's business.
        let Ok(sealed) = seal_all(&key, nth_call(call, calls)) else { continue };
        let began = Instant::now();
        decode(codec, sealed).await.ok();
        longest = longest.max(began.elapsed());
        if figures.decode().longest_poll >= stall / 4 || longest >= stall {
            break;
        }
    }
    longest
}

/// Has the codec encode one payload while the key service stalls, and counts how often it asked to be
/// polled. A wait needs two polls; a loop that yields needs thousands.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn polls_of_one_stall(make: MakeCodec<'_>, stall: Duration) -> Result<u64, JudgeError> {
    let codec = make(stalling(stall));
    on_one_thread(1, async move {
        let mut encoding = Box::pin(encode(&codec, vec![small()]));
        let mut polls = 0;
        poll_fn(|context| {
            polls += 1;
            encoding.as_mut().poll(context)
        })
        .await
        .ok();
        polls
    })
}

/// Threads that the process had beyond those it had before, while `encodings` waited at once for a
/// key service that stalls; `None` where the system does not tell (it does on Linux). Those that a
/// codec uses after its key has come are not counted: it may seal where it likes.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn threads_at_once(
    make: MakeCodec<'_>,
    encodings: usize,
    pool: usize,
    stall: Duration,
) -> Result<Option<usize>, JudgeError> {
    let Some(before) = threads() else { return Ok(None) };
    let began = Instant::now();
    let codec = make(stalling(stall));
    let running = start(pool, async move {
        let all = all_at_once(&codec, vec![vec![small()]; encodings]);
        timeout(stall * 3 / 2, all).await.ok();
    })?;
    let mut peak = 0;
    loop {
        let now = threads().unwrap_or_default();
        // Looked at too late: keys may have come.
        if began.elapsed() >= stall * 9 / 10 {
            break;
        }
        peak = peak.max(now.difference(&before).count());
        thread::sleep(LOOK);
    }
    running.result()?;
    // One of them ran the runtime.
    Ok(Some(peak.saturating_sub(1)))
}

/// What is left of encodings that were given up while they waited for their key.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp {
    /// How many were given up, twice.
    pub encodings: usize,
    /// Of those given up last: calls to the key service that went on until their key came.
    pub went_on: u64,
    /// Tasks of the runtime that the second lot of them added to those of the first.
    pub tasks: usize,
    /// Threads of the process that the second lot of them added to those of the first.
    pub threads: usize,
    /// Whether the codec could still encode.
    pub still_works: bool,
}

/// Gives up encodings while they wait, as the SDK does when a worker stops.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn given_up(
    make: MakeCodec<'_>,
    encodings: usize,
    stall: Duration,
) -> Result<GivenUp, JudgeError> {
    let keys = stalling(stall);
    let codec = make(keys.clone());
    on_one_thread(MANY_THREADS, async move {
        give_up(&codec, encodings, stall).await;
        until_quiet(&keys, stall).await;
        let (tasks_before, threads_before) = (tasks(), threads().unwrap_or_default());

        give_up(&codec, encodings, stall).await;
        let came = keys.calls().finished;
        until_quiet(&keys, stall).await;
        let went_on = keys.calls().finished - came;
        let more = || {
            let threads = threads().unwrap_or_default().difference(&threads_before).count();
            (tasks().saturating_sub(tasks_before), threads)
        };
        // What is about to end may need a moment on a busy machine.
        let began = Instant::now();
        while more() != (0, 0) && began.elapsed() < stall * 3 {
            sleep(LOOK).await;
        }
        let (tasks, threads) = more();
        // One that was given up must not keep a place for ever.
        let last = timeout(stall * 5, encode(&codec, vec![small()])).await;
        let still_works = last.is_ok_and(|sealed| sealed.is_ok());
        GivenUp { encodings, went_on, tasks, threads, still_works }
    })
}

/// Waits until no more keys come: what was given up may still be worked off, one after another.
async fn until_quiet(keys: &KeyService, stall: Duration) {
    loop {
        let came = keys.calls().finished;
        sleep(stall * 3 / 2).await;
        if keys.calls().finished == came {
            break;
        }
    }
}

/// Waits long enough that all wait, and too short for a key.
async fn give_up(codec: &AnyCodec, encodings: usize, stall: Duration) {
    let waiting: Vec<_> = (0..encodings).map(|_| encode(codec, vec![small()])).collect();
    timeout(stall / 4, join_all(waiting)).await.ok();
}

/// Tasks of this runtime.
fn tasks() -> usize {
    runtime::Handle::current().metrics().num_alive_tasks()
}

/// Threads of this process, where the system tells. By name and not by number: some of those there
/// before may just be about to end.
fn threads() -> Option<HashSet<OsString>> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    Some(threads.filter_map(|thread| Some(thread.ok()?.file_name())).collect())
}

/// Encodes all these calls at once.
async fn all_at_once(codec: &AnyCodec, calls: Vec<Vec<Payload>>) {
    let mut tasks = JoinSet::new();
    for payloads in calls {
        let codec = codec.clone();
        tasks.spawn(async move { encode(&codec, payloads).await.is_ok() });
    }
    // A task that panicked is another measurement's business.
    while tasks.join_next().await.is_some() {}
}

/// A payload like most.
fn small() -> Payload {
    Payload { data: MARKER.into(), ..Payload::default() }
}

fn stalling(stall: Duration) -> KeyService {
    let stalls = Stalls { probability: 1.0, duration: stall, ..Stalls::default() };
    KeyService::with_stalls(Keyring::test_key(), stalls)
}

/// Runs `work` on a runtime of its own with one thread, as the worker has by default.
fn on_one_thread<T: Send + 'static>(
    pool: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, JudgeError> {
    start(pool, work)?.result()
}

/// Does the work, and tells for how long its thread was held by something else of the same runtime.
async fn with_lag<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let (mut work, mut tick) = (pin!(work), pin!(sleep(LOOK)));
    let (mut last, mut lag) = (Instant::now(), Duration::ZERO);
    let done = poll_fn(|context| {
        lag = lag.max(last.elapsed().saturating_sub(LOOK));
        let done = work.as_mut().poll(context);
        while tick.as_mut().poll(context).is_ready() {
            tick.set(sleep(LOOK));
        }
        last = Instant::now();
        done
    })
    .await;
    (done, lag)
}

/// What runs on a thread of its own, so that a codec that never comes back does not take the judge
/// with it.
struct Running<T>(Receiver<thread::Result<T>>);

fn start<T: Send + 'static>(
    pool: usize,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Running<T>, JudgeError> {
    let runtime =
        runtime::Builder::new_current_thread().enable_time().max_blocking_threads(pool).build()?;
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().name("judged".to_owned()).spawn(move || {
        let result = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work)));
        // A codec that does not wait for its blocking call leaves it behind: that must not delay us.
        runtime.shutdown_background();
        // Nobody receives it when the judge has lost its patience.
        sender.send(result).ok();
    })?;
    Ok(Running(receiver))
}

impl<T> Running<T> {
    /// What came out; a panic of the codec goes on here.
    fn result(self) -> Result<T, JudgeError> {
        match self.0.recv_timeout(PATIENCE) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(panicked)) => panic::resume_unwind(panicked),
            Err(_) => Err(JudgeError::Stuck(PATIENCE)),
        }
    }
}

async fn encode(
    codec: &AnyCodec,
    payloads: Vec<Payload>,
) -> Result<Vec<Payload>, PayloadConversionError> {
    codec.encode(&SerializationContextData::None, payloads).await
}

async fn decode(
    codec: &AnyCodec,
    payloads: Vec<Payload>,
) -> Result<Vec<Payload>, PayloadConversionError> {
    codec.decode(&SerializationContextData::None, payloads).await
}
