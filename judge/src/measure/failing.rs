//! A key service that fails: what a codec makes of it.

use std::time::{Duration, Instant};

use codec_kit::{AnyCodec, KeyService, Keyring, Stalls};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::harness::{
    CALLS_AT_ONCE, JudgeError, MakeCodec, Operation, SHORT_STALL, came, encode, on_one_thread,
    small,
};

/// Encodings that a key service that fails every other time is tried with.
const OFTEN: usize = 40;
/// How long a measure goes on with a codec that does one thing after another.
const ENOUGH: Duration = Duration::from_secs(2);
/// How long a codec may take to recover from an error: it may remember it for a second.
const RECOVERY: Duration = Duration::from_secs(3);

/// What a codec did with a key service that fails, and then with one that works again.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailingService {
    /// Whether the failed call was an error of the codec's, with nothing sealed or opened, and
    /// whether it was so for each of many calls.
    pub is_passed_on: bool,
    /// Whether there was an answer at all, in some seconds.
    pub answered: bool,
    /// Calls to the key service for the first encoding, or for the first decoding if it took more.
    pub calls: u64,
    /// Whether it sealed again when the key service worked again.
    pub recovers: bool,
    /// Encodings that were sealed although the key service was asked and gave no key.
    pub sealed_without: usize,
}

/// Has the codec encode and decode while the key service fails, and then encode with one that fails
/// now and then.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn failure(make: MakeCodec<'_>) -> Result<FailingService, JudgeError> {
    // Late enough that who asks for ever does not take a processor for ever.
    let stalls = Stalls { failure_rate: 1.0, ..Stalls::always(SHORT_STALL / 5) };
    let keys = KeyService::with_stalls(Keyring::test_key(), stalls);
    let codec = make(keys.clone());
    let failing = keys.clone();
    let seen = on_one_thread(1, async move {
        let mut seen =
            FailingService { is_passed_on: true, answered: true, ..FailingService::default() };
        for operation in Operation::BOTH {
            let first = timeout(ENOUGH, operation.small_call(&codec)).await;
            seen.calls = seen.calls.max(operation.calls(&failing).started);
            let Ok(first) = first else { return FailingService { answered: false, ..seen } };
            // What it does once in a hundred times shows here.
            seen.is_passed_on &= !first && !any_of_many(&codec, operation).await;
        }
        seen
    });
    let mut seen = match seen {
        Err(JudgeError::Stuck(_)) => {
            let calls =
                Operation::BOTH.map(|operation| operation.calls(&keys).started).into_iter().max();
            FailingService { calls: calls.unwrap_or_default(), ..FailingService::default() }
        }
        other => other?,
    };
    if seen.answered {
        (seen.recovers, seen.sealed_without) = recovery(make)?;
    }
    Ok(seen)
}

/// Whether any of many calls at once could be done.
async fn any_of_many(codec: &AnyCodec, operation: Operation) -> bool {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CALLS_AT_ONCE {
        let codec = codec.clone();
        tasks.spawn(async move { began.elapsed() < ENOUGH && operation.small_call(&codec).await });
    }
    let mut any = false;
    let all = async {
        while let Some(one) = tasks.join_next().await {
            any |= one.unwrap_or_default();
        }
    };
    timeout(ENOUGH, all).await.ok();
    any
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
                    sleep(SHORT_STALL).await;
                }
                continue;
            }
            sealed += 1;
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
    let fails = |keys: &KeyService| (0..FIRST).all(|_| keys.data_key_blocking().is_err());
    seeded(|seed| Stalls { failure_rate: 0.5, seed, ..Stalls::never() }, fails)
}

/// The first service, of those with these stalls, that does so when it is new.
pub(super) fn seeded(
    stalls: impl Fn(u64) -> Stalls,
    does: impl Fn(&KeyService) -> bool,
) -> KeyService {
    let service = |seed| KeyService::with_stalls(Keyring::test_key(), stalls(seed));
    // What the judge asks for is dealt by one seed in sixteen, or in three hundred.
    let seed = (1..100_000).find(|seed| does(&service(*seed)));
    service(seed.expect("one seed in some hundred deals that"))
}
