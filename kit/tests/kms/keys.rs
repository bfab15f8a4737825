//! Wrapped data keys behind [`KeyService`]: the four calls, what is refused, and what an attacker can't do.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{
    AnyKeyring, Calls, DataKeys, KeyService, KeyServiceError, Keyring, KeyringError, Payload,
    WrappedKeyring,
    kms::{BlockingClient, Context, Settings, new_wrapped_key, wrap},
    open, seal,
};
use key_service::Faults;

use crate::support::{ALIAS, LIMIT, metric, server, settings, wait_for};

const PLAIN: &str = "new=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,\
                     old=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

fn client(settings: &Settings) -> BlockingClient {
    BlockingClient::new(settings).unwrap()
}

fn payload() -> Payload {
    Payload { data: b"a secret".into(), ..Payload::default() }
}

#[tokio::test]
async fn the_four_calls_unwrap_the_keys_that_were_wrapped() {
    let server = server(Faults::default());
    let settings = settings(&server.endpoint());
    let plain = Keyring::parse(PLAIN, None).unwrap();
    let wrapped = wrap(&client(&settings), ALIAS, &plain).unwrap();
    assert_eq!(wrapped.active(), "new");
    // What is written is read again.
    let text = wrapped.to_string();
    assert!(
        text.starts_with("new=kms:") && text.contains(",old=kms:") && !text.contains("AQEBAQEB")
    );
    assert_eq!(WrappedKeyring::parse(&text, None).unwrap(), wrapped);

    let keys = KeyService::with_kms(wrapped, &settings).unwrap();
    let sealed = seal(&keys.data_key().await.unwrap(), &payload()).unwrap();
    let blocking = keys.clone();
    let (again, old) = tokio::task::spawn_blocking(move || {
        (blocking.data_key_blocking().unwrap(), blocking.data_key_by_id_blocking("old").unwrap())
    })
    .await
    .unwrap();
    let async_old = keys.data_key_by_id("old").await.unwrap();
    // They are the keys themselves: what one encrypts, those of the plain keyring decrypt.
    for key in [&again, &old, &async_old] {
        let sealed = seal(key, &payload()).unwrap();
        assert_eq!(open(plain.keys(), sealed).unwrap(), payload());
    }
    let found: DataKeys = [keys.data_key_by_id("new").await.unwrap()].into_iter().collect();
    assert_eq!(open(&found, sealed).unwrap(), payload());
    assert_eq!(keys.calls(), Calls { started: 2, finished: 2, ..Calls::default() });
    assert_eq!(keys.decode_calls(), Calls { started: 3, finished: 3, ..Calls::default() });
    // Each call unwraps one, and the service knows what for.
    for (purpose, calls) in [("encrypt", 2.0), ("decrypt", 3.0)] {
        let labels = ["operation=\"Decrypt\"", &format!("purpose=\"{purpose}\"")];
        assert_eq!(metric(&server, "calls_total", &labels), calls, "{}", server.metrics());
    }
}

#[tokio::test]
async fn only_calls_for_the_purpose_of_a_stall_stall() {
    let stalls = vec!["Decrypt:encrypt=1@1ms".parse().unwrap()];
    let server = server(Faults { stalls, ..Faults::default() });
    let settings = settings(&server.endpoint());
    let wrapped = {
        let settings = settings.clone();
        let made = move || new_wrapped_key(&client(&settings), ALIAS, "2026").unwrap();
        tokio::task::spawn_blocking(made).await.unwrap()
    };
    let keys = KeyService::with_kms(wrapped, &settings).unwrap();
    for _ in 0..3 {
        keys.data_key().await.unwrap();
        keys.data_key_by_id("2026").await.unwrap();
    }
    assert_eq!(metric(&server, "faults_total", &["purpose=\"encrypt\""]), 3.0);
    assert_eq!(metric(&server, "faults_total", &["purpose=\"decrypt\""]), 0.0);
}

