//! How long a payload takes to encrypt and to decrypt. The programs in `tests/peers` measure the codecs of
//! Temporal's other SDKs in the same way, and `tests/peers/throughput.sh` runs all of them.
//!
//! Prints one line for each sample: name, operation, payloads in a call, bytes in a payload, microseconds for
//! a payload.

#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    hint::black_box,
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use codec_kit::{
    CodecFuture, Keyring, Payload, PayloadCodec, SerializationContextData, codec_future, open_all,
    seal_all,
};
use futures::FutureExt;

/// How many payloads a call has, and how many bytes a payload.
const CALLS: [(usize, usize); 5] =
    [(1, 64), (1, 1 << 10), (1, 64 << 10), (1, 1 << 20), (100, 1 << 10)];
/// The clock is read once for at least that many bytes.
const BATCH: usize = 64 << 10;
const WARM_UP: Duration = Duration::from_millis(500);
const SAMPLE: Duration = Duration::from_millis(100);
const SAMPLES: usize = 5;

/// Has its keys in memory, as the codecs of Temporal's samples.
struct Encryption {
    keyring: Arc<Keyring>,
}

impl PayloadCodec for Encryption {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keyring = self.keyring.clone();
        codec_future(async move { seal_all(keyring.active(), payloads) })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keyring = self.keyring.clone();
        codec_future(async move { open_all(keyring.keys(), payloads) })
    }
}

/// No call waits for anything.
fn done(call: CodecFuture) -> Result<Vec<Payload>, Box<dyn Error>> {
    Ok(call.now_or_never().ok_or("the codec waits")??)
}

fn measure(
    operation: &str,
    bytes: usize,
    input: &[Payload],
    call: impl Fn(Vec<Payload>) -> CodecFuture,
) {
    let calls = (BATCH / (bytes * input.len())).max(1);
    // A call takes its payloads, so each has its own. Making them is not measured.
    let batch = || {
        let inputs: Vec<_> = iter::repeat_with(|| input.to_vec()).take(calls).collect();
        let start = Instant::now();
        for input in inputs {
            black_box(done(call(black_box(input)))).ok();
        }
        start.elapsed()
    };
    let sample = |at_least: Duration| {
        let (mut time, mut count) = (Duration::ZERO, 0);
        while time < at_least {
            time += batch();
            count += calls * input.len();
        }
        1e6 * time.as_secs_f64() / count as f64
    };
    sample(WARM_UP);
    for _ in 0..SAMPLES {
        let time = sample(SAMPLE);
        println!("codec-kit\t{operation}\t{}\t{bytes}\t{time}", input.len());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let codec = Encryption { keyring: Arc::new(Keyring::test_key()) };
    let context = SerializationContextData::None;
    for (count, bytes) in CALLS {
        let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
        let plain =
            vec![Payload { metadata, data: vec![b'x'; bytes], ..Payload::default() }; count];
        let sealed = done(codec.encode(&context, plain.clone()))?;
        assert_eq!(done(codec.decode(&context, sealed.clone()))?, plain);
        measure("encrypt", bytes, &plain, |payloads| codec.encode(&context, payloads));
        measure("decrypt", bytes, &sealed, |payloads| codec.decode(&context, payloads));
    }
    Ok(())
}
