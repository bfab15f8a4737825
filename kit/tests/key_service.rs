//! The key service: seedable stalls, calls counted, failures passed on.

use std::time::{Duration, Instant};

use codec_kit::{Calls, KeyService, Keyring, Stalls};

fn service(stalls: Stalls) -> KeyService {
    KeyService::with_stalls(Keyring::test_key(), stalls)
}

/// Which of 200 calls stall, told by the count before and after each.
fn pattern(seed: u64, failure_rate: f64) -> Vec<bool> {
    let stalls = Stalls { probability: 0.1, duration: Duration::ZERO, failure_rate, seed };
    let keys = service(stalls);
    (0..200)
        .map(|_| {
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
    let keys = service(Stalls { probability: 1.0, duration: stall, ..Stalls::default() });
    let began = Instant::now();
    assert_eq!(keys.data_key_blocking().unwrap().id(), "test-key-id");
    assert!(began.elapsed() >= stall);
    assert_eq!(keys.calls(), Calls { started: 1, finished: 1, stalled: 1, failed: 0 });
}

#[tokio::test]
async fn waiting_asynchronously_needs_no_thread() {
    let stall = Duration::from_millis(50);
    let keys = service(Stalls { probability: 1.0, duration: stall, ..Stalls::default() });
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let keys = keys.clone();
        calls.spawn(async move { keys.data_key().await.is_ok() });
    }
    assert!(calls.join_all().await.into_iter().all(|ok| ok));
    // This test has one thread: one after another they would take a hundred stalls.
    assert!((stall..50 * stall).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_call_that_is_dropped_was_started_and_never_finished() {
    let hour = Duration::from_secs(3600);
    let keys = service(Stalls { probability: 1.0, duration: hour, ..Stalls::default() });
    tokio::time::timeout(Duration::from_millis(1), keys.data_key()).await.unwrap_err();
    assert_eq!(keys.calls(), Calls { started: 1, finished: 0, stalled: 1, failed: 0 });
}

#[test]
fn a_failing_call_is_an_error_that_says_nothing_was_encrypted() {
    let keys = service(Stalls { failure_rate: 1.0, ..Stalls::never() });
    let error = keys.data_key_blocking().unwrap_err().to_string();
    assert!(error.contains("nothing was encrypted"), "{error}");
    assert_eq!(keys.calls(), Calls { started: 1, finished: 1, stalled: 0, failed: 1 });
}
