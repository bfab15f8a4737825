//! What sealing, opening and observing cost: `cargo bench --package codec-kit`.
//!
//! `raw` is ring alone: `seal_in_place` and `open_in_place` on a prepared buffer, the lower bound for `seal`
//! and `open`. The numbers of allocations are measured.

use std::{hint::black_box, task::Poll};

use codec_kit::{
    CodecFuture, Figures, Keyring, Observed, Payload, PayloadCodec, SerializationContextData,
    codec_future, open, seal,
};
use divan::{AllocProfiler, Bencher, counter::BytesCount};
use futures::FutureExt;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const SIZES: [usize; 9] = [64, 256, 1024, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];

fn payload(bytes: usize) -> Payload {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    Payload { metadata, data: vec![b'x'; bytes], ..Default::default() }
}

fn ring_key() -> LessSafeKey {
    let key = b"test-key-test-key-test-key-test!";
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key"))
}

fn nonce() -> Nonce {
    // The same one each time would be a catastrophe anywhere but in a benchmark.
    Nonce::assume_unique_for_key([7; 12])
}

#[divan::bench(args = SIZES)]
fn seal_raw(bencher: Bencher<'_, '_>, bytes: usize) {
    let key = ring_key();
    bencher.counter(BytesCount::new(bytes)).with_inputs(|| vec![b'x'; bytes]).bench_local_refs(
        |data| key.seal_in_place_separate_tag(nonce(), Aad::empty(), black_box(data)),
    );
}

/// What sealing costs beyond ring: the payload is not yet in the buffer that is sealed.
#[divan::bench(args = SIZES)]
fn seal_copy(bencher: Bencher<'_, '_>, bytes: usize) {
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| vec![b'x'; bytes])
        .bench_local_refs(|data| black_box(data.as_slice()).to_vec());
}

#[divan::bench(args = SIZES)]
fn seal_payload(bencher: Bencher<'_, '_>, bytes: usize) {
    let keyring = Keyring::test_key();
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| payload(bytes))
        .bench_local_refs(|payload| seal(keyring.active(), black_box(payload)));
}

#[divan::bench(args = SIZES)]
fn open_raw(bencher: Bencher<'_, '_>, bytes: usize) {
    let key = ring_key();
    let mut sealed = vec![b'x'; bytes];
    key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed).expect("not too large");
    bencher.counter(BytesCount::new(bytes)).with_inputs(|| sealed.clone()).bench_local_refs(
        |data| key.open_in_place(nonce(), Aad::empty(), black_box(data)).map(|plain| plain.len()),
    );
}

#[divan::bench(args = SIZES)]
fn open_payload(bencher: Bencher<'_, '_>, bytes: usize) {
    let keyring = Keyring::test_key();
    let sealed = seal(keyring.active(), &payload(bytes)).expect("not too large");
    bencher
        .counter(BytesCount::new(bytes))
        .with_inputs(|| sealed.clone())
        .bench_local_values(|sealed| open(keyring.keys(), black_box(sealed)));
}

/// A codec that does nothing, to see what observing it costs.
struct Nothing;

impl PayloadCodec for Nothing {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move { Ok(payloads) })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move { Ok(payloads) })
    }
}

fn call(codec: &impl PayloadCodec) -> Poll<()> {
    let future = codec.encode(&SerializationContextData::None, black_box(Vec::new()));
    match future.now_or_never() {
        Some(_) => Poll::Ready(()),
        None => Poll::Pending,
    }
}

#[divan::bench]
fn call_unobserved(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| call(&Nothing));
}

#[divan::bench]
fn call_observed(bencher: Bencher<'_, '_>) {
    let codec = Observed::with_figures(Nothing, Figures::default());
    bencher.bench_local(|| call(&codec));
}
