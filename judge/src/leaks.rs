//! Looks for secrets, plaintext or key, in what a program has printed.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use serde::Serialize;

use crate::measure::MARKER;

/// The keys that the test key services hand out, except keys made for one measurement.
const TEST_KEY: &[u8] = b"test-key-test-key-test-key-test!";

/// How something secret can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As it is.
    Text,
    /// Byte by byte in decimal numbers, as `{:?}` prints a `Vec<u8>`.
    Numbers,
    /// Byte by byte in hexadecimal numbers, `0x` before each or not.
    Hexadecimal,
    /// In base64, by itself or within something longer.
    Base64,
    /// Backwards, in any of these forms.
    Reversed,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "as text",
            Self::Numbers => "as a list of numbers",
            Self::Hexadecimal => "in hexadecimal",
            Self::Base64 => "in base64",
            Self::Reversed => "reversed",
        })
    }
}

/// Something secret in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Leak {
    /// What it is.
    pub what: &'static str,
    /// How it can be read.
    pub form: Form,
}

/// The leak in a codec's output, if there is one: a payload, or the key.
pub fn leak(output: &[u8]) -> Option<Leak> {
    let printed = Printed::new(output);
    let secrets = [("a payload", MARKER.as_bytes()), ("the data key", TEST_KEY)];
    let whole = secrets
        .into_iter()
        .find_map(|(what, secret)| Some(Leak { what, form: printed.shows(secret)? }));
    // A preview is a leak, too.
    let piece = |piece: &[u8]| MARKER.as_bytes().windows(PIECE).any(|part| part == piece);
    let preview = || output.windows(PIECE).any(piece);
    whole.or_else(|| preview().then_some(Leak { what: "a part of a payload", form: Form::Text }))
}

/// This many equal characters in a row are no coincidence.
const PIECE: usize = 8;

/// Printed text, prepared for searching.
pub struct Printed<'a> {
    output: &'a [u8],
    /// Only letters and digits, in lower case. That removes whatever separates printed bytes: spaces, commas,
    /// colons, new lines.
    plain: String,
}

impl<'a> Printed<'a> {
    /// Prepares these bytes, whatever they contain.
    pub fn new(output: &'a [u8]) -> Self {
        Self { output, plain: plain(output) }
    }

    /// The form in which this secret can be read, if it can. For text or keys of at least 12 bytes: shorter
    /// ones may be there by chance, and are for [`shows_word`](Self::shows_word).
    pub fn shows(&self, secret: &[u8]) -> Option<Form> {
        let backwards = |(_, text)| (Form::Reversed, text);
        let mut forms = forms(secret);
        forms.extend(forms_of_reversed(secret).map(backwards));
        forms.into_iter().find(|(_, text)| self.plain.contains(text)).map(|(form, _)| form)
    }

    /// The form in which this short secret, a word of letters and digits, can be read: as a separate word,
    /// not within another one.
    pub fn shows_word(&self, secret: &str) -> Option<Form> {
        let backwards: String = secret.chars().rev().collect();
        let in_base64 = |secret: &str| STANDARD_NO_PAD.encode(secret);
        let in_hex = |case: fn(u8) -> String| secret.bytes().map(case).collect::<String>();
        let forms = [
            (Form::Text, secret.to_owned()),
            (Form::Base64, in_base64(secret)),
            (Form::Hexadecimal, in_hex(|byte| format!("{byte:02x}"))),
            (Form::Hexadecimal, in_hex(|byte| format!("{byte:02X}"))),
            (Form::Reversed, in_base64(&backwards)),
            (Form::Reversed, backwards),
        ];
        self.output.split(|byte| !byte.is_ascii_alphanumeric()).find_map(|word| {
            forms.iter().find(|(_, form)| form.as_bytes() == word).map(|(form, _)| *form)
        })
    }
}

/// A secret in every form, prepared like [`Printed::plain`].
fn forms(secret: &[u8]) -> Vec<(Form, String)> {
    let bytes = |print: fn(&u8) -> String| secret.iter().map(print).collect::<String>();
    let mut forms = vec![
        (Form::Text, plain(secret)),
        (Form::Numbers, bytes(|byte| byte.to_string())),
        (Form::Hexadecimal, bytes(|byte| format!("{byte:02x}"))),
        // What `{:#x?}` prints.
        (Form::Hexadecimal, bytes(|byte| format!("0x{byte:x}"))),
    ];
    // Base64 encodes three bytes at a time, and which three depends on what comes before.
    for start in 0..3 {
        let (whole, _) = secret.get(start..).unwrap_or_default().as_chunks::<3>();
        forms.push((Form::Base64, plain(STANDARD.encode(whole.as_flattened()).as_bytes())));
    }
    forms
}

