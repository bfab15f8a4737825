//! Each reference codec keeps its step's promise: judged by behaviour, against the stall dealt. What
//! the judge must not let pass is in `variants.rs`.

use std::time::Duration;

use codec_kit::{AnyCodec, KeyService};
use judge::measure::{self, Operation};
use solutions::Step;

/// Long against what else a busy machine does to a thread.
const STALL: Duration = Duration::from_millis(200);

fn make(step: Step) -> impl Fn(KeyService) -> AnyCodec {
    move |keys| step.codec(keys)
}

#[test]
fn every_codec_passes_the_vectors_and_refuses_what_must_be_refused() {
    for step in Step::ALL {
        let wrong = measure::wire_format(&make(step)).unwrap();
        assert!(wrong.is_empty(), "{step:?}: {wrong:#?}");
    }
}

#[test]
fn every_codec_waits_for_its_key_and_passes_errors_on() {
    for step in Step::ALL {
        let seen = measure::one_stall(&make(step), STALL).unwrap();
        assert!(seen.waits(), "{step:?}: {seen:?}");
        assert!(measure::failure(&make(step)).unwrap().is_passed_on, "{step:?}");
    }
}

#[test]
fn the_blocking_codecs_hold_the_thread_for_the_whole_stall() {
    for step in [Step::Start, Step::Blocking] {
        let seen = measure::one_stall(&make(step), STALL).unwrap();
        assert!(seen.holds_thread() && !seen.releases_thread(), "{step:?}: {seen:?}");
    }
}

#[test]
fn spawn_blocking_releases_the_thread_but_needs_the_pool() {
    let step = Step::SpawnBlocking;
    let seen = measure::one_stall(&make(step), STALL).unwrap();
    assert!(seen.releases_thread() && !seen.holds_thread(), "{seen:?}");

    let one_thread = measure::at_once(&make(step), Operation::Encode, 2, 1, STALL).unwrap();
    assert!(one_thread.stalls_in_a_row() >= 1.98, "{one_thread:?}");
    let two_threads = measure::at_once(&make(step), Operation::Encode, 2, 2, STALL).unwrap();
    assert!(two_threads.stalls_in_a_row() < 1.8, "{two_threads:?}");
}

#[test]
fn the_async_codec_needs_no_thread_at_all() {
    let step = Step::Async;
    let seen = measure::one_stall(&make(step), STALL).unwrap();
    assert!(seen.releases_thread() && !seen.holds_thread(), "{seen:?}");

    for operation in Operation::BOTH {
        let twenty = measure::at_once(&make(step), operation, 20, 1, STALL).unwrap();
        assert!(twenty.stalls_in_a_row() < 2.0, "{operation:?}: {twenty:?}");
    }
}

#[test]
fn the_last_codec_asks_once_for_each_key() {
    let waits = measure::calls_in_a_row(&make(Step::Async), 5, STALL).unwrap();
    assert!(waits >= 4.9, "{waits}");

    let step = Step::BeyondAsync;
    let keeps = measure::calls_in_a_row(&make(step), 5, STALL).unwrap();
    assert!(keeps < 2.0, "{keeps}");
    let fifty = measure::one_call_for_many(&make(step), 50, STALL).unwrap();
    assert_eq!((fifty.calls, fifty.could), (1, 50));
    let expired = measure::expiry(&make(step), Duration::from_millis(300), STALL / 2);
    assert!(expired.unwrap().is_none());
}
