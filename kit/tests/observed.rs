//! Observed: tells a thread that is held from a call that is slow.

use std::{thread, time::Duration};

use codec_kit::{
    CallFigures, CodecFuture, Error, Figures, KeyService, Keyring, Observed, Payload, PayloadCodec,
    SerializationContextData, Stalls, codec_future,
};
use prometheus::{Registry, TextEncoder};

const STALL: Duration = Duration::from_millis(80);

/// What a codec does in `encode`; `decode` passes payloads on.
#[derive(Clone, Copy)]
enum Acts {
    BlocksWhenPolled,
    BlocksBeforeTheFuture,
    Waits,
    Fails,
}

impl PayloadCodec for Acts {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let acts = *self;
        if let Self::BlocksBeforeTheFuture = acts {
            thread::sleep(STALL);
        }
        codec_future(async move {
            match acts {
                Self::BlocksWhenPolled => thread::sleep(STALL),
                Self::Waits => tokio::time::sleep(STALL).await,
                Self::Fails => {
                    let stalls = Stalls { failure_rate: 1.0, ..Stalls::never() };
                    KeyService::with_stalls(Keyring::test_key(), stalls).data_key().await?;
                }
                Self::BlocksBeforeTheFuture => {}
            }
            Ok::<_, Error>(payloads)
        })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move { Ok(payloads) })
    }
}

fn payload(bytes: usize) -> Payload {
    Payload { data: vec![1; bytes], ..Default::default() }
}

async fn encode_one(acts: Acts) -> CallFigures {
    let codec = Observed::with_figures(acts, Figures::default());
    codec.encode(&SerializationContextData::None, vec![payload(10)]).await.ok();
    codec.figures().encode()
}

#[tokio::test]
async fn a_blocking_codec_has_a_poll_as_long_as_its_stall() {
    for acts in [Acts::BlocksWhenPolled, Acts::BlocksBeforeTheFuture] {
        let seen = encode_one(acts).await;
        assert!(seen.longest_poll >= STALL && seen.poll_total >= STALL, "{seen:?}");
    }
}

#[tokio::test]
async fn a_slow_codec_has_a_long_call_and_short_polls() {
    let seen = encode_one(Acts::Waits).await;
    assert!(seen.wall_total >= STALL, "{seen:?}");
    assert!(seen.longest_poll < seen.wall_total / 2, "{seen:?}");
}

#[tokio::test]
async fn errors_bytes_and_calls_are_counted_by_operation() {
    let seen = encode_one(Acts::Fails).await;
    assert_eq!((seen.calls, seen.errors, seen.bytes_in, seen.bytes_out), (1, 1, 10, 0));

    let codec = Observed::with_figures(Acts::Waits, Figures::default());
    let payloads = vec![payload(3), payload(4)];
    codec.decode(&SerializationContextData::None, payloads).await.unwrap();
    let (encode, decode) = (codec.figures().encode(), codec.figures().decode());
    assert_eq!(encode, CallFigures::default());
    assert_eq!((decode.calls, decode.errors, decode.bytes_in, decode.bytes_out), (1, 0, 7, 7));
}

#[tokio::test]
async fn a_call_is_in_flight_until_it_is_done_or_dropped() {
    let codec = Observed::with_figures(Acts::Waits, Figures::default());
    let first = codec.encode(&SerializationContextData::None, vec![]);
    let second = codec.encode(&SerializationContextData::None, vec![]);
    assert_eq!(codec.figures().encode().in_flight, 2);
    drop(first);
    assert_eq!(codec.figures().encode().in_flight, 1);
    second.await.unwrap();
    assert_eq!(codec.figures().encode().in_flight, 0);
    assert_eq!(codec.figures().encode().calls, 1);
}

#[tokio::test]
async fn the_figures_are_prometheus_metrics_in_seconds() {
    let codec = Observed::with_figures(Acts::BlocksWhenPolled, Figures::default());
    let registry = Registry::new();
    registry.register(Box::new(codec.figures())).unwrap();
    codec.encode(&SerializationContextData::None, vec![payload(10)]).await.unwrap();

    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        "codec_in_flight{operation=\"encode\"} 0",
        "codec_bytes_in_total{operation=\"encode\"} 10",
        "codec_bytes_out_total{operation=\"encode\"} 10",
        "codec_errors_total{operation=\"decode\"} 0",
        "codec_poll_seconds_count{operation=\"encode\"} 1",
        "codec_call_seconds_count{operation=\"encode\"} 1",
        "codec_poll_seconds_bucket{operation=\"encode\",le=\"0.03\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let longest = text.lines().find_map(|line| {
        line.strip_prefix("codec_longest_poll_seconds{operation=\"encode\"} ")?.parse::<f64>().ok()
    });
    assert!(longest.unwrap() >= STALL.as_secs_f64(), "{text}");
}
