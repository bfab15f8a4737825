//! Judges a codec by what it does, never by its text.
//!
//! Every measure is taken against the stall that the codec was dealt, not against absolute
//! milliseconds: a slow machine makes everything slower, the stall included. Where another program
//! on the machine can only make a figure worse, the best of a few tries counts.

use std::time::{Duration, Instant};

use codec_kit::{
    AnyCodec, Calls, ENCODING, ENCRYPTED, Figures, KeyService, Keyring, Observed, Payload,
    PayloadCodec, PayloadConversionError, SerializationContextData, Stalls, vectors::Vectors,
};
use tokio::{runtime, task::JoinSet};

/// Builds the codec under judgement around a key service.
pub type MakeCodec<'a> = &'a dyn Fn(KeyService) -> AnyCodec;

/// How often a measure is taken that only noise can spoil.
const TRIES: usize = 3;

/// The judge could not do its work; this says nothing about the codec.
#[derive(Debug, thiserror::Error)]
#[error("the judge could not start a tokio runtime to run the codec on: {0}")]
pub struct JudgeError(#[from] std::io::Error);

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
            let mut tasks = JoinSet::new();
            for _ in 0..encodings {
                let codec = codec.clone();
                tasks.spawn(async move { encode(&codec, vec![Payload::default()]).await.is_ok() });
            }
            tasks.join_all().await;
            began.elapsed()
        })?;
        wall = wall.min(took);
    }
    Ok(AtOnce { encodings, pool, stall, wall })
}

/// Whether an error of the key service is one of the codec too, with nothing sealed.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn passes_errors_on(make: MakeCodec<'_>) -> Result<bool, JudgeError> {
    let stalls = Stalls { failure_rate: 1.0, ..Stalls::never() };
    let codec = make(KeyService::with_stalls(Keyring::test_key(), stalls));
    on_one_thread(1, async { encode(&codec, vec![Payload::default()]).await.is_err() })
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
