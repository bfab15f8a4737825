//! Measurements of what a codec does.
//!
//! Every measure is taken against the stall that the codec was dealt, not against absolute
//! milliseconds: a slow machine makes everything slower, the stall included. Where another program
//! on the machine can only make a figure worse, the best of a few tries counts.

use std::{
    collections::HashSet,
    future::poll_fn,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{
    AnyCodec, Calls, ENCODING, ENCRYPTED, Figures, KeyService, Keyring, KeyringError, Observed,
    Payload, PayloadCodec, PayloadConversionError, SerializationContextData, Stalls,
    vectors::Vectors,
};
use futures::future::join_all;
use tokio::{runtime, task::JoinSet};

/// Builds the codec under judgement around a key service.
pub type MakeCodec<'a> = &'a dyn Fn(KeyService) -> AnyCodec;

/// How often a measure is taken that only noise can spoil.
const TRIES: usize = 3;
/// The largest payload that is tried: Temporal's limit.
const LARGE: usize = 2 << 20;
/// Tokio's default for its blocking pool.
const MANY_THREADS: usize = 512;
/// How often threads are counted.
const LOOK: Duration = Duration::from_millis(5);

/// The judge could not do its work; this says nothing about the codec.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// No runtime to run the codec on.
    #[error("the judge could not start a tokio runtime to run the codec on: {0}")]
    Runtime(#[from] std::io::Error),
    /// No key to seal with.
    #[error("the judge could not make a data key: {0}")]
    Key(#[from] KeyringError),
}

/// How a codec treats payloads.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn wire_format(make: MakeCodec<'_>) -> Result<Vec<String>, JudgeError> {
    let vectors = Vectors::load();
    let mut wrong = Vec::new();
    on_one_thread(1, async {
        for vector in &vectors.opens_to {
            let keyring = vector.keyring();
            let codec = make(KeyService::new(keyring.clone()));
            match decode(&codec, vec![vector.encrypted.clone()]).await {
                Ok(opened) if opened == [vector.plain.clone()] => {}
                Ok(_) => wrong.push(format!("{}: opened to something else", vector.name)),
                Err(error) => wrong.push(format!("{}: was not opened: {error}", vector.name)),
            }
            wrong.extend(round_trip(&codec, &keyring, &vector.name, &vector.plain).await);
        }
        for vector in &vectors.must_be_an_error {
            let codec = make(KeyService::new(vector.keyring()));
            if decode(&codec, vec![vector.encrypted.clone()]).await.is_ok() {
                wrong.push(format!("{}: was accepted, but {}", vector.name, vector.why));
            }
        }
        for vector in &vectors.decode_leaves_alone {
            let codec = make(KeyService::new(Keyring::test_key()));
            let decoded = decode(&codec, vec![vector.payload.clone()]).await;
            if decoded.ok().as_deref() != Some(std::slice::from_ref(&vector.payload)) {
                wrong.push(format!("{}: is not encrypted, and was not left alone", vector.name));
            }
        }
    })?;
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

/// Has the codec encode and decode payloads of all kinds: none at all, small ones with metadata, one
/// of 2 MiB, a thousand in one call. What is wrong is told, at most once for each kind.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn payloads(make: MakeCodec<'_>, seed: u64) -> Result<Vec<String>, JudgeError> {
    let mut random = fastrand::Rng::with_seed(seed);
    // A key that nobody knows: a codec with a key of its own can't seal with it.
    let key: [u8; 32] = std::array::from_fn(|_| random.u8(..));
    let keyring = Keyring::parse(&format!("judge-{seed}={}", STANDARD.encode(key)), None)?;
    let mut some = |count: usize, size: usize| -> Vec<Payload> {
        (0..count).map(|_| payload(&mut random, size)).collect()
    };
    let kinds = [
        ("no payload", some(0, 0)),
        ("an empty payload", vec![Payload::default()]),
        ("three payloads", some(3, 100)),
        ("a payload of 2 MiB", some(1, LARGE)),
        ("a thousand payloads in one call", some(1000, 40)),
    ];
    let codec = make(KeyService::new(keyring.clone()));
    on_one_thread(1, async {
        let mut wrong = Vec::new();
        let mut nonces = HashSet::new();
        for (kind, plain) in kinds {
            if let Err(reason) = one_kind(&codec, &keyring, &key, plain, &mut nonces).await {
                wrong.push(format!("{kind}: {reason}"));
            }
        }
        wrong
    })
}

fn payload(random: &mut fastrand::Rng, size: usize) -> Payload {
    let mut bytes = vec![0; size];
    random.fill(&mut bytes);
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
    plain: Vec<Payload>,
    nonces: &mut HashSet<Vec<u8>>,
) -> Result<(), String> {
    let sealed = encode(codec, plain.clone()).await;
    let sealed = sealed.map_err(|error| format!("was not encoded: {error}"))?;
    if sealed.len() != plain.len() {
        return Err(format!("{} went in, {} came out of encode", plain.len(), sealed.len()));
    }
    for (sealed, plain) in sealed.iter().zip(&plain) {
        if sealed.metadata.get(ENCODING).is_none_or(|encoding| encoding != ENCRYPTED) {
            return Err("was not encrypted".to_owned());
        }
        // The first bytes of random data are unlike any others.
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
            Ok(opened) if opened == *plain => {}
            Ok(_) => {
                return Err(
                    "what was sealed opens to another payload, or in another order".to_owned()
                );
            }
            Err(error) => return Err(format!("what was sealed does not open: {error}")),
        }
    }
    let opened = decode(codec, sealed).await;
    let opened = opened.map_err(|error| format!("was not decoded: {error}"))?;
    if opened != plain {
        return Err("decode gives something else than what was encoded".to_owned());
    }
    Ok(())
}

