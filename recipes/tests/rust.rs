//! The recipes in Rust, each run on the runtime that it is about.

#![allow(clippy::unwrap_used)]

use std::{
    io::Write,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use codec_kit::{
    CodecFuture, DataKey, DataKeys, Deal, Figures, KeyRequest, KeyService, KeyServiceError,
    KeySource, Keyring, Observed, Payload, PayloadCodec, SerializationContextData, Stalls,
    codec_future, key_ids, open_all, seal_all,
};
use recipes::{awaited, confirm, find, in_place, on_threads};
use tokio::{select, time::sleep};

const STALL: Duration = Duration::from_millis(400);
const LIMIT: Duration = Duration::from_secs(30);
const NONE: SerializationContextData = SerializationContextData::None;

/// A codec that encodes as one of the recipes does.
struct Codec {
    keys: KeyService,
    encode: fn(KeyService, Vec<Payload>) -> CodecFuture,
}

impl PayloadCodec for Codec {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        (self.encode)(self.keys.clone(), payloads)
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keys = self.keys.clone();
        codec_future(async move {
            let mut found = DataKeys::default();
            for id in key_ids(&payloads) {
                found.insert(keys.data_key_by_id(&id).await?);
            }
            open_all(&found, payloads)
        })
    }
}

/// As it is found: the wait looks like any other line.
fn blocking(keys: KeyService, payloads: Vec<Payload>) -> CodecFuture {
    codec_future(async move {
        let key = keys.data_key_blocking()?;
        seal_all(&key, payloads)
    })
}

fn stalling(encode: fn(KeyService, Vec<Payload>) -> CodecFuture) -> Codec {
    let stalls = Stalls { probability: 1.0, duration: STALL, ..Stalls::default() };
    Codec { keys: KeyService::with_stalls(Keyring::test_key(), stalls), encode }
}

fn payloads() -> Vec<Payload> {
    vec![Payload { data: b"Hello, World".to_vec(), ..Payload::default() }]
}

