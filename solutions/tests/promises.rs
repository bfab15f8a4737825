//! Each reference codec keeps its step's promise: judged by behaviour, against the stall dealt.

use std::time::Duration;

use codec_kit::{AnyCodec, KeyService};
use solutions::{Step, judge};

/// Long against what else a busy machine does to a thread.
const STALL: Duration = Duration::from_millis(200);

fn make(step: Step) -> impl Fn(KeyService) -> AnyCodec {
    move |keys| step.codec(keys)
}

#[test]
fn every_codec_passes_the_vectors_and_refuses_what_must_be_refused() {
    for step in Step::ALL {
        let wrong = judge::measure::wire_format(&make(step)).unwrap();
        assert!(wrong.is_empty(), "{step:?}: {wrong:#?}");
    }
}

#[test]
fn every_codec_waits_for_its_key_and_passes_errors_on() {
    for step in Step::ALL {
        let seen = judge::measure::one_stall(&make(step), STALL).unwrap();
        assert!(seen.waits(), "{step:?}: {seen:?}");
        assert!(judge::measure::failure(&make(step)).unwrap().is_passed_on, "{step:?}");
    }
}

#[test]
fn the_blocking_codecs_hold_the_thread_for_the_whole_stall() {
    for step in [Step::Start, Step::Blocking] {
        let seen = judge::measure::one_stall(&make(step), STALL).unwrap();
        assert!(seen.holds_thread() && !seen.releases_thread(), "{step:?}: {seen:?}");
    }
}

#[test]
fn spawn_blocking_releases_the_thread_but_needs_the_pool() {
    let step = Step::SpawnBlocking;
    let seen = judge::measure::one_stall(&make(step), STALL).unwrap();
    assert!(seen.releases_thread() && !seen.holds_thread(), "{seen:?}");

    let one_thread = judge::measure::at_once(&make(step), 2, 1, STALL).unwrap();
    assert!(one_thread.stalls_in_a_row() >= 1.98, "{one_thread:?}");
    let two_threads = judge::measure::at_once(&make(step), 2, 2, STALL).unwrap();
    assert!(two_threads.stalls_in_a_row() < 1.8, "{two_threads:?}");
}

#[test]
fn the_async_codec_needs_no_thread_at_all() {
    let step = Step::Async;
    let seen = judge::measure::one_stall(&make(step), STALL).unwrap();
    assert!(seen.releases_thread() && !seen.holds_thread(), "{seen:?}");

    let twenty = judge::measure::at_once(&make(step), 20, 1, STALL).unwrap();
    assert!(twenty.stalls_in_a_row() < 2.0, "{twenty:?}");
}

/// What the judge is for: the published "fix" does not wait for its key.
mod the_judge_catches {
    use super::*;
    use codec_kit::{
        CodecFuture, Payload, PayloadCodec, SerializationContextData, codec_future, open_all,
        seal_all,
    };

    /// A codec with one thing wrong.
    struct Wrong(KeyService, fn(KeyService, Vec<Payload>) -> CodecFuture);

    impl PayloadCodec for Wrong {
        fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            (self.1)(self.0.clone(), payloads)
        }

        fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            let keys = self.0.clone();
            codec_future(async move { open_all(keys.keyring(), payloads) })
        }
    }

    fn wrong(
        encode: fn(KeyService, Vec<Payload>) -> CodecFuture,
    ) -> impl Fn(KeyService) -> AnyCodec {
        move |keys| AnyCodec::new(Wrong(keys, encode))
    }

    #[test]
    fn a_call_that_nobody_awaits() {
        let make = wrong(|keys, payloads| {
            let key = keys.keyring().active().clone();
            codec_future(async move {
                tokio::task::spawn_blocking(move || keys.data_key_blocking());
                seal_all(&key, payloads)
            })
        });
        let seen = judge::measure::one_stall(&make, STALL).unwrap();
        assert!(!seen.waits(), "{seen:?}");
        assert!(!judge::measure::failure(&make).unwrap().is_passed_on);
    }

    #[test]
    fn blocking_before_the_future_is_returned() {
        let make = wrong(|keys, payloads| {
            let key = keys.data_key_blocking();
            codec_future(async move { seal_all(&key?, payloads) })
        });
        let seen = judge::measure::one_stall(&make, STALL).unwrap();
        assert!(seen.holds_thread(), "{seen:?}");
    }

    #[test]
    fn plaintext_passed_through() {
        let make = wrong(|keys, payloads| {
            codec_future(async move {
                keys.data_key().await?;
                Ok(payloads)
            })
        });
        assert!(!judge::measure::wire_format(&make).unwrap().is_empty());
    }

    #[test]
    fn one_stall_after_another_behind_a_lock() {
        let lock: &'static tokio::sync::Mutex<()> = Box::leak(Box::default());
        let make = move |keys: KeyService| AnyCodec::new(Locked(keys, lock));
        let five = judge::measure::at_once(&make, 5, 1, STALL).unwrap();
        assert!(five.stalls_in_a_row() >= 4.9, "{five:?}");
    }

    struct Locked(KeyService, &'static tokio::sync::Mutex<()>);

    impl PayloadCodec for Locked {
        fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            let (keys, lock) = (self.0.clone(), self.1);
            codec_future(async move {
                let _held = lock.lock().await;
                seal_all(&keys.data_key().await?, payloads)
            })
        }

        fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            codec_future(async move { Ok(payloads) })
        }
    }
}
