//! Payloads through the codec: side by side, in the same order, the same number.

use std::{error::Error, iter, sync::Arc};

use codec_kit::{
    AnyCodec, MayInflate, Payload, PayloadCodec, SerializationContextData, inflating_within,
};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    limits::{Inflated, Limits},
    protocol::Operation,
    refusal::{Kind, Refusal},
};

/// The most payloads in one call of the codec: more would hold a thread for too long, if they are small.
const MOST_IN_A_CALL: usize = 256;

/// Encodes or decodes. All or nothing: a list with a gap can't be shown or stored.
///
/// # Errors
/// When the codec returns an error or another number of payloads, panics, or takes too long, or there is no memory
/// left for compressed payloads.
pub(crate) async fn transform(
    codec: &AnyCodec,
    operation: Operation,
    payloads: Vec<Payload>,
    limits: &Limits,
    inflated: &Arc<Inflated>,
) -> Result<Vec<Payload>, Refusal> {
    let all = side_by_side(codec, operation, payloads, limits.calls.max(1), inflated);
    match timeout(limits.codec_time, all).await {
        Ok(result) => result,
        Err(_) => {
            let reason = format!("the codec took longer than {:?}", limits.codec_time);
            Err(Refusal::new(Kind::SlowCodec, reason))
        }
    }
}

/// One call for each part of the list, at most `calls` at a time, each in a Tokio task of its own: a wait for a
/// key delays only its own part, and decryption uses all cores. Dropping this drops the calls.
async fn side_by_side(
    codec: &AnyCodec,
    operation: Operation,
    payloads: Vec<Payload>,
    calls: usize,
    inflated: &Arc<Inflated>,
) -> Result<Vec<Payload>, Refusal> {
    let size = payloads.len().div_ceil(calls).clamp(1, MOST_IN_A_CALL);
    let context = Arc::new(SerializationContextData::None);
    let may_inflate: MayInflate = {
        let inflated = inflated.clone();
        Arc::new(move |bytes| inflated.take(bytes))
    };
    let mut answers = Vec::new();
    answers.resize_with(payloads.len().div_ceil(size), Vec::new);
    let mut payloads = payloads.into_iter();
    let parts = iter::from_fn(|| {
        let part: Vec<_> = payloads.by_ref().take(size).collect();
        (!part.is_empty()).then_some(part)
    });
    let mut parts = parts.enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < calls
            && let Some((index, part)) = parts.next()
        {
            let (codec, context) = (codec.clone(), context.clone());
            let call = async move {
                let count = part.len();
                // Called within the task: a codec may work before it returns its future.
                let answer = match operation {
                    Operation::Encode => codec.encode(&context, part).await,
                    Operation::Decode => codec.decode(&context, part).await,
                };
                match answer {
                    Ok(answer) if answer.len() == count => Ok((index, answer)),
                    Ok(answer) => {
                        Err(format!("the codec made {} payloads of {count}", answer.len()))
                    }
                    // The SDK's type says "Encoding error", for decoding as well.
                    Err(error) => {
                        Err(error.source().map_or_else(|| error.to_string(), ToString::to_string))
                    }
                }
            };
            running.spawn(inflating_within(may_inflate.clone(), call));
        }
        match running.join_next().await {
            None => break,
            Some(Ok(Ok((index, answer)))) => answers[index] = answer,
            Some(Ok(Err(error))) => {
                let kind = if inflated.is_busy() { Kind::Busy } else { Kind::Codec };
                return Err(Refusal::new(kind, error));
            }
            Some(Err(_)) => return Err(Refusal::new(Kind::Codec, "the codec panicked")),
        }
    }
    Ok(answers.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        time::Duration,
    };

    use codec_kit::{CodecFuture, KeyServiceError, codec_future};
    use tokio::{sync::Barrier, task::yield_now};

    use super::*;
    use crate::limits::Budget;

    type Work = dyn Fn(Vec<Payload>) -> CodecFuture + Send + Sync;

    struct Works(Box<Work>);

    impl PayloadCodec for Works {
        fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            (self.0)(payloads)
        }

        fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
            (self.0)(payloads)
        }
    }

    fn codec(work: impl Fn(Vec<Payload>) -> CodecFuture + Send + Sync + 'static) -> AnyCodec {
        AnyCodec::new(Works(Box::new(work)))
    }

    fn payloads(count: usize) -> Vec<Payload> {
        let payload =
            |number: usize| Payload { data: number.to_be_bytes().into(), ..Payload::default() };
        (0..count).map(payload).collect()
    }

    fn inflated() -> Arc<Inflated> {
        Arc::new(Budget::new(Limits::default()).inflated())
    }

    async fn run(codec: &AnyCodec, count: usize) -> Result<Vec<Payload>, Refusal> {
        let limits = Limits { codec_time: Duration::from_secs(20), ..Limits::default() };
        transform(codec, Operation::Decode, payloads(count), &limits, &inflated()).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_order_stays_however_the_calls_end() {
        let dice = fastrand::Rng::with_seed(1);
        let dice = std::sync::Mutex::new(dice);
        let unordered = codec(move |payloads| {
            let turns = dice.lock().unwrap().u32(..20);
            codec_future(async move {
                for _ in 0..turns {
                    yield_now().await;
                }
                Ok(payloads)
            })
        });
        for count in [0, 1, 2, 7, 8, 9, 100, 2048, 2049, 10_000] {
            assert_eq!(run(&unordered, count).await.unwrap(), payloads(count), "{count}");
        }
    }

    #[tokio::test]
    async fn calls_go_side_by_side_and_not_more_than_allowed() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let barrier = Arc::new(Barrier::new(8));
        let counting = {
            let most = most.clone();
            codec(move |payloads| {
                let (now, most, barrier) = (now.clone(), most.clone(), barrier.clone());
                codec_future(async move {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    // Passes only if eight are under way.
                    barrier.wait().await;
                    now.fetch_sub(1, SeqCst);
                    Ok(payloads)
                })
            })
        };
        assert_eq!(run(&counting, 8).await.unwrap(), payloads(8));
        assert_eq!(run(&counting, 16 * MOST_IN_A_CALL).await.unwrap().len(), 16 * MOST_IN_A_CALL);
        assert_eq!(most.load(SeqCst), 8);
    }

    #[tokio::test]
    async fn whatever_a_codec_does_wrong_is_a_refusal() {
        let dropping = codec(|mut payloads| {
            payloads.pop();
            codec_future(async { Ok(payloads) })
        });
        let failing = codec(|_| {
            let error = KeyServiceError::NoKeyToSeal { call: 7 };
            codec_future(async { Err(error.into()) })
        });
        let panicking = codec(|_| panic!("a test of a codec that panics"));
        for (codec, reason) in [
            (dropping, "the codec made 0 payloads of 1"),
            (failing, "the key service failed (call 7)"),
            (panicking, "the codec panicked"),
        ] {
            let refusal = run(&codec, 3).await.unwrap_err();
            assert_eq!(refusal.kind(), Kind::Codec);
            assert!(refusal.to_string().starts_with(reason), "{refusal}");
        }
        let hanging = codec(|_| codec_future(std::future::pending()));
        let limits = Limits { codec_time: Duration::from_millis(5), ..Limits::default() };
        let inflated = inflated();
        let refused = transform(&hanging, Operation::Encode, payloads(1), &limits, &inflated);
        assert_eq!(refused.await.unwrap_err().kind(), Kind::SlowCodec);
    }
}