/// The same for reversed secrets: reversed before or after they were encoded.
fn forms_of_reversed(secret: &[u8]) -> impl Iterator<Item = (Form, String)> {
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    let after = forms(secret).into_iter().map(|(form, text)| (form, text.chars().rev().collect()));
    forms(&reversed).into_iter().chain(after)
}

/// Letters and digits of ASCII, in lower case.
fn plain(bytes: &[u8]) -> String {
    let kept = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric());
    kept.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
}

#[cfg(test)]
mod tests {
    use codec_kit::{Keyring, Payload, open, seal};

    use super::*;

    const SECRET: &[u8] = b"What, no one may read?!";

    fn shows(output: impl AsRef<[u8]>) -> Option<Form> {
        Printed::new(output.as_ref()).shows(SECRET)
    }

    #[test]
    fn it_is_found_in_whatever_form_it_is_printed() {
        let text = String::from_utf8_lossy(SECRET);
        let payload = Payload { data: SECRET.to_vec(), ..Payload::default() };
        let hex: Vec<_> = SECRET.iter().map(|byte| format!("{byte:02X}")).collect();
        for (form, output) in [
            (Form::Text, format!("sealing {text}")),
            (Form::Text, format!("sealing {text:?}")),
            (Form::Text, format!("{}", [b"\xff\0", SECRET].concat().escape_ascii())),
            (Form::Base64, format!("{payload:?}")),
            (Form::Numbers, format!("{SECRET:?}")),
            (Form::Numbers, format!("{SECRET:#?}")),
            (Form::Hexadecimal, format!("{SECRET:02x?}")),
            (Form::Hexadecimal, format!("{SECRET:#x?}")),
            (Form::Hexadecimal, format!("{SECRET:#04X?}")),
            (Form::Hexadecimal, hex.concat()),
            (Form::Hexadecimal, hex.join(":")),
        ] {
            assert_eq!(shows(&output), Some(form), "{output}");
        }
        let reversed: Vec<u8> = SECRET.iter().rev().copied().collect();
        for output in [
            reversed.clone(),
            STANDARD.encode(&reversed).into_bytes(),
            STANDARD.encode(SECRET).bytes().rev().collect(),
            format!("{reversed:?}").into_bytes(),
            hex.concat().bytes().rev().collect(),
        ] {
            assert_eq!(shows(&output), Some(Form::Reversed), "{}", output.escape_ascii());
        }
        for before in ["", "1", "12", "123"] {
            let longer = [before.as_bytes(), SECRET, b"!!"].concat();
            assert_eq!(shows(STANDARD.encode(longer)), Some(Form::Base64), "{before:?}");
        }
    }

    #[test]
    fn what_does_not_show_it_is_not_blamed() {
        for output in ["", "encodes 3 payloads of 23 bytes with key id test-key-id", "What no one"]
        {
            assert_eq!(shows(output), None, "{output}");
        }
    }

    #[test]
    fn a_short_secret_is_found_where_it_is_a_word_by_itself() {
        let shows = |output: &str| Printed::new(output.as_bytes()).shows_word("Hello");
        for (form, output) in [
            (Form::Text, "{\"greeting\":\"Hello\"}"),
            (Form::Base64, "SGVsbG8="),
            (Form::Hexadecimal, "48656c6c6f"),
            (Form::Hexadecimal, "as 48656C6C6F"),
            (Form::Reversed, "olleH"),
            (Form::Reversed, "b2xsZUg="),
        ] {
            assert_eq!(shows(output), Some(form), "{output}");
        }
        for output in ["", "hello-activity-task-queue", "Othello", "HelloWorld", "xSGVsbG8="] {
            assert_eq!(shows(output), None, "{output}");
        }
    }

    #[test]
    fn the_key_that_is_looked_for_is_the_judges() {
        let sealed = seal(Keyring::test_key().active(), &Payload::default()).unwrap();
        let same = format!("test-key-id={}", STANDARD.encode(TEST_KEY));
        assert!(open(Keyring::parse(&same, None).unwrap().keys(), sealed).is_ok());
    }
}
