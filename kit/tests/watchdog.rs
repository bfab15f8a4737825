//! The watchdog names the call that blocks a thread, while it does.

// A test that can't continue fails where it is.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{Mutex, mpsc},
    thread,
    time::Duration,
};

use codec_kit::{
    CodecFuture, Error, Figures, Observed, Payload, PayloadCodec, SerializationContextData,
    Watchdog, codec_future, polls_under_way,
};
use futures::executor::block_on;

/// Blocks for as long as the test wants: each call until a message comes.
struct Blocks(Mutex<mpsc::Receiver<()>>);

impl PayloadCodec for Blocks {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let wait = self.0.lock().unwrap();
        wait.recv().unwrap();
        codec_future(async move { Ok::<_, Error>(payloads) })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move { Ok::<_, Error>(payloads) })
    }
}

/// The watchdog watches all threads of the process, those of the other test, too.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn a_stall_is_reported_once_and_while_it_lasts() {
    let _alone = ALONE.lock();
    let (reports, reported) = mpsc::channel();
    let watchdog = Watchdog::reporting(Duration::from_millis(40), move |stall| {
        reports.send(stall.clone()).unwrap()
    })
    .unwrap();
    let (release, wait) = mpsc::channel();
    let codec = Observed::with_figures(Blocks(Mutex::new(wait)), Figures::default());
    let figures = codec.figures();
    let payloads = [12, 300].map(|bytes| Payload { data: vec![0; bytes], ..Payload::default() });
    let call = thread::Builder::new().name("worker-0".to_owned());
    let call = call
        .spawn(move || {
            block_on(codec.encode(&SerializationContextData::None, payloads.into())).unwrap();
            block_on(codec.decode(&SerializationContextData::None, Vec::new())).unwrap();
        })
        .unwrap();

    // The call is still under way: only now may it end.
    let stall = reported.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(stall.so_far >= Duration::from_millis(40), "{stall}");
    let ms = stall.so_far.as_millis();
    assert_eq!(
        stall.to_string(),
        format!(
            "encode of 2 payloads (312 bytes) has blocked thread worker-0 for {ms} ms and still does"
        )
    );
    assert_eq!(figures.long_polls(), []);
    let here = || polls_under_way().into_iter().filter(|poll| &*poll.thread == "worker-0");
    let under_way: Vec<_> = here().collect();
    let [poll] = &under_way[..] else { panic!("{under_way:?}") };
    assert_eq!((poll.operation, poll.payloads, poll.bytes), ("encode", 2, 312));
    assert!(poll.lasted >= stall.so_far, "{poll:?}");
    release.send(()).unwrap();
    call.join().unwrap();
    assert_eq!(here().count(), 0);

    let stalls = watchdog.stalls();
    drop(watchdog);
    assert_eq!(reported.try_recv().ok(), None, "once, and not for the call that did not block");
    assert_eq!(stalls.with_label_values(&["encode"]).get(), 1);
    assert_eq!(stalls.with_label_values(&["decode"]).get(), 0);

    let mut polls = figures.long_polls();
    // Any poll takes a millisecond on a busy machine.
    polls.retain(|poll| poll.lasted >= Duration::from_millis(40));
    let [poll] = &polls[..] else { panic!("{polls:?}") };
    assert_eq!((poll.operation, poll.payloads, poll.bytes), ("encode", 2, 312));
    assert_eq!(&*poll.thread, "worker-0");
}

#[test]
fn long_polls_are_bounded_and_can_be_left_out() {
    let _alone = ALONE.lock();
    struct Slow;
    impl PayloadCodec for Slow {
        fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            thread::sleep(Duration::from_millis(1));
            codec_future(async move { Ok::<_, Error>(payloads) })
        }
        fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            codec_future(async move { Ok::<_, Error>(payloads) })
        }
    }
    let calls = |codec: &Observed<Slow>, calls: usize| {
        for _ in 0..calls {
            block_on(codec.encode(&SerializationContextData::None, Vec::new())).unwrap();
        }
    };
    let codec = Observed::with_figures(Slow, Figures::default());
    calls(&codec, 4_100);
    let polls = codec.figures().long_polls();
    assert_eq!(polls.len(), 4_096);
    assert!(polls.is_sorted_by_key(|poll| poll.started));

    let without = Observed::with_figures(Slow, Figures::without_long_polls());
    calls(&without, 1);
    assert_eq!(without.figures().long_polls(), []);
}
