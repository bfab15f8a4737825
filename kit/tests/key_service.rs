//! The key service: seedable stalls, calls counted, failures passed on.

use std::time::{Duration, Instant};

use codec_kit::{Calls, KeyService, Keyring, Stalls};

fn service(stalls: Stalls) -> KeyService {
    KeyService::with_stalls(Keyring::test_key(), stalls)
}

/// Which of 200 calls stall, told by the count before and after each.
fn pattern(seed: u64, failure_rate: f64) -> Vec<bool> {
    let duration = Duration::ZERO;
    let keys = service(Stalls { duration, failure_rate, seed, ..Stalls::default() });
    (0..200)
        .map(|_| {
            // What is opened meanwhile deals no other stalls to what is sealed.
            keys.data_key_by_id_blocking("test-key-id").ok();
            let before = keys.calls().stalled;
            keys.data_key_blocking().ok();
            keys.calls().stalled > before
        })
        .collect()
}

#[test]
fn a_seed_deals_the_same_stalls_again() {
    let dealt = pattern(7, 0.0);
    assert_eq!(dealt, pattern(7, 0.0));
    assert_eq!(dealt, pattern(7, 0.5), "a failure rate must not deal other stalls");
    assert_ne!(dealt, pattern(8, 0.0));
    // 200 calls at 10%: fewer than 5 or more than 40 come up once in millions of seeds.
    let stalls = dealt.iter().filter(|stalled| **stalled).count();
    assert!((5..=40).contains(&stalls), "{stalls}");
}

#[test]
fn both_calls_wait_for_the_stall_and_are_counted() {
    let stall = Duration::from_millis(50);
    let keys = service(Stalls::always(stall));
    let began = Instant::now();
    assert_eq!(keys.data_key_blocking().unwrap().id(), "test-key-id");
    assert!(began.elapsed() >= stall);
    assert_eq!(keys.calls(), Calls { started: 1, finished: 1, stalled: 1, failed: 0 });
    assert_eq!(keys.decode_calls(), Calls::default());

    let began = Instant::now();
    assert_eq!(keys.data_key_by_id_blocking("test-key-id").unwrap().id(), "test-key-id");
    assert!(began.elapsed() >= stall);
    assert_eq!(keys.decode_calls(), Calls { started: 1, finished: 1, stalled: 1, failed: 0 });
}

/// Decoding never waited in the support case.
#[test]
fn by_default_only_calls_for_the_key_to_seal_with_stall() {
    let keys = service(Stalls { duration: Duration::ZERO, ..Stalls::default() });
    for _ in 0..200 {
        keys.data_key_by_id_blocking("test-key-id").unwrap();
    }
    assert_eq!(keys.decode_calls().stalled, 0);
}

#[test]
fn an_unknown_id_is_an_error_that_names_it() {
    let keys = KeyService::new(Keyring::test_key());
    let error = keys.data_key_by_id_blocking("of-2019").unwrap_err().to_string();
    assert!(error.contains("of-2019") && error.contains("it holds test-key-id"), "{error}");
    assert_eq!(keys.decode_calls().failed, 1);
}

#[tokio::test]
async fn waiting_asynchronously_needs_no_thread() {
    let stall = Duration::from_millis(50);
    let keys = service(Stalls::always(stall));
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let keys = keys.clone();
        calls.spawn(async move {
            keys.data_key().await.is_ok() && keys.data_key_by_id("test-key-id").await.is_ok()
        });
    }
    assert!(calls.join_all().await.into_iter().all(|ok| ok));
    // This test has one thread: one after another they would take two hundred stalls.
    assert!((stall..100 * stall).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_call_that_is_dropped_was_started_and_never_finished() {
    let hour = Duration::from_secs(3600);
    let keys = service(Stalls::always(hour));
    tokio::time::timeout(Duration::from_millis(1), keys.data_key()).await.unwrap_err();
    assert_eq!(keys.calls(), Calls { started: 1, finished: 0, stalled: 1, failed: 0 });
}

#[test]
fn a_failing_call_is_an_error_that_says_what_was_not_done() {
    let keys = service(Stalls { failure_rate: 1.0, ..Stalls::never() });
    let error = keys.data_key_by_id_blocking("test-key-id").unwrap_err().to_string();
    assert!(error.contains("nothing was decrypted") && error.contains("test-key-id"), "{error}");
    let error = keys.data_key_blocking().unwrap_err().to_string();
    assert!(error.contains("nothing was encrypted"), "{error}");
    assert_eq!(keys.calls(), Calls { started: 1, finished: 1, stalled: 0, failed: 1 });
}
