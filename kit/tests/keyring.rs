//! Keyrings: every bad entry is an error that says which and why, and nothing shows a key.

use std::{fs, process::Command};

use codec_kit::{Keyring, KeyringError};

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

#[test]
fn the_first_entry_is_active_unless_another_is_named() {
    let text = format!("a={KEY}, b={OTHER}");
    assert_eq!(Keyring::parse(&text, None).unwrap().active().id(), "a");
    let keyring = Keyring::parse(&text, Some("b")).unwrap();
    assert_eq!(keyring.active().id(), "b");
    assert_eq!(keyring.keys().ids().collect::<Vec<_>>(), ["a", "b"]);
    assert!(!keyring.is_test_key());
}

#[test]
fn the_test_key_is_known_under_any_name() {
    assert!(Keyring::test_key().is_test_key());
    let disguised = "mine=dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE=";
    assert!(Keyring::parse(disguised, None).unwrap().is_test_key());
}

#[test]
fn a_bad_entry_is_an_error_that_says_which_and_why() {
    let error = |text: &str, active| Keyring::parse(text, active).unwrap_err();
    assert!(matches!(error("  \n", None), KeyringError::Empty));
    for (text, active, says) in [
        (format!("a={KEY},b"), None, "entry 2 is not of the form id=base64"),
        (format!("={KEY}"), None, "entry 1 is not of the form id=base64"),
        (
            format!("a={KEY} b=%%%"),
            None,
            "entry 2, key id \"b\": what follows the first = is not valid base64",
        ),
        (
            format!("a={KEY}\nb=AQEB"),
            None,
            "entry 2, key id \"b\": the key has 3 bytes, AES-256 needs 32",
        ),
        (format!("a={KEY},a={OTHER}"), None, "entry 2: key id \"a\" occurs twice"),
        (
            format!("a={KEY},b={OTHER}"),
            Some("c"),
            "the active key id \"c\" is not in the keyring, which holds a, b",
        ),
    ] {
        let message = error(&text, active).to_string();
        assert!(message.starts_with(says), "{message}");
        assert!(!message.contains(&KEY[..8]), "{message}");
    }
    // An entry without `=` may be a key that lost its id: it is not quoted.
    assert!(!error("c2VjcmV0c2VjcmV0", None).to_string().contains("c2Vj"));
    // Nor one that ends in `=`, as every key does.
    let message = error(KEY, None).to_string();
    assert_eq!(message, "entry 1 is not of the form id=base64");
}

#[test]
fn a_byte_order_mark_is_skipped_and_an_invisible_character_is_named() {
    for text in [
        format!("\u{feff}a={KEY}"),
        format!("\u{feff}\r\na={KEY}\r\n\u{feff}b={OTHER}\r\n"),
        format!("\u{feff},a={KEY}"),
    ] {
        let keyring = Keyring::parse(&text, Some("a")).unwrap();
        assert_eq!(keyring.active().id(), "a", "{text:?}");
        assert!(keyring.keys().ids().all(|id| id.is_ascii()), "{keyring:?}");
    }
    let (start, end) = KEY.split_at(10);
    for (text, says) in [
        (format!("\u{200b}a={KEY}"), "entry 1 has an invisible character, U+200B"),
        (format!("a={KEY},b\u{2060}={OTHER}"), "entry 2 has an invisible character, U+2060"),
        (format!("a={KEY}\u{200e}"), "entry 1 has an invisible character, U+200E"),
        (format!("a={start}\u{ad}{end}"), "entry 1 has an invisible character, U+00AD"),
        (format!("a={start}\u{feff}{end}"), "entry 1 has an invisible character, U+FEFF"),
        (format!("a\0={KEY}"), "entry 1 has an invisible character, U+0000"),
    ] {
        let message = Keyring::parse(&text, None).unwrap_err().to_string();
        assert!(message.starts_with(says), "{message}");
    }
    // One that is seen is no fault of an id.
    assert_eq!(
        Keyring::parse(&format!("schlüssel={KEY}"), None).unwrap().active().id(),
        "schlüssel"
    );
}

#[test]
fn debug_shows_ids_and_no_keys() {
    let shown = format!("{:?}", Keyring::parse(&format!("a={KEY},b={OTHER}"), None).unwrap());
    assert_eq!(shown, r#"Keyring { ids: ["a", "b"], active: "a", .. }"#);
    assert_eq!(
        format!("{:?}", Keyring::test_key().active()),
        r#"DataKey { id: "test-key-id", .. }"#
    );
}

/// The environment is the process': each case gets a process of its own, this test run again.
#[test]
fn the_environment_or_a_file_gives_the_keys() {
    if let Ok(expected) = std::env::var("KEYRING_TEST_EXPECTS") {
        let seen = match Keyring::from_env() {
            Ok(None) => "none".to_owned(),
            Ok(Some(keyring)) => keyring.active().id().to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(seen.starts_with(&expected), "{seen}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    fs::write(&file, format!("# ours\na={KEY}\n\nb={OTHER} # since May\n")).unwrap();
    let file = file.to_str().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let marked = written("marked", format!("\u{feff}# ours\r\na={KEY}\r\n").as_bytes());
    let utf_16: Vec<u8> =
        format!("\u{feff}a={KEY}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let utf_16 = written("utf-16", &utf_16);
    let latin_1 = written("latin-1", b"schl\xfcssel=AQEB");
    let both = format!("a={KEY},b={OTHER}");
    let missing = format!("{file}-missing");
    for (expected, variables) in [
        ("none", vec![]),
        ("a", vec![("CODEC_KEYS", both.as_str())]),
        ("b", vec![("CODEC_KEYS", &both), ("CODEC_ACTIVE_KEY", "b")]),
        ("a", vec![("CODEC_KEY_FILE", file)]),
        ("b", vec![("CODEC_KEY_FILE", file), ("CODEC_ACTIVE_KEY", "b")]),
        ("a", vec![("CODEC_KEY_FILE", &marked)]),
        (&format!("the key file {utf_16} is UTF-16"), vec![("CODEC_KEY_FILE", &utf_16)]),
        (
            &format!("can't read the key file {latin_1}: invalid utf-8"),
            vec![("CODEC_KEY_FILE", &latin_1)],
        ),
        ("can't read the key file", vec![("CODEC_KEY_FILE", &missing)]),
        (
            "both CODEC_KEYS and CODEC_KEY_FILE are set",
            vec![("CODEC_KEYS", &both), ("CODEC_KEY_FILE", file)],
        ),
        // Or the public test key would be used in its place.
        ("CODEC_ACTIVE_KEY names the key id \"b\", but", vec![("CODEC_ACTIVE_KEY", "b")]),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_environment_or_a_file_gives_the_keys"])
            .env("KEYRING_TEST_EXPECTS", expected)
            .env_remove("CODEC_KEYS")
            .env_remove("CODEC_KEY_FILE")
            .env_remove("CODEC_ACTIVE_KEY")
            .envs(variables)
            .output()
            .unwrap();
        assert!(output.status.success(), "{expected}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
