//! Plays histories with a codec.

use std::time::Duration;

use codec_kit::{ENCODING, KEY_ID, Payload};
use futures::future::join;
use tokio::time::{sleep, timeout};

use super::action::{Action, History, Piece};
use crate::{
    checked::Evidence,
    fault::{Fault, Kind},
    measure::{JudgeError, MARKER, Operation, UNENCRYPTED},
    script::{Behaviour, Script},
    stage::{Running, Stage, Subject, Trial, contexts},
};

/// Keys of the service.
pub const KEYS: usize = 4;
/// How many histories run at a time: each mostly waits.
pub const AT_ONCE: usize = 12;
/// Threads of the blocking pool: enough, but few enough that calls can overtake each other.
const POOL: usize = 16;
/// The time limit of an action: a codec may retry for 3 s, and wait for a long stall each time.
const ACTION_LIMIT: Duration = Duration::from_secs(10);
/// The time limit of a whole history.
const LIMIT: Duration = Duration::from_secs(20);

/// What a history showed.
pub struct Played {
    /// The worst first.
    pub faults: Vec<Fault>,
    /// How many calls were made.
    pub calls: u64,
    /// How often the codec blocked its thread unmistakably.
    pub unmistakable_blocks: usize,
}

/// Plays them concurrently, each with its own codec.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn all(subject: &Subject<'_>, histories: &[History]) -> Result<Vec<Played>, JudgeError> {
    let mut running: Vec<(Evidence, Running<()>)> = Vec::new();
    for history in histories {
        // Each history has its own faults.
        let alone = Subject::new(subject.make, subject.step, subject.seed);
        let stage = match history.two_threads {
            true => Stage::with_two_threads(&alone, POOL)?,
            false => Stage::new(&alone, POOL)?,
        };
        let script = Script::with_keys(KEYS, &mut fastrand::Rng::with_seed(history.seed));
        let trial = stage.codec_with_lifetime(script, history.lifetime);
        let play = play(trial, history.clone(), alone.evidence.clone());
        running.push((alone.evidence.clone(), stage.start(play)?));
    }
    let mut played = Vec::new();
    for (evidence, running) in running {
        if let Err(JudgeError::Stuck(_)) = running.result(LIMIT) {
            never_returned(&evidence);
        }
        played.push(Played {
            faults: evidence.faults(),
            calls: evidence.calls(),
            unmistakable_blocks: evidence.unmistakable_blocks(),
        });
    }
    Ok(played)
}

async fn play(trial: Trial, history: History, evidence: Evidence) {
    let mut payloads = Payloads { random: fastrand::Rng::with_seed(history.seed) };
    for action in history.actions {
        if timeout(ACTION_LIMIT, act(&trial, action, &mut payloads)).await.is_err() {
            never_returned(&evidence);
            break;
        }
    }
}

fn never_returned(evidence: &Evidence) {
    let call = evidence.under_way().unwrap_or_else(|| "a call".to_owned());
    evidence.note(Kind::Lost, format!("{call}: never returned"));
}

async fn act(trial: &Trial, action: Action, payloads: &mut Payloads) {
    let script = &trial.script;
    let id = |key: usize| script.keys().ids().nth(key).unwrap_or_default().to_owned();
    match action {
        Action::Encode { context, payloads: count } => {
            let given = payloads.some(count);
            trial.call_in(Operation::Encode, &contexts()[context], given).await.ok();
        }
        Action::Decode { context, pieces } => {
            let given = pieces.into_iter().map(|piece| payloads.piece(trial, piece)).collect();
            trial.call_in(Operation::Decode, &contexts()[context], given).await.ok();
        }
        Action::AtOnce { encode, decode, key } => {
            let encode: Vec<_> = (0..encode).map(|_| payloads.some(1)).collect();
            let decode = (0..decode)
                .map(|_| trial.given(Operation::Decode, payloads.some(1), key))
                .collect();
            join(
                trial.all_at_once(Operation::Encode, encode),
                trial.all_at_once(Operation::Decode, decode),
            )
            .await;
        }
        Action::Cancel { operation, key, after, beside } => {
            // Two payloads: an answer that reaches the wrong call must show.
            let [given, other] = [(); 2].map(|()| trial.given(operation, payloads.some(1), key));
            let cancelled = timeout(after, trial.call(operation, given));
            if beside {
                let (_, other) = join(cancelled, trial.call(operation, other)).await;
                other.ok();
            } else {
                cancelled.await.ok();
            }
        }
        Action::Stall { operation, stall } => script.stall_next(&operation.purpose(), stall),
        Action::StallAll { stall } => script.behave(match stall.is_zero() {
            true => Behaviour::default(),
            false => Behaviour::stalling(stall),
        }),
        Action::Fail { operation, requests } => script.fail_next(&operation.purpose(), requests),
        Action::Rotate { key } => script.activate(&id(key)),
        Action::Revoke { key } => script.revoke(&id(key)),
        Action::Restore { key } => script.restore(&id(key)),
        Action::Pause { pause } => sleep(pause).await,
    }
}

/// Payloads that all differ from each other.
struct Payloads {
    random: fastrand::Rng,
}

impl Payloads {
    fn some(&mut self, count: usize) -> Vec<Payload> {
        (0..count).map(|_| self.one()).collect()
    }

    fn one(&mut self) -> Payload {
        let data: String = (0..24).map(|_| self.random.alphanumeric()).collect();
        let metadata = [(ENCODING.to_owned(), b"json/plain".to_vec())];
        Payload {
            metadata: metadata.into(),
            data: format!("{MARKER} {data}").into(),
            ..Payload::default()
        }
    }

    fn piece(&mut self, trial: &Trial, piece: Piece) -> Payload {
        let plain = self.one();
        let encrypted = |key| {
            let mut encrypted = trial.given(Operation::Decode, vec![plain.clone()], key);
            encrypted.pop().unwrap_or_default()
        };
        match piece {
            Piece::Plain => {
                let kind = self.random.usize(..UNENCRYPTED.len());
                UNENCRYPTED[kind](plain)
            }
            Piece::Encrypted(key) => encrypted(key),
            Piece::Tampered(key) => {
                let mut tampered = encrypted(key);
                let place = self.random.usize(..tampered.data.len());
                tampered.data[place] ^= 1 << self.random.u8(0..8);
                tampered
            }
            Piece::UnknownKey => {
                let mut unknown = encrypted(0);
                unknown.metadata.insert(KEY_ID.to_owned(), b"retired-key".to_vec());
                unknown
            }
        }
    }
}