#[test]
fn a_wrapped_key_is_bound_to_its_id() {
    let server = server(Faults::default());
    let settings = settings(&server.endpoint());
    let wrapped = wrap(&client(&settings), ALIAS, &Keyring::parse(PLAIN, None).unwrap()).unwrap();
    let exchanged = wrapped.to_string().replace("new=", "x=").replace("old=", "new=");
    let keys = KeyService::with_kms(WrappedKeyring::parse(&exchanged, None).unwrap(), &settings);
    let error = keys.unwrap().data_key_by_id_blocking("new").unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, KeyServiceError::Client { .. }), "{message}");
    assert!(
        message.contains("nothing was decrypted") && message.contains("under another id"),
        "{message}"
    );
}

#[test]
fn an_id_that_is_not_there_and_a_key_of_the_wrong_length_are_errors() {
    let server = server(Faults::default());
    let settings = settings(&server.endpoint());
    let short = client(&settings)
        .encrypt(ALIAS, b"short", &Context::from([("codec-key-id".into(), "short".into())]))
        .unwrap();
    let text = format!("short=kms:{}", STANDARD.encode(short));
    let keys =
        KeyService::with_kms(WrappedKeyring::parse(&text, None).unwrap(), &settings).unwrap();
    let error = keys.data_key_blocking().unwrap_err().to_string();
    assert!(error.contains("nothing was encrypted") && error.contains("32 bytes"), "{error}");
    let error = keys.data_key_by_id_blocking("other").unwrap_err();
    assert!(matches!(error, KeyServiceError::UnknownKey { .. }), "{error}");
    assert!(error.to_string().contains("it holds short"), "{error}");
    assert_eq!((keys.calls().failed, keys.decode_calls().failed), (1, 1));
}

#[test]
fn what_can_not_be_a_wrapped_key_is_refused() {
    let server = server(Faults::default());
    let client = client(&settings(&server.endpoint()));
    assert!(new_wrapped_key(&client, ALIAS, "a b").is_err());
    let error = new_wrapped_key(&client, "alias/other", "2026").unwrap_err().to_string();
    assert!(error.contains("can't be wrapped") && error.contains("NotFoundException"), "{error}");
}

#[test]
fn keyrings_of_both_kinds_are_told_apart_and_not_mixed() {
    let plain = PLAIN;
    let wrapped = "a=kms:AQEB b=kms:AgIC";
    assert!(matches!(AnyKeyring::parse(plain, None), Ok(AnyKeyring::Plain(_))));
    let Ok(AnyKeyring::Wrapped(keyring)) = AnyKeyring::parse(wrapped, Some("b")) else { panic!() };
    assert_eq!(keyring.to_string(), "b=kms:AgIC,a=kms:AQEB");
    assert_eq!(keyring.ciphertext("a"), Some(&[1, 1, 1][..]));
    let mixed = format!("{wrapped},{plain}");
    let error = AnyKeyring::parse(&mixed, None).unwrap_err();
    assert!(matches!(&error, KeyringError::NotWrapped { entry: 3, id } if id == "new"), "{error}");
    let error = Keyring::parse(&mixed, None).unwrap_err();
    assert!(matches!(error, KeyringError::Wrapped { entry: 1, .. }), "{error}");
    for (wrong, says) in [
        ("a=kms:", "not valid base64"),
        ("a=kms:%", "not valid base64"),
        ("a=kms:AQEB a=kms:AQEB", "occurs twice"),
        ("", "there is no key"),
    ] {
        let error = WrappedKeyring::parse(wrong, None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(WrappedKeyring::parse(wrapped, Some("c")).is_err());
}

/// A key disabled, and enabled again, by the service's own operations.
#[test]
fn a_disabled_key_is_an_error_at_once_until_it_is_enabled() {
    let server = server(Faults::default());
    let settings = settings(&server.endpoint()).with_timeouts(LIMIT, Duration::from_secs(20));
    let wrapped = new_wrapped_key(&client(&settings), ALIAS, "2026").unwrap();
    let keys = KeyService::with_kms(wrapped, &settings).unwrap();
    keys.data_key_blocking().unwrap();
    server.enable_key("workshop", false).unwrap();
    let error = keys.data_key_blocking().unwrap_err().to_string();
    assert!(
        error.contains("DisabledException") && error.contains("enable the key again"),
        "{error}"
    );
    assert!(!error.contains("asked"), "{error}");
    server.enable_key("workshop", true).unwrap();
    wait_for("the key", || keys.data_key_blocking().is_ok());
    assert!(server.enable_key("other", true).is_err());
}