/// What one encoding did that was dealt one stall.
#[derive(Clone, Copy, Debug)]
pub struct OneStall {
    /// The stall that was dealt.
    pub stall: Duration,
    /// The longest the codec held its thread, at its best of a few tries.
    pub longest_poll: Duration,
    /// How long the encoding took, at its best of a few tries.
    pub wall: Duration,
    /// Whether in every try each call to the key service had come back when the codec was done, and
    /// there was one.
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
/// [`JudgeError`] when no runtime can be started.
pub fn one_stall(make: MakeCodec<'_>, stall: Duration) -> Result<OneStall, JudgeError> {
    let mut seen =
        OneStall { stall, longest_poll: Duration::MAX, wall: Duration::MAX, waited_for_key: true };
    for _ in 0..TRIES {
        let keys = stalling(stall);
        let figures = Figures::default();
        let codec = AnyCodec::new(Observed::with_figures(make(keys.clone()), figures.clone()));
        let (wall, calls) = on_one_thread(1, async {
            let began = Instant::now();
            // An error shows as a key that was not waited for.
            let sealed = encode(&codec, vec![Payload::default()]).await;
            (began.elapsed(), sealed.map(|_| keys.calls()).unwrap_or_default())
        })?;
        seen.longest_poll = seen.longest_poll.min(figures.encode().longest_poll);
        seen.wall = seen.wall.min(wall);
        seen.waited_for_key &= all_came_back(calls);
    }
    Ok(seen)
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
/// [`JudgeError`] when no runtime can be started.
pub fn at_once(
    make: MakeCodec<'_>,
    encodings: usize,
    pool: usize,
    stall: Duration,
) -> Result<AtOnce, JudgeError> {
    let mut wall = Duration::MAX;
    for _ in 0..TRIES {
        let codec = make(stalling(stall));
        let took = on_one_thread(pool, async {
            let began = Instant::now();
            all_at_once(&codec, encodings).await;
            began.elapsed()
        })?;
        wall = wall.min(took);
    }
    Ok(AtOnce { encodings, pool, stall, wall })
}

/// What a codec did with a key service that fails, and then with one that works again.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Whether the failed call was an error of the codec's, with nothing sealed.
    pub is_passed_on: bool,
    /// Calls to the key service for that one encoding.
    pub calls: u64,
}

/// Has the codec encode one payload while the key service fails.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn failure(make: MakeCodec<'_>) -> Result<Failure, JudgeError> {
    let stalls = Stalls { failure_rate: 1.0, ..Stalls::never() };
    let keys = KeyService::with_stalls(Keyring::test_key(), stalls);
    let codec = make(keys.clone());
    let is_passed_on =
        on_one_thread(1, async { encode(&codec, vec![Payload::default()]).await.is_err() })?;
    Ok(Failure { is_passed_on, calls: keys.calls().started })
}

/// Has the codec encode once, and returns how many calls `codec_call_seconds` counted in the default
/// registry, which is what a worker's `/metrics` serves.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn calls_counted(make: MakeCodec<'_>) -> Result<u64, JudgeError> {
    let codec = make(KeyService::new(Keyring::test_key()));
    let before = counted();
    on_one_thread(1, async { encode(&codec, vec![Payload::default()]).await.ok() })?;
    Ok(counted() - before)
}

fn counted() -> u64 {
    let families = prometheus::gather();
    let calls = families.iter().filter(|family| family.name() == "codec_call_seconds");
    calls.flat_map(|calls| calls.get_metric()).map(|m| m.get_histogram().get_sample_count()).sum()
}

/// What many calls did, one of them with a stall.
#[derive(Clone, Copy, Debug)]
pub struct ManyCalls {
    /// The longest that an encoding held its thread.
    pub encode: Duration,
    /// The longest that a decoding held its thread.
    pub decode: Duration,
    /// The longest that a decoding took: nothing that it needs is slow.
    pub decode_wall: Duration,
}

