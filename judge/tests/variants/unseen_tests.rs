//! Tests that codecs do what their names say, where reading their code does not show it.

use std::{
    panic::{self, AssertUnwindSafe},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{
    AnyCodec, KeyService, Keyring, Payload, PayloadCodec, SerializationContextData, Stalls,
    seal_all,
};
use futures::future::join_all;
use solutions::Step;
use tokio::{
    runtime,
    time::{sleep, timeout},
};

use super::variants;
use crate::{Done, Variant};

/// How long keys may be used here.
const LIFETIME: Duration = Duration::from_millis(400);

#[test]
fn right_codecs_encrypt_decrypt_fail_and_recover() {
    let failed: Vec<_> = thread::scope(|scope| {
        let tests: Vec<_> = variants()
            .into_iter()
            .filter(|variant| variant.name.starts_with("right: "))
            .map(|variant| scope.spawn(move || outcome(&variant)))
            .collect();
        tests.into_iter().filter_map(|test| test.join().unwrap().err()).collect()
    });
    assert!(failed.is_empty(), "{failed:#?}");
}

/// What is wrong with a codec that should be right.
fn outcome(variant: &Variant) -> Result<(), String> {
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let works = AssertUnwindSafe(|| runtime.block_on(works(variant)));
    let done = panic::catch_unwind(works).unwrap_or_else(|_| Err("it panicked".to_owned()));
    runtime.shutdown_background();
    done.map_err(|error| format!("{}: {error}", variant.name))
}

async fn works(variant: &Variant) -> Result<(), String> {
    let keyring = keyring();
    let make = |stalls| {
        let keys = KeyService::with_stalls(keyring.clone(), stalls).with_key_lifetime(LIFETIME);
        ((variant.make)(keys.clone()), keys)
    };
    let late = Duration::from_millis(20);
    let stalls = Stalls { probability: 0.5, decode_probability: 0.5, ..Stalls::always(late) };

    let (codec, _) = make(stalls);
    let calls: Vec<Vec<Payload>> = (0..30).map(|call| plain(call % 4)).collect();
    let sealed = join_all(calls.iter().map(|call| encode(&codec, call.clone()))).await;
    for (call, sealed) in calls.iter().zip(sealed) {
        let sealed = sealed.map_err(|error| format!("encode: {error}"))?;
        let opened = sealed.iter().map(|p| codec_kit::open(keyring.keys(), p.clone()));
        let opened: Vec<_> = opened.collect::<Result<_, _>>().map_err(|e| format!("seal: {e}"))?;
        check(opened == *call && sealed.iter().zip(call).all(|(a, b)| a != b), "what was sealed")?;
        let decoded = decode(&codec, sealed).await.map_err(|error| format!("decode: {error}"))?;
        check(decoded == *call, "what was decoded")?;
    }

    // Keys in another order than that of their ids, one that is tampered with, one that is unknown.
    let mixed = [sealed_with("b", 2), plain(1), sealed_with("a", 1), sealed_with("b", 1)].concat();
    let decoded = decode(&codec, mixed.clone()).await.map_err(|error| format!("mixed: {error}"))?;
    check(decoded == [plain(2), plain(1), plain(1), plain(1)].concat(), "mixed payloads")?;
    let mut tampered = mixed.clone();
    tampered[4].data[20] ^= 1;
    check(decode(&codec, tampered).await.is_err(), "a tampered payload beside good ones")?;
    let mut unknown = mixed.clone();
    unknown[4].metadata.insert(codec_kit::KEY_ID.to_owned(), b"c".to_vec());
    check(decode(&codec, unknown).await.is_err(), "an unknown key beside known ones")?;
    check(decode(&codec, mixed).await.is_ok(), "decoding after an error")?;

    let (codec, _) = make(Stalls { failure_rate: 1.0, ..Stalls::never() });
    check(encode(&codec, plain(1)).await.is_err(), "encode's error")?;
    check(decode(&codec, sealed_with("a", 1)).await.is_err(), "decode's error")?;

    let (codec, _) = make(Stalls::always(Duration::from_millis(100)));
    for _ in 0..10 {
        timeout(Duration::from_millis(5), encode(&codec, plain(1))).await.ok();
        timeout(Duration::from_millis(5), decode(&codec, sealed_with("a", 1))).await.ok();
    }
    check(encode(&codec, plain(1)).await.is_ok(), "encoding after it was cancelled")?;
    check(decode(&codec, sealed_with("a", 1)).await.is_ok(), "decoding after it was cancelled")?;

    if variant.expected.iter().any(|(step, _)| *step == Step::BeyondAsync) {
        // Such a codec makes requests for no call.
        let renews = variant.name.ends_with("used or not");
        let (codec, keys) = make(Stalls::always(late));
        for round in 1..=2 {
            let encoded = join_all((0..50).map(|_| encode(&codec, plain(1)))).await;
            let decoded = join_all((0..50).map(|_| decode(&codec, sealed_with("b", 1)))).await;
            check(encoded.iter().chain(&decoded).all(Result::is_ok), "fifty at once")?;
            for calls in [keys.calls().started, keys.decode_calls().started] {
                check(renews || calls <= round, &format!("{calls} requests in round {round}"))?;
            }
            sleep(LIFETIME + late).await;
        }
        encode(&codec, plain(1)).await.map_err(|error| error.to_string())?;
        decode(&codec, sealed_with("b", 1)).await.map_err(|error| error.to_string())?;
        check(renews || keys.calls().started == 3, "the key to encrypt with expires")?;
        // One codec decrypts with the key that it encrypts with.
        check([0, 3].contains(&keys.decode_calls().started), "the key to decrypt with expires")?;
    }
    Ok(())
}

/// A wrong codec, its key service, and time in shares of its keys' lifetime.
struct Suspect {
    codec: AnyCodec,
    keys: KeyService,
}

impl Suspect {
    fn of(name: &str, stalls: Stalls) -> Self {
        let name = format!("cache: {name}");
        let variant = variants().into_iter().find(|variant| variant.name == name);
        let variant = variant.unwrap_or_else(|| panic!("there is no variant {name}"));
        let keys = KeyService::with_stalls(keyring(), stalls).with_key_lifetime(LIFETIME);
        Self { codec: (variant.make)(keys.clone()), keys }
    }

    fn prompt(name: &str) -> Self {
        Self::of(name, Stalls::never())
    }

    fn slow(name: &str) -> Self {
        Self::of(name, Stalls::always(LIFETIME / 4))
    }

    async fn encode(&self) -> Done {
        encode(&self.codec, plain(1)).await
    }

    async fn decode(&self, id: &str) -> Done {
        decode(&self.codec, sealed_with(id, 1)).await
    }

    fn requests(&self) -> (u64, u64) {
        (self.keys.calls().started, self.keys.decode_calls().started)
    }
}

async fn lifetimes(share: f64) {
    sleep(LIFETIME.mul_f64(share)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_caches_use_keys_that_have_expired() {
    let suspect = Suspect::prompt("a use shortly before its expiry gives a key another lifetime");
    for _ in 0..40 {
        suspect.encode().await.unwrap();
        lifetimes(0.05).await;
    }
    assert_eq!(suspect.requests().0, 1);

    let suspect =
        Suspect::prompt("each use, to encrypt or to decrypt, gives the key by id another lifetime");
    for _ in 0..20 {
        suspect.decode("a").await.unwrap();
        lifetimes(0.1).await;
    }
    assert_eq!(suspect.requests().1, 1);

    let suspect = Suspect::prompt("all keys expire together, a lifetime after the last one came");
    suspect.encode().await.unwrap();
    lifetimes(0.7).await;
    suspect.decode("a").await.unwrap();
    lifetimes(0.7).await;
    suspect.encode().await.unwrap();
    assert_eq!(suspect.requests(), (1, 1));

    let suspect = Suspect::prompt("decode remembers what it has decrypted");
    let sealed = sealed_with("a", 2);
    decode(&suspect.codec, sealed.clone()).await.unwrap();
    lifetimes(1.2).await;
    decode(&suspect.codec, sealed).await.unwrap();
    assert_eq!(suspect.requests().1, 1);

    // It succeeds once, and then fails.
    let fails_later = |seed| Stalls { failure_rate: 0.9, seed, ..Stalls::never() };
    let seed = (1..).find(|seed| {
        let keys = KeyService::with_stalls(keyring(), fails_later(*seed));
        keys.data_key_blocking().is_ok() && (0..5).all(|_| keys.data_key_blocking().is_err())
    });
    let suspect = Suspect::of("an error gives a key another lifetime", fails_later(seed.unwrap()));
    for _ in 0..3 {
        suspect.encode().await.unwrap();
        lifetimes(1.2).await;
    }
    assert_eq!(suspect.keys.calls().failed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_caches_mix_up_keys() {
    let suspect = Suspect::prompt("encrypts with the key it decrypted with last");
    suspect.decode("a").await.unwrap();
    assert_eq!(suspect.encode().await.unwrap()[0].metadata[codec_kit::KEY_ID], b"a");

    let suspect = Suspect::prompt("room for one key only");
    for id in ["a", "b", "a", "b", "b"] {
        suspect.decode(id).await.unwrap();
    }
    assert_eq!(suspect.requests().1, 4);

    let two = [sealed_with("a", 1), sealed_with("b", 1)].concat();
    let suspect = Suspect::slow("two keys of one call that come in another order are mixed up");
    suspect.decode("b").await.unwrap();
    decode(&suspect.codec, two.clone()).await.unwrap_err();
    decode(&suspect.codec, two).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_caches_ask_too_often() {
    let suspect =
        Suspect::slow("callers share the first request, and after its expiry each makes one");
    let all = async || join_all((0..5).map(|_| suspect.encode())).await;
    all().await;
    assert_eq!(suspect.requests().0, 1);
    lifetimes(1.2).await;
    all().await;
    assert_eq!(suspect.requests().0, 6);

    let suspect =
        Suspect::slow("each call in the second half of a key's lifetime starts a refresh");
    suspect.encode().await.unwrap();
    lifetimes(0.6).await;
    join_all((0..5).map(|_| suspect.encode())).await;
    lifetimes(0.1).await;
    assert_eq!(suspect.requests().0, 6);

    let suspect = Suspect::slow("one lock for all keys that have expired");
    let both = async || {
        let began = Instant::now();
        for opened in join_all(["a", "b"].map(|id| suspect.decode(id))).await {
            opened.unwrap();
        }
        began.elapsed()
    };
    assert!(both().await < LIFETIME / 2);
    lifetimes(1.2).await;
    assert!(both().await >= LIFETIME / 2);

    let suspect = Suspect::slow("followers fail if the caller they wait for is cancelled");
    let first = timeout(LIFETIME / 10, suspect.encode());
    let (first, second) = futures::join!(first, suspect.encode());
    first.unwrap_err();
    second.unwrap_err();
    suspect.encode().await.unwrap();
}

#[tokio::test]
async fn wrong_caches_block() {
    let held = async |name: &str| {
        let suspect = Suspect::slow(name);
        suspect.encode().await.unwrap();
        join_all(["a", "b"].map(|id| suspect.decode(id))).await;
        lifetimes(0.6).await;
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let began = Instant::now();
            join_all(["a", "b"].map(|id| suspect.decode(id))).await;
            suspect.encode().await.unwrap();
            tokio::task::yield_now().await;
            longest = longest.max(began.elapsed());
        }
        longest
    };
    assert!(held("a task that refreshes a key blocks").await >= LIFETIME / 4);
    assert!(held("a task that refreshes keys holds the lock of all").await >= LIFETIME / 4);
    let name = "a thread that refreshes keys holds a std lock, and calls wait for that";
    assert!(held(name).await >= LIFETIME / 4);
}

fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("wrong: {what}")) }
}

/// Of two keys, `b` is the active one.
fn keyring() -> Keyring {
    let key = |id: &str, byte| format!("{id}={}", STANDARD.encode([byte; 32]));
    Keyring::parse(&[key("a", 1), key("b", 2)].join(","), Some("b")).unwrap()
}

fn plain(payloads: usize) -> Vec<Payload> {
    let payload =
        |n: usize| Payload { data: format!("plaintext {n}").into(), ..Payload::default() };
    (0..payloads).map(payload).collect()
}

fn sealed_with(id: &str, payloads: usize) -> Vec<Payload> {
    seal_all(keyring().keys().get(id).unwrap(), plain(payloads)).unwrap()
}

async fn encode(codec: &AnyCodec, payloads: Vec<Payload>) -> Done {
    Ok(codec.encode(&SerializationContextData::None, payloads).await?)
}

async fn decode(codec: &AnyCodec, payloads: Vec<Payload>) -> Done {
    Ok(codec.decode(&SerializationContextData::None, payloads).await?)
}
