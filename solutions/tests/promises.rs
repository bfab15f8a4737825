//! Each reference codec keeps its step's promise, measured by its behaviour in a stall. What the checks must
//! reject is in the package `judge`, `tests/variants.rs`.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use judge::{
    JudgeError, Subject,
    measure::{self, OneStall, Operation},
};
use solutions::Step;

/// Long, compared with what else a busy machine does to a thread.
const STALL: Duration = Duration::from_millis(200);

/// Has the reference codec of that step measured.
fn of<T>(step: Step, measure: impl FnOnce(&Subject<'_>) -> Result<T, JudgeError>) -> T {
    let make = |keys| step.codec(keys);
    measure(&Subject::new(&make, step, 1)).unwrap()
}

fn one_stall(step: Step) -> OneStall {
    of(step, |subject| measure::one_stall(subject, Operation::Encode, STALL))
}

/// The same of a codec that should release the thread. On a busy machine even one that does may have to wait for it,
/// so one of five times is enough.
fn one_stall_without_noise(step: Step) -> OneStall {
    let mut tries = (0..4).map(|_| one_stall(step));
    tries.find(OneStall::releases_thread).unwrap_or_else(|| one_stall(step))
}

/// How many stalls one after another so many calls at once take.
fn at_once(step: Step, operation: Operation, calls: usize, pool: usize) -> f64 {
    let seen = of(step, |subject| measure::at_once(subject, operation, calls, pool, STALL));
    seen.stalls_in_a_row()
}

#[test]
fn every_codec_passes_the_vectors_and_refuses_what_must_be_refused() {
    for step in Step::ALL {
        let wrong = of(step, measure::wire_format);
        assert!(wrong.is_empty(), "{step:?}: {wrong:#?}");
    }
}

#[test]
fn every_codec_waits_for_its_key_and_passes_errors_on() {
    for step in Step::ALL {
        let seen = one_stall(step);
        assert!(seen.waits(), "{step:?}: {seen:?}");
        assert!(of(step, measure::failure).returned_error, "{step:?}");
    }
}

#[test]
fn the_blocking_codecs_hold_the_thread_for_the_whole_stall() {
    for step in [Step::Start, Step::Blocking] {
        let seen = one_stall(step);
        assert!(seen.holds_thread() && !seen.releases_thread(), "{step:?}: {seen:?}");
    }
}

#[test]
fn spawn_blocking_releases_the_thread_but_needs_the_pool() {
    let step = Step::SpawnBlocking;
    let seen = one_stall_without_noise(step);
    assert!(seen.releases_thread() && !seen.holds_thread(), "{seen:?}");

    let one_thread = at_once(step, Operation::Encode, 2, 1);
    assert!(one_thread >= 1.98, "{one_thread}");
    let two_threads = at_once(step, Operation::Encode, 2, 2);
    assert!(two_threads < 1.8, "{two_threads}");
}

#[test]
fn the_async_codec_needs_no_thread_at_all() {
    let step = Step::Async;
    let seen = one_stall_without_noise(step);
    assert!(seen.releases_thread() && !seen.holds_thread(), "{seen:?}");

    for operation in Operation::BOTH {
        let twenty = at_once(step, operation, 20, 1);
        assert!(twenty < 2.0, "{operation:?}: {twenty}");
    }
}

#[test]
fn the_last_codec_asks_once_for_each_key() {
    let in_a_row = |step| of(step, |subject| measure::calls_in_a_row(subject, 5, STALL)).stalls;
    let waits = in_a_row(Step::Async);
    assert!(waits >= 4.9, "{waits}");

    let step = Step::BeyondAsync;
    let keeps = in_a_row(step);
    assert!(keeps < 2.0, "{keeps}");
    let fifty = of(step, |subject| measure::one_call_for_many(subject, 50, STALL));
    assert_eq!((fifty.calls, fifty.could), (1, 50));
    let lifetime = Duration::from_millis(300);
    assert!(of(step, |subject| measure::expiry(subject, lifetime, STALL / 2)).is_none());
}
