//! Whether a codec waits for its key, and what that does to its thread.

use std::time::{Duration, Instant};

use codec_kit::Payload;
use futures::future::{join, join_all};
use tokio::time::timeout;

use super::common::{LARGEST_PAYLOAD, POOL_THREADS, calls_without_excuse};
use crate::{
    clock::{Moment, Spent},
    measure::{JudgeError, Operation},
    script::Behaviour,
    stage::{Stage, Subject, Trial, small},
};

/// Concurrent calls of each operation. With more, the threads of a codec that blocks on threads would get in
/// each other's way.
const WAVE: usize = 100;

/// What a call did that was dealt one stall.
#[derive(Clone, Copy, Debug)]
pub struct OneStall {
    /// The stall.
    pub stall: Duration,
    /// The longest that the codec's code slept, or computed, on its thread in one poll.
    pub longest_poll: Duration,
    /// How long the call took.
    pub wall: Duration,
    /// How often its future was polled.
    pub polls: u64,
    /// Whether a call to the key service had come back when the codec returned. One is enough: a codec
    /// may ask twice and take the first answer.
    pub waited_for_key: bool,
}

impl OneStall {
    /// Whether the codec held its thread for (nearly) the whole stall.
    pub fn holds_thread(&self) -> bool {
        self.longest_poll >= self.stall.mul_f64(0.9)
    }

    /// Whether the codec released its thread: it blocked it for less than a quarter of the stall.
    pub fn releases_thread(&self) -> bool {
        self.longest_poll < self.stall / 4
    }

    /// Whether the codec returned only after its key had come.
    pub fn waits(&self) -> bool {
        self.waited_for_key && self.wall >= self.stall.mul_f64(0.99)
    }
}

/// Has the codec do it with one payload while the key service stalls. The longest poll, and the number of
/// polls, are of all that this subject was asked so far.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn one_stall(
    subject: &Subject<'_>,
    operation: Operation,
    stall: Duration,
) -> Result<OneStall, JudgeError> {
    let stage = Stage::new(subject, 1)?;
    // Counted from before the codec is constructed, because it may already ask for its key then.
    let began = Instant::now();
    let trial = stage.trial(2, Behaviour::stalling(stall));
    let (wall, finished) = stage.run(async move {
        // An error counts as not having waited for the key.
        let done = trial.small_call(operation, 1).await;
        (began.elapsed(), if done { trial.key_calls(operation).finished } else { 0 })
    })?;
    let Spent { asleep, computing } = subject.evidence.longest_poll(operation);
    let held = asleep.max(computing);
    Ok(OneStall {
        stall,
        longest_poll: held.max(subject.evidence.blocked()),
        wall,
        polls: subject.evidence.most_polls(),
        waited_for_key: finished > 0,
    })
}

/// What happened to an encoding whose key took very long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LongStall {
    /// It waited; meanwhile it kept its thread busy for this share of the time.
    Waited(f64),
    /// It stopped waiting, and returned an error.
    Failed(Duration),
    /// It encrypted without its key.
    Encrypted(Duration),
}

/// Has the codec encode one payload while the key service stalls for longer than a short deadline, with so many calls of
/// each operation beside. Then the key service answers again, and so must the codec.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn long_stall(
    subject: &Subject<'_>,
    beside: usize,
    stall: Duration,
) -> Result<LongStall, JudgeError> {
    let stage = Stage::new(subject, POOL_THREADS)?;
    let trial = stage.trial(2, Behaviour::stalling(stall));
    stage.run(async move {
        let others = join_all(Operation::BOTH.map(|operation| {
            let given = vec![trial.given(operation, vec![small()], 1); beside];
            trial.all_at_once(operation, given)
        }));
        let moment = Moment::now();
        let measured = async {
            let encrypted = trial.small_call(Operation::Encode, 0).await;
            (encrypted, trial.keys.calls().finished > 0, moment.wall(), moment.spent().computing)
        };
        // A codec may have few places for calls that wait. Those that are late are cancelled, and what they have asked for
        // would be taken for requests of the calls below.
        let others = timeout(stall * 11 / 10, others);
        let ((encrypted, key_came, took, computed), others) = join(measured, others).await;
        if beside > 0 && others.is_ok() {
            calls_without_excuse(&trial).await;
        }
        match (encrypted, key_came) {
            (true, true) => LongStall::Waited(computed.as_secs_f64() / took.as_secs_f64()),
            (true, false) => LongStall::Encrypted(took),
            (false, _) => LongStall::Failed(took),
        }
    })
}

/// Has the codec encode and decode many calls at once, small ones and a large one, with a key service
/// that stalls each time: what is rare shows here, because every call is checked.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn many_calls(subject: &Subject<'_>, calls: usize, stall: Duration) -> Result<(), JudgeError> {
    let stage = Stage::new(subject, POOL_THREADS)?;
    let trial = stage.trial(2, Behaviour::stalling(stall));
    // Made before the thread is watched, because encrypting them takes time, too.
    let [to_encode, to_decode] = Operation::BOTH.map(|operation| {
        (0..calls).map(|call| nth_call(&trial, operation, call, calls)).collect::<Vec<_>>()
    });
    stage.run(async move {
        let waves = to_encode.chunks(WAVE).zip(to_decode.chunks(WAVE));
        for (to_encode, to_decode) in waves {
            let both = join(
                trial.all_at_once(Operation::Encode, to_encode.to_vec()),
                trial.all_at_once(Operation::Decode, to_decode.to_vec()),
            );
            // If calls wait for each other, or block, the measurement does not wait for all of them.
            if timeout(stall * 8, both).await.is_err() {
                break;
            }
        }
    })
}

/// Has the codec encode and decode in so many calls at once while the key service stalls: how many of both
/// returned a result, and the calls to the key service for that.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not finish.
pub fn requests_at_once(
    subject: &Subject<'_>,
    calls: usize,
    stall: Duration,
) -> Result<(usize, u64), JudgeError> {
    let stage = Stage::new(subject, POOL_THREADS)?;
    let trial = stage.trial(2, Behaviour::stalling(stall));
    stage.run(async move {
        let [encode, decode] = Operation::BOTH.map(|operation| {
            let given = vec![trial.given(operation, vec![small()], 1); calls];
            trial.all_at_once(operation, given)
        });
        let (encoded, decoded) = join(encode, decode).await;
        let asked = Operation::BOTH.map(|operation| trial.key_calls(operation).started);
        (encoded + decoded, asked.iter().sum())
    })
}

/// Payloads of the call of that number: some have none or several, one has a large one, and one in ten of
/// those to decode is not encrypted.
fn nth_call(trial: &Trial, operation: Operation, call: usize, calls: usize) -> Vec<Payload> {
    let size = if call == calls / 2 { LARGEST_PAYLOAD } else { 100 };
    let plain = vec![Payload { data: vec![7; size], ..Payload::default() }; call % 4];
    if call % 10 == 9 { plain } else { trial.given(operation, plain, 1) }
}