/// Has the codec encode and decode many times, small payloads and one large one, with a key service
/// that answers at once: what is rare shows here, and what grows.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn many_calls(make: MakeCodec<'_>, calls: usize) -> Result<ManyCalls, JudgeError> {
    let mut seen =
        ManyCalls { encode: Duration::MAX, decode: Duration::MAX, decode_wall: Duration::MAX };
    for _ in 0..TRIES {
        let figures = Figures::default();
        let keys = KeyService::new(Keyring::test_key());
        let codec = AnyCodec::new(Observed::with_figures(make(keys), figures.clone()));
        let decode_wall = on_one_thread(1, async {
            let mut longest = Duration::ZERO;
            for call in 0..calls {
                let size = if call == calls / 2 { LARGE } else { 100 };
                let payload = Payload { data: vec![7; size], ..Payload::default() };
                // Errors are another measurement's business.
                let Ok(sealed) = encode(&codec, vec![payload]).await else { continue };
                let began = Instant::now();
                decode(&codec, sealed).await.ok();
                longest = longest.max(began.elapsed());
            }
            longest
        })?;
        seen.encode = seen.encode.min(figures.encode().longest_poll);
        seen.decode = seen.decode.min(figures.decode().longest_poll);
        seen.decode_wall = seen.decode_wall.min(decode_wall);
    }
    Ok(seen)
}

/// Has the codec encode one payload while the key service stalls, and counts how often it asked to be
/// polled. A wait needs two polls; a loop that yields needs thousands.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn polls_of_one_stall(make: MakeCodec<'_>, stall: Duration) -> Result<u64, JudgeError> {
    let codec = make(stalling(stall));
    on_one_thread(1, async {
        let mut encoding = Box::pin(encode(&codec, vec![Payload::default()]));
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
/// key service that stalls; `None` where the system does not tell (it does on Linux).
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn threads_at_once(
    make: MakeCodec<'_>,
    encodings: usize,
    stall: Duration,
) -> Result<Option<usize>, JudgeError> {
    let Some(before) = threads_of_process() else { return Ok(None) };
    let done = AtomicBool::new(false);
    let codec = make(stalling(stall));
    // It looks from a thread of its own: a codec that holds the runtime's must be seen as well.
    let (peak, ran) = thread::scope(|scope| {
        let look = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Relaxed) {
                peak = peak.max(threads_of_process().unwrap_or_default());
                thread::sleep(LOOK);
            }
            peak
        });
        let ran = on_one_thread(MANY_THREADS, all_at_once(&codec, encodings));
        done.store(true, Relaxed);
        (look.join().unwrap_or_default(), ran)
    });
    ran?;
    // One of them looked.
    Ok(Some(peak.saturating_sub(before + 1)))
}

/// What is left of encodings that were given up while they waited for their key.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp {
    /// How many were given up.
    pub encodings: usize,
    /// Tasks of the runtime that still ran three stalls later.
    pub tasks: usize,
    /// Threads of the process that a second lot of them added to those of the first.
    pub threads: usize,
}

/// Gives up encodings while they wait, as the SDK does when a worker stops.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn given_up(
    make: MakeCodec<'_>,
    encodings: usize,
    stall: Duration,
) -> Result<GivenUp, JudgeError> {
    let codec = make(stalling(stall));
    let lot = || {
        on_one_thread(MANY_THREADS, async {
            let waiting: Vec<_> =
                (0..encodings).map(|_| encode(&codec, vec![Payload::default()])).collect();
            // Long enough that all wait, and too short for a key.
            tokio::time::timeout(stall / 4, join_all(waiting)).await.ok();
            tokio::time::sleep(stall * 3).await;
            runtime::Handle::current().metrics().num_alive_tasks()
        })
    };
    let first = lot()?;
    let after_first = threads_of_process().unwrap_or_default();
    let tasks = lot()?.max(first);
    let after_second = threads_of_process().unwrap_or_default();
    Ok(GivenUp { encodings, tasks, threads: after_second.saturating_sub(after_first) })
}

/// Threads of this process, where the system tells.
fn threads_of_process() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

async fn all_at_once(codec: &AnyCodec, encodings: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..encodings {
        let codec = codec.clone();
        tasks.spawn(async move { encode(&codec, vec![Payload::default()]).await.is_ok() });
    }
    // A task that panicked is another measurement's business.
    while tasks.join_next().await.is_some() {}
}

fn all_came_back(calls: Calls) -> bool {
    calls.started > 0 && calls.finished == calls.started
}

fn stalling(stall: Duration) -> KeyService {
    let stalls = Stalls { probability: 1.0, duration: stall, ..Stalls::default() };
    KeyService::with_stalls(Keyring::test_key(), stalls)
}

/// Runs `work` on a runtime of its own with one thread, as the worker has by default.
fn on_one_thread<T>(pool: usize, work: impl Future<Output = T>) -> Result<T, JudgeError> {
    let runtime =
        runtime::Builder::new_current_thread().enable_time().max_blocking_threads(pool).build()?;
    let result = runtime.block_on(work);
    // A codec that does not wait for its blocking call leaves it behind: that must not delay us.
    runtime.shutdown_background();
    Ok(result)
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
