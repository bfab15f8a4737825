//! A key that is waited for keeps nobody waiting who needs another.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, STALL, Subject, TOGETHER},
};

/// A key that is waited for keeps nobody waiting who needs another.
pub const KEEPS_KEYS_APART: &Promise = &Promise {
    name: "keeps_keys_apart",
    says: "a key that is waited for keeps nobody waiting who needs another",
    means: "One slow key stops those who have theirs at hand: the line stands still again.",
    next: "Look for a lock, or a place, that all keys share.",
    of: |step| step >= Step::BeyondAsync,
    by_noise: false,
    measure,
};

/// A key that is cached is there in this share of a stall.
const CACHED: f64 = 0.5;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::keys_apart(subject.make, STALL)?;
    let said = format!(
        "{} of {} other keys at once took {:.1} stalls, a key at hand meanwhile {:.1}",
        seen.could, seen.keys, seen.others, seen.at_hand
    );
    let all = seen.could == seen.keys;
    Ok(Finding::kept_if(all && seen.at_hand < CACHED && seen.others < TOGETHER, said))
}
