//! Answers and keyrings of any bytes. `FUZZ_SECONDS=600` runs each of these so long; otherwise each runs for
//! a fraction of a second.

use std::{
    env,
    time::{Duration, Instant},
};

use arbtest::arbitrary::{Result, Unstructured};
use codec_kit::{AnyKeyring, Keyring, WrappedKeyring, kms::check_answer};

/// Runs a check on random inputs and prints how many there were. The large form makes its own inputs: arbtest's grow
/// to 64 KiB, of which these checks use a fraction.
fn fuzz(name: &str, mut check: impl FnMut(&mut Unstructured<'_>) -> Result<()>) {
    let mut inputs = 0_u64;
    let mut counted = |u: &mut Unstructured<'_>| {
        inputs += 1;
        check(u)
    };
    let seconds = env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    match seconds.map(Duration::from_secs) {
        None => arbtest::arbtest(counted).budget(Duration::from_millis(200)).run(),
        Some(time) => {
            let (start, mut random) = (Instant::now(), fastrand::Rng::new());
            let mut bytes = [0; 512];
            while start.elapsed() < time {
                random.fill(&mut bytes);
                // An error means that the input was too short for what the check wanted.
                let _ = counted(&mut Unstructured::new(&bytes));
            }
        }
    }
    println!("{name}: {inputs} inputs");
}

/// Text that is nearly right: pieces of the right form, and anything between them.
fn nearly(u: &mut Unstructured<'_>, pieces: &[&str]) -> Result<String> {
    let mut text = String::new();
    while u.arbitrary()? && text.len() < 4096 {
        match u.ratio(3, 4)? {
            true => text += u.choose(pieces)?,
            false => text += u.arbitrary::<&str>()?,
        }
    }
    Ok(text)
}

#[test]
fn no_answer_is_too_strange() {
    let pieces = [
        "{",
        "}",
        "\"Plaintext\":",
        "\"CiphertextBlob\":",
        "\"AQEB\"",
        "\"__type\":",
        "\"message\":",
        ",",
        "null",
        "\"A#B:C\"",
        "[",
        "]",
        "\\u0000",
        "1e999",
        "\"",
        "true",
        "\"Plaintext\": \"AQEB\"",
    ];
    fuzz("answers", |u| {
        let status = *u.choose(&[200, 200, 200, 400, 409, 429, 500])?;
        let body: Vec<u8> = match u.ratio(3, 4)? {
            true => nearly(u, &pieces)?.into(),
            false => u.arbitrary()?,
        };
        if let Err(error) = check_answer(status, &body) {
            assert!(error.to_string().len() < 4000, "{error}");
        }
        Ok(())
    });
}

#[test]
fn no_keyring_is_too_strange() {
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let pieces = [
        "a",
        "b",
        "=",
        ",",
        "kms:",
        key,
        "AQEB",
        "\n",
        " ",
        "\u{feff}",
        "\u{200b}",
        "#",
        "a=kms:AQEB",
        "==",
        "%",
    ];
    fuzz("keyrings", |u| {
        let text = nearly(u, &pieces)?;
        let active = *u.choose(&[None, Some("a"), Some("")])?;
        let plain = Keyring::parse(&text, active);
        let wrapped = WrappedKeyring::parse(&text, active);
        if let Ok(keyring) = &wrapped {
            // What was read can be written and read again.
            assert_eq!(&WrappedKeyring::parse(&keyring.to_string(), None).unwrap(), keyring);
        }
        assert!(plain.is_err() || wrapped.is_err(), "{text:?} is of both kinds");
        let any = AnyKeyring::parse(&text, active);
        assert_eq!(any.is_ok(), plain.is_ok() || wrapped.is_ok(), "{text:?}");
        // An id is quoted, so a key that someone took for one is, too.
        let is_id = |entry: &str| matches!(entry.split_once('='), Some((id, key)) if id.contains("AQEBAQEB") && !key.is_empty());
        let has_such_id = text.split(|c: char| c == ',' || c.is_whitespace()).any(is_id);
        for error in [plain.err(), wrapped.err()].into_iter().flatten() {
            assert!(has_such_id || !error.to_string().contains("AQEBAQEB"), "{error}");
        }
        Ok(())
    });
}
