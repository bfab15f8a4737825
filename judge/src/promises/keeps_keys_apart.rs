//! A slow key delays only the calls that need it.

use solutions::Step;

use crate::{
    measure::{self, CLEARLY, JudgeError},
    promise::{Finding, Promise, STALL},
    promises::{KEEPS_KEYS, RELEASES_THREAD},
    stage::Subject,
};

/// A slow key delays only the calls that need it.
pub const KEEPS_KEYS_APART: &Promise = &Promise {
    name: "keeps_keys_apart",
    says: "a slow key delays only the calls that need it",
    fails: "a slow key holds up calls that do not need it",
    means: "One slow key holds up calls whose own key is cached.",
    next: "Look for a lock, or a slot, that all keys share.",
    of: |step| step >= Step::BeyondAsync,
    broken_by: &[],
    alone: false,
    by_time: true,
    unless_broken: &[RELEASES_THREAD, KEEPS_KEYS],
    measure,
};

/// Requests for keys that start one soon after the other take less than this many stalls: none waits for the one before.
const APART: f64 = 1.75;
/// A call with a cached key returns within this share of a stall.
const CACHED: f64 = 0.5;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::keys_apart(subject, STALL)?;
    let said = format!(
        "{} of {} other keys at once took as long as {:.1} stalls, a call with a cached key as long as {:.1}",
        seen.could, seen.keys, seen.others, seen.at_hand
    );
    let all = seen.could == seen.keys;
    let kept = all && seen.at_hand < CACHED && seen.others < APART;
    Ok(Finding::kept_if(kept, said).surely(seen.others >= CLEARLY))
}
