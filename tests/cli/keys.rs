//! `workshop keys wrap`, with a real key service.

use std::process::{Command, Output};

use codec_kit::{AnyKeyring, WrappedKeyring};
use key_service::{Credentials, Options, Server};

use crate::support::{WORKSHOP, program, stderr, stdout};

const ID: &str = "workshop";
const SECRET: &str = "not-a-secret";
/// The Temporal samples' test key.
const PUBLIC_KEY: &str = "test-key-id=dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE=";
const OWN_KEY: &str = "mine=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn service() -> Server {
    Server::start(Options::new(Credentials::new(ID, SECRET).unwrap())).unwrap()
}

/// `workshop keys wrap`, which asks that service.
fn wrap(endpoint: &str, flags: &[&str]) -> Command {
    let mut command = program(WORKSHOP);
    command.args(["keys", "wrap"]).args(flags);
    for (name, value) in [
        ("AWS_ENDPOINT_URL_KMS", endpoint),
        ("AWS_REGION", Options::REGION),
        ("AWS_ACCESS_KEY_ID", ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ] {
        command.env(name, value);
    }
    command
}

fn keyring(output: &Output) -> WrappedKeyring {
    assert!(output.status.success(), "{}", stderr(output));
    match AnyKeyring::parse(stdout(output).trim(), None).unwrap() {
        AnyKeyring::Wrapped(keyring) => keyring,
        AnyKeyring::Plain(_) => panic!("{}", stdout(output)),
    }
}

#[test]
fn a_new_key_and_ones_own_are_wrapped() {
    let service = service();
    let new = wrap(&service.endpoint(), &["--new", "2026"]).output().unwrap();
    assert_eq!(keyring(&new).active(), "2026");
    let own = wrap(&service.endpoint(), &[]).env("CODEC_KEYS", OWN_KEY).output().unwrap();
    assert_eq!(keyring(&own).active(), "mine");
    let file = tempfile::tempdir().unwrap();
    let file = file.path().join("data-keys");
    std::fs::write(&file, OWN_KEY).unwrap();
    let filed = wrap(&service.endpoint(), &[]).env("CODEC_KEY_FILE", &file).output().unwrap();
    assert_eq!(keyring(&filed).active(), "mine");
}

#[test]
fn what_cannot_be_wrapped_is_refused_with_what_to_type() {
    let service = service();
    let endpoint = service.endpoint();
    let fails = |command: &mut Command, code: i32, says: &str| {
        let output = command.output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(says), "{said}");
        assert!(stdout(&output).is_empty() && !said.contains(SECRET), "{said}");
    };
    fails(&mut wrap(&endpoint, &[]), 2, "keys wrap --new 2026");
    fails(wrap(&endpoint, &[]).env("CODEC_KEYS", PUBLIC_KEY), 2, "which is public");
    fails(wrap(&endpoint, &[]).env("CODEC_KEYS", "a=kms:AAAA"), 2, "wrapped already");
    fails(wrap(&endpoint, &[]).env("CODEC_KEYS", "a=short"), 2, "the data keys can't be used");
    fails(&mut wrap(&endpoint, &["--new", "a b"]), 2, "can't be the id of a key");
    fails(&mut wrap(&endpoint, &["--new", "a", "--kms-key", "alias/x"]), 2, "NotFoundException");
    fails(wrap(&endpoint, &["--new", "a"]).env_remove("AWS_REGION"), 2, "Set AWS_REGION");
    let wrong = "InvalidSignatureException";
    fails(wrap(&endpoint, &["--new", "a"]).env("AWS_SECRET_ACCESS_KEY", "x"), 2, wrong);
    service.stop();
    fails(&mut wrap(&endpoint, &["--new", "a"]), 3, "cargo run --package key-service");
}
