//! What a codec does when the key service fails.

use std::time::{Duration, Instant};

use codec_kit::Payload;
use futures::future::{join, join_all};
use tokio::time::timeout;

use super::common::{CALLS_AT_ONCE, POOL_THREADS, RECOVERY, SHORT_STALL, came, recovers};
use crate::{
    checked::Evidence,
    measure::{JudgeError, Operation},
    script::Behaviour,
    stage::{Stage, Subject, Trial, small},
};

/// Calls that are made at once while the key service fails now and then.
const OFTEN: usize = 40;
/// How long a codec may retry before it returns the error: it may wait 1 s and then 2 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the key service stalls after a failure.
const RETRY_STALL: Duration = Duration::from_millis(150);
/// The number of the key that the service does not give for a while.
const REVOKED: usize = 2;

/// What a codec did while the key service failed, and after it recovered.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailingService {
    /// Whether each of many calls returned in some seconds.
    pub answered: bool,
    /// Whether each of them returned an error.
    pub returned_error: bool,
    /// Calls to the key service for the first encoding, or for the first decoding if it took more.
    pub calls: u64,
    /// Whether it encoded and decoded again when the key service worked again.
    pub recovers: bool,
    /// Calls that asked for a key, got none, and encrypted all the same.
    pub encrypted_without: usize,
}

/// Has the codec encode and decode while the key service fails, when it works again, and while it fails
/// every other time.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn failure(subject: &Subject<'_>) -> Result<FailingService, JudgeError> {
    decoded_before(subject)?;
    let stage = Stage::new(subject, POOL_THREADS)?;
    // With a delay, so that a codec that retries forever does not occupy a processor forever.
    let trial = stage.trial(3, Behaviour::failing(SHORT_STALL / 5));
    let keys = trial.keys.clone();
    let seen = stage.run(failing(trial, subject.evidence.clone()));
    match seen {
        // Calls that block one after another take longer, but they do answer.
        Err(JudgeError::Stuck(_)) if blocks(&subject.evidence) => Ok(FailingService {
            answered: true,
            returned_error: true,
            recovers: true,
            ..FailingService::default()
        }),
        // Its thread does not return, perhaps because of a loop of blocking calls.
        Err(JudgeError::Stuck(_)) if keys.calls().started.max(keys.decode_calls().started) > 0 => {
            let calls = keys.calls().started.max(keys.decode_calls().started);
            Ok(FailingService { calls, ..FailingService::default() })
        }
        other => other,
    }
}

async fn failing(trial: Trial, evidence: Evidence) -> FailingService {
    let mut seen = FailingService { returned_error: true, ..FailingService::default() };
    let first = join_all(Operation::BOTH.map(|operation| trial.small_call(operation, 1)));
    let first = timeout(PATIENCE, first).await;
    let calls = Operation::BOTH.map(|operation| trial.key_calls(operation).started);
    seen.calls = calls.into_iter().max().unwrap_or_default();
    let Ok(first) = first else { return seen };
    seen.returned_error &= !first.contains(&true);

    // Many calls, so that what happens once in a hundred shows.
    trial.script.behave(Behaviour::failing(Duration::ZERO));
    let [encode, decode] = many(&trial, CALLS_AT_ONCE);
    let many_calls = join(encode, decode);
    match timeout(PATIENCE, many_calls).await {
        Ok((encoded, decoded)) => seen.returned_error &= encoded + decoded == 0,
        // Calls that block one after another do answer.
        Err(_) if blocks(&evidence) => {}
        Err(_) => return seen,
    }
    seen.answered = true;

    trial.script.behave(Behaviour::default());
    let recovered = join_all(Operation::BOTH.map(|operation| recovers(&trial, operation, 1)));
    seen.recovers = recovered.await.into_iter().all(|recovers| recovers);

    // The request of a retry stalls.
    for operation in Operation::BOTH {
        let purpose = operation.purpose();
        trial.script.fail_next(&purpose, 1);
        trial.script.stall_next(&purpose, RETRY_STALL);
        trial.small_call(operation, 1).await;
        trial.script.forget_next(&purpose);
    }

    // Every call is checked anyway, so this only makes calls, in sequence and concurrently.
    trial.script.behave(Behaviour { failure_rate: 0.5, ..Behaviour::default() });
    let began = Instant::now();
    for _ in 0..OFTEN {
        if began.elapsed() < RECOVERY {
            let before = trial.keys.calls();
            let encrypted = trial.small_call(Operation::Encode, 1).await;
            let after = trial.keys.calls();
            let in_vain = after.failed > before.failed && came(after) == came(before);
            seen.encrypted_without += usize::from(encrypted && in_vain);
        }
    }
    let [encode, decode] = many(&trial, OFTEN);
    timeout(PATIENCE, join(encode, decode)).await.ok();

    // A key that is unknown for a while.
    trial.script.behave(Behaviour::default());
    let id = trial.script.keys().ids().nth(REVOKED).unwrap_or_default().to_owned();
    trial.script.revoke(&id);
    trial.small_call(Operation::Decode, REVOKED).await;
    trial.script.restore(&id);
    recovers(&trial, Operation::Decode, REVOKED).await;
    seen
}

/// Has the codec encode for the first time when the key service fails, after it has decoded. Every call is checked: a key
/// that came to decode with must not encrypt.
fn decoded_before(subject: &Subject<'_>) -> Result<(), JudgeError> {
    let stage = Stage::new(subject, POOL_THREADS)?;
    let trial = stage.trial(2, Behaviour::default());
    stage.run(async move {
        trial.small_call(Operation::Decode, 1).await;
        trial.script.behave(Behaviour::failing(Duration::ZERO));
        trial.small_call(Operation::Encode, 1).await;
    })
}

/// Whether a call was seen to block: that is a fault of its own.
fn blocks(evidence: &Evidence) -> bool {
    evidence.faults().iter().any(|fault| fault.kind.blocks())
}

fn many(trial: &Trial, calls: usize) -> [impl Future<Output = usize>; 2] {
    Operation::BOTH.map(|operation| {
        let given: Vec<Vec<Payload>> = vec![trial.given(operation, vec![small()], 1); calls];
        trial.all_at_once(operation, given)
    })
}