/// Encrypts, and decrypts again: the recipe is a codec that works.
async fn there_and_back(codec: &impl PayloadCodec) {
    let encrypted = codec.encode(&NONE, payloads()).await.unwrap();
    assert_ne!(encrypted, payloads());
    assert_eq!(codec.decode(&NONE, encrypted).await.unwrap(), payloads());
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_names_the_call_that_blocks() {
    let log = Log::default();
    let writer = log.clone();
    // The warning comes from the watchdog's own thread.
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let (codec, _watchdog) = find::watched(stalling(blocking)).unwrap();
    // Its thread has the name of this test. There is at most one warning per second, and the other tests of this
    // program are watched as well.
    let warning =
        "encode of 1 payload (12 bytes) has blocked thread the_log_names_the_call_that_blocks for";
    let since = Instant::now();
    loop {
        there_and_back(&codec).await;
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        if log.lines().any(|line| line.contains(" WARN ") && line.contains(warning)) {
            break;
        }
        assert!(since.elapsed() < LIMIT, "{log}");
    }
}

/// The share of the time in calls in which this recipe held its thread, when every call stalls.
async fn share(encode: fn(KeyService, Vec<Payload>) -> CodecFuture) -> f64 {
    let figures = Figures::default();
    let codec = Observed::with_figures(stalling(encode), figures.clone());
    there_and_back(&codec).await;
    assert!(figures.encode().wall_total >= STALL);
    confirm::share_blocked(&figures.encode())
}

#[tokio::test]
async fn a_codec_that_blocks_holds_its_thread_for_all_of_the_call() {
    let share = share(blocking).await;
    assert!(share > 0.7, "{share}");
}

#[tokio::test]
async fn a_codec_that_is_only_slow_does_not() {
    for (name, encode) in
        [("on_threads", on_threads::encode as fn(_, _) -> _), ("awaited", awaited::encode)]
    {
        let share = share(encode).await;
        // Less than a tenth of this on an idle machine.
        assert!(share < 0.5, "{name}: {share}");
    }
}

/// Counts for as long as it is polled.
#[derive(Clone, Default, Debug)]
struct Ticks(Arc<AtomicU64>);

impl Ticks {
    async fn tick(self) {
        loop {
            sleep(Duration::from_millis(1)).await;
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn so_far(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A key service that answers when `awaited` has ticked ten times more. It notes how often `other` ticked meanwhile.
#[derive(Debug)]
struct Until {
    awaited: Ticks,
    other: Ticks,
    meanwhile: Ticks,
}

impl KeySource for Until {
    fn begin(&self, _: &KeyRequest<'_>) -> Deal {
        let (awaited, other) = (self.awaited.so_far(), self.other.so_far());
        let since = Instant::now();
        while self.awaited.so_far() < awaited + 10 {
            assert!(since.elapsed() < LIMIT, "it stands still while the codec waits");
            thread::sleep(Duration::from_millis(1));
        }
        self.meanwhile.0.fetch_add(self.other.so_far() - other, Relaxed);
        Deal::default()
    }

    fn answer(&self, request: &KeyRequest<'_>, deal: Deal) -> Result<DataKey, KeyServiceError> {
        let keyring = Keyring::test_key();
        request.answer(deal, keyring.active(), keyring.keys())
    }
}

/// Encodes once, in the Tokio task in which `within` ticks, as the loops of a worker share one Tokio task.
async fn encode_beside(
    within: Ticks,
    encode: fn(KeyService, Vec<Payload>) -> CodecFuture,
    keys: KeyService,
) -> Vec<Payload> {
    let ticking = within.clone().tick();
    let encoded = async {
        // Once it ticks, the two take turns.
        while within.so_far() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        encode(keys, payloads()).await.unwrap()
    };
    select! {
        encoded = encoded => encoded,
        () = ticking => unreachable!("it ticks for ever"),
    }
}

#[tokio::test]
async fn on_threads_the_rest_of_the_task_continues() {
    let within = Ticks::default();
    let source =
        Until { awaited: within.clone(), other: Ticks::default(), meanwhile: Ticks::default() };
    let encoded = encode_beside(within, on_threads::encode, KeyService::from_source(source)).await;
    assert_eq!(encoded.len(), 1);
}

#[tokio::test]
async fn awaited_the_rest_of_the_task_continues() {
    let within = Ticks::default();
    let before = stalling(awaited::encode);
    encode_beside(within.clone(), awaited::encode, before.keys).await;
    assert!(within.so_far() > 10, "{within:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_place_other_tasks_continue_and_the_rest_of_this_one_stands_still() {
    let (within, beside, meanwhile) = (Ticks::default(), Ticks::default(), Ticks::default());
    let source =
        Until { awaited: beside.clone(), other: within.clone(), meanwhile: meanwhile.clone() };
    let other = tokio::spawn(beside.tick());
    let worker = tokio::spawn(encode_beside(
        within.clone(),
        in_place::encode,
        KeyService::from_source(source),
    ));
    assert_eq!(worker.await.unwrap().len(), 1);
    other.abort();
    assert!(within.so_far() > 0);
    assert_eq!(meanwhile.so_far(), 0);
}

#[tokio::test]
async fn in_place_panics_on_a_current_thread_runtime() {
    use futures::FutureExt;
    let codec = stalling(in_place::encode);
    let panic = AssertUnwindSafe(codec.encode(&NONE, payloads())).catch_unwind().await.unwrap_err();
    let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
    let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap();
    assert!(
        said.contains("can call blocking only when running on the multi-threaded runtime"),
        "{said}"
    );
}

#[tokio::test]
async fn with_either_fix_an_error_of_the_client_is_an_error_of_the_codec() {
    let stalls = Stalls { failure_rate: 1.0, ..Stalls::never() };
    for encode in [on_threads::encode, awaited::encode] {
        let keys = KeyService::with_stalls(Keyring::test_key(), stalls.clone());
        let error = encode(keys, payloads()).await.unwrap_err();
        assert!(error.to_string().contains("the key service failed"), "{error}");
    }
}
