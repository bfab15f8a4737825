//! Makes a history from a seed.

use std::time::Duration;

use solutions::Step;

use super::{
    action::{Action, History, Piece},
    run::KEYS,
};
use crate::{
    measure::Operation,
    stage::{LONG_LIFETIME, contexts},
};

/// Actions of a history.
const ACTIONS: usize = 14;
/// The longest total of all stalls of a history, if they run one after another on one thread.
const STALLED: Duration = Duration::from_millis(2000);
/// Stalls, from none to one beyond the deadline of a client.
const STALLS: [u64; 7] = [1, 20, 60, 60, 120, 250, 1100];
/// Keys that expire within a history.
const SHORT_LIFETIME: Duration = Duration::from_millis(300);

/// The history of that seed.
pub fn history(step: Step, seed: u64) -> History {
    let mut random = fastrand::Rng::with_seed(seed);
    let short = random.u8(..) < if step >= Step::BeyondAsync { 128 } else { 50 };
    let lifetime = if short { SHORT_LIFETIME } else { LONG_LIFETIME };
    let mut left = STALLED;
    let mut actions = Vec::new();
    while actions.len() < ACTIONS {
        let mut added = some(&mut random, lifetime);
        // A stall of all requests must be short, and must end.
        for action in &mut added {
            if let Action::Stall { stall, .. } = action {
                *stall = (*stall).min(left);
                left -= *stall;
            }
        }
        actions.extend(added);
    }
    History { seed, lifetime, two_threads: random.u8(..) < 40, actions }
}

fn some(random: &mut fastrand::Rng, lifetime: Duration) -> Vec<Action> {
    let key = random.usize(1..KEYS);
    match random.u8(0..20) {
        0..4 => vec![encode(random)],
        4..8 => vec![decode(random)],
        // A stall or a failure that a call runs into.
        8..11 => {
            let operation = operation(random);
            let stall = Duration::from_millis(*random.choice(&STALLS).unwrap_or(&0));
            vec![Action::Stall { operation, stall }, call(random, operation)]
        }
        11..13 => {
            let operation = operation(random);
            // The next request, of a retry perhaps, may stall.
            let mut actions = vec![Action::Fail { operation, requests: random.usize(1..4) }];
            if random.bool() {
                actions.push(Action::Stall { operation, stall: Duration::from_millis(120) });
            }
            actions.extend([call(random, operation), call(random, operation)]);
            actions
        }
        13 => vec![
            Action::StallAll { stall: Duration::from_millis(40) },
            at_once(random, key),
            Action::StallAll { stall: Duration::ZERO },
        ],
        14 => vec![at_once(random, key)],
        15 | 16 => {
            let operation = operation(random);
            let after = Duration::from_millis(random.u64(0..60));
            vec![
                Action::Stall { operation, stall: Duration::from_millis(60) },
                Action::Cancel { operation, key, after, beside: random.bool() },
            ]
        }
        17 => vec![Action::Rotate { key: random.usize(0..KEYS) }, encode(random), decode(random)],
        18 => vec![Action::Revoke { key }, decode(random), Action::Restore { key }, decode(random)],
        _ if lifetime < LONG_LIFETIME => vec![
            call(random, Operation::Encode),
            call(random, Operation::Decode),
            Action::Pause { pause: lifetime + Duration::from_millis(150) },
            call(random, Operation::Encode),
            call(random, Operation::Decode),
        ],
        _ => vec![Action::Pause { pause: Duration::from_millis(random.u64(1..80)) }],
    }
}

fn operation(random: &mut fastrand::Rng) -> Operation {
    if random.bool() { Operation::Encode } else { Operation::Decode }
}

fn call(random: &mut fastrand::Rng, operation: Operation) -> Action {
    match operation {
        Operation::Encode => encode(random),
        Operation::Decode => decode(random),
    }
}

fn context(random: &mut fastrand::Rng) -> usize {
    random.usize(..contexts().len())
}

fn encode(random: &mut fastrand::Rng) -> Action {
    let payloads = *random.choice(&[0, 1, 1, 1, 2, 5, 20]).unwrap_or(&1);
    Action::Encode { context: context(random), payloads }
}

fn decode(random: &mut fastrand::Rng) -> Action {
    let pieces = *random.choice(&[0, 1, 1, 1, 2, 3, 6]).unwrap_or(&1);
    let pieces = (0..pieces).map(|_| piece(random)).collect();
    Action::Decode { context: context(random), pieces }
}

fn piece(random: &mut fastrand::Rng) -> Piece {
    match random.u8(0..16) {
        0..11 => Piece::Encrypted(random.usize(0..KEYS)),
        11..14 => Piece::Plain,
        14 => Piece::Tampered(random.usize(0..KEYS)),
        _ => Piece::UnknownKey,
    }
}

fn at_once(random: &mut fastrand::Rng, key: usize) -> Action {
    let many = random.u8(..) < 60;
    let most = if many { 100 } else { 8 };
    Action::AtOnce { encode: random.usize(1..=most), decode: random.usize(1..=most), key }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_history_again_and_others_make_others() {
        let of = |seed| history(Step::BeyondAsync, seed);
        assert_eq!(of(7), of(7));
        assert_ne!(of(7).actions, of(8).actions);
    }
}
