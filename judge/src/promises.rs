//! The promises of the steps. Each has a file of its own: what it is called, what it means when it is broken,
//! which steps make it, and how it is measured. To add one, write its file and add it to [`ALL`].

mod answers_promptly;
mod does_not_grow;
mod is_observed;
mod keeps_keys;
mod keeps_keys_apart;
mod leaves_nothing;
mod lets_keys_expire;
mod needs_no_thread;
mod passes_errors_on;
mod payloads;
mod releases_it_always;
mod releases_thread;
mod shares_calls;
mod stalls_together;
mod survives_histories;
mod waits_for_key;
mod waits_quietly;
mod wire_format;

use serde::{Deserialize, Deserializer, de};
use solutions::Step;

use crate::promise::Promise;

pub use answers_promptly::ANSWERS_PROMPTLY;
pub use does_not_grow::DOES_NOT_GROW;
pub use is_observed::IS_OBSERVED;
pub use keeps_keys::KEEPS_KEYS;
pub use keeps_keys_apart::KEEPS_KEYS_APART;
pub use leaves_nothing::LEAVES_NOTHING;
pub use lets_keys_expire::LETS_KEYS_EXPIRE;
pub use needs_no_thread::NEEDS_NO_THREAD;
pub use passes_errors_on::PASSES_ERRORS_ON;
pub use payloads::PAYLOADS;
pub use releases_it_always::RELEASES_IT_ALWAYS;
pub use releases_thread::RELEASES_THREAD;
pub use shares_calls::SHARES_CALLS;
pub use stalls_together::STALLS_TOGETHER;
pub use survives_histories::SURVIVES_HISTORIES;
pub use waits_for_key::WAITS_FOR_KEY;
pub use waits_quietly::WAITS_QUIETLY;
pub use wire_format::WIRE_FORMAT;

/// All promises, in the order in which they are listed: the plainest reason for a failure comes first. So
/// threads come before concurrent stalls: stalls on threads wait for each other once the pool is exhausted.
pub const ALL: [&Promise; 18] = [
    IS_OBSERVED,
    WIRE_FORMAT,
    PAYLOADS,
    WAITS_FOR_KEY,
    PASSES_ERRORS_ON,
    RELEASES_THREAD,
    RELEASES_IT_ALWAYS,
    WAITS_QUIETLY,
    ANSWERS_PROMPTLY,
    NEEDS_NO_THREAD,
    STALLS_TOGETHER,
    LEAVES_NOTHING,
    KEEPS_KEYS,
    SHARES_CALLS,
    KEEPS_KEYS_APART,
    LETS_KEYS_EXPIRE,
    DOES_NOT_GROW,
    SURVIVES_HISTORIES,
];

/// What a step promises, in the order of [`ALL`].
pub fn of(step: Step) -> impl Iterator<Item = &'static Promise> {
    ALL.into_iter().filter(move |promise| promise.is_of(step))
}

/// What a step promises, in the order in which it is checked. The metrics come first, because only a
/// process's first codec can register them. Promptness comes second, because a codec whose every call is slow
/// is not worth further checks; then the thread, because a codec that blocks it need not be asked for more of
/// the same.
pub fn in_order(step: Step) -> impl Iterator<Item = &'static Promise> {
    let first = [IS_OBSERVED, ANSWERS_PROMPTLY, RELEASES_THREAD];
    let others = of(step).filter(move |promise| !first.contains(promise));
    first.into_iter().filter(move |promise| promise.is_of(step)).chain(others)
}

/// Its position in [`ALL`].
pub fn position(promise: &Promise) -> usize {
    ALL.iter().position(|one| *one == promise).unwrap_or(ALL.len())
}

impl<'de> Deserialize<'de> for &'static Promise {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = ALL.into_iter().find(|promise| promise.name == name);
        known.ok_or_else(|| de::Error::custom(format!("there is no promise {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_leave_nothing_else_to_see_is_measured_before() {
        for step in Step::EXERCISES {
            let order: Vec<_> = in_order(step).collect();
            let at = |promise: &Promise| order.iter().position(|one| *one == promise);
            for promise in &order {
                for other in promise.unless_broken.iter().filter(|other| other.is_of(step)) {
                    let before = !promise.alone || at(other) < at(promise);
                    assert!(other.alone && before, "{promise:?}: {other:?}");
                }
            }
        }
    }

    #[test]
    fn each_has_a_name_of_its_own_by_which_it_is_read_again() {
        for promise in ALL {
            let json = serde_json::to_string(promise).unwrap();
            let read: &'static Promise = serde_json::from_str(&json).unwrap();
            assert_eq!(read, promise);
        }
        serde_json::from_str::<&'static Promise>("\"no_such\"").unwrap_err();
    }

    #[test]
    fn no_step_promises_less_than_the_one_before_but_to_be_observed() {
        for step in Step::EXERCISES {
            let promises: Vec<_> = of(step).collect();
            for promise in of(step.start()) {
                assert!(promises.contains(&promise) || promise == IS_OBSERVED, "{promise:?}");
            }
        }
    }
}
