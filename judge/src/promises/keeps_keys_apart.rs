//! A slow key delays only those who need it.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, STALL, TOGETHER},
    stage::Subject,
};

/// A slow key delays only those who need it.
pub const KEEPS_KEYS_APART: &Promise = &Promise {
    name: "keeps_keys_apart",
    says: "a slow key delays only those who need it",
    fails: "a slow key holds up calls that do not need it",
    means: "One slow key holds up calls whose own key is cached.",
    next: "Look for a lock, or a slot, that all keys share.",
    of: |step| step >= Step::BeyondAsync,
    broken_by: &[],
    alone: false,
    measure,
};

/// A key that is cached is there in this share of a stall.
const CACHED: f64 = 0.5;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::keys_apart(subject, STALL)?;
    let said = format!(
        "{} of {} other keys at once took {:.1} stalls, a call with a cached key {:.1}",
        seen.could, seen.keys, seen.others, seen.at_hand
    );
    let all = seen.could == seen.keys;
    Ok(Finding::kept_if(all && seen.at_hand < CACHED && seen.others < TOGETHER, said))
}
