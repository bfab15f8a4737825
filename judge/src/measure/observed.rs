//! Whether a codec is observed.

use codec_kit::{KeyService, Keyring};

use super::harness::{JudgeError, MakeCodec, encode, on_one_thread, small};

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
