//! Whether a payload can be read where it should not be: in what was encrypted, or in an error.

use std::collections::HashSet;

use base64::{
    Engine, alphabet,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD},
};
use codec_kit::{ENCODING, KEY_ID, Payload};

/// This many equal bytes in a row are no coincidence.
const PIECE: usize = 8;
/// How much of a payload's data is looked for, at its start and at its end.
const LOOKED_AT: usize = 64;
/// Bytes of a nonce.
const NONCE: usize = 12;

/// How a payload can be read in its encrypted form, if it can: in the metadata, or in the nonce.
pub fn in_encrypted(plain: &Payload, encrypted: &Payload) -> Option<String> {
    // The values of these two are checked elsewhere; a payload that is encrypted twice has both.
    let added =
        encrypted.metadata.iter().filter(|(name, _)| ![ENCODING, KEY_ID].contains(&&***name));
    let places: Vec<_> = added.flat_map(|(name, value)| [name.as_bytes(), value]).collect();
    if !places.is_empty() {
        let pieces = Pieces::of(plain);
        if let Some(form) = places.into_iter().find_map(|place| pieces.shown_in(place)) {
            return Some(format!("plaintext in its metadata, {form}"));
        }
    }
    let nonce = encrypted.data.get(..NONCE)?;
    let start = &plain.data[..plain.data.len().min(LOOKED_AT)];
    let shows = |piece: &[u8]| start.windows(PIECE).any(|window| window == piece);
    nonce.windows(PIECE).any(shows).then(|| "plaintext in its nonce".to_owned())
}

/// How a payload can be read in a text, if it can.
pub fn in_text(plain: &Payload, text: &[u8]) -> Option<String> {
    Pieces::of(plain).shown_in(text).map(|form| format!("the payload, {form}"))
}

/// Every piece of a payload that must not be read anywhere.
struct Pieces(HashSet<Vec<u8>>);

impl Pieces {
    fn of(plain: &Payload) -> Self {
        let data = &plain.data;
        let start = &data[..data.len().min(LOOKED_AT)];
        let end = &data[data.len().saturating_sub(LOOKED_AT)..];
        let metadata = plain.metadata.values().map(Vec::as_slice);
        let places = [start, end].into_iter().chain(metadata);
        let pieces = places.flat_map(|place| place.windows(PIECE).map(<[u8]>::to_vec));
        // A repeated byte, such as zeros, may be there by chance.
        Self(pieces.filter(|piece| piece.iter().any(|byte| *byte != piece[0])).collect())
    }

    /// The form in which a piece was found.
    fn shown_in(&self, place: &[u8]) -> Option<&'static str> {
        if self.0.is_empty() || place.is_empty() {
            return None;
        }
        let reversed: Vec<_> = place.iter().rev().copied().collect();
        let shows = |bytes: &[u8]| bytes.windows(PIECE).any(|window| self.0.contains(window));
        if shows(place) {
            return Some("as it is");
        }
        if shows(&reversed) {
            return Some("reversed");
        }
        if shows(&numbers(place)) {
            return Some("as a list of numbers");
        }
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
        for word in place.split(|byte| !is_word(byte)).filter(|word| word.len() >= PIECE) {
            if [0, 1].iter().any(|start| shows(&hexadecimal(&word[*start..]))) {
                return Some("in hexadecimal");
            }
            // What comes before it shifts the groups of four.
            if (0..4).any(|start| word.get(start..).is_some_and(|word| shows(&from_base64(word)))) {
                return Some("in base64");
            }
        }
        None
    }
}

/// The bytes that `{:?}` prints as numbers.
fn numbers(text: &[u8]) -> Vec<u8> {
    let words = text.split(|byte| !byte.is_ascii_digit()).filter(|word| !word.is_empty());
    words.filter_map(|word| str::from_utf8(word).ok()?.parse().ok()).collect()
}

fn hexadecimal(word: &[u8]) -> Vec<u8> {
    let (pairs, _) = word.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    pairs.iter().map_while(byte).collect()
}

fn from_base64(word: &[u8]) -> Vec<u8> {
    // It may be cut anywhere.
    const CUT: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);
    let whole = if word.len() % 4 == 1 { &word[..word.len() - 1] } else { word };
    let decode = |alphabet| GeneralPurpose::new(alphabet, CUT).decode(whole);
    decode(&alphabet::STANDARD).or_else(|_| decode(&alphabet::URL_SAFE)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use codec_kit::{Keyring, seal};

    use super::*;

    fn plain() -> Payload {
        let metadata = [("tenant".to_owned(), b"tenant-4711".to_vec())];
        Payload {
            metadata: metadata.into(),
            data: b"an account number".to_vec(),
            ..Payload::default()
        }
    }

    #[test]
    fn what_is_encrypted_shows_nothing() {
        let encrypted = seal(Keyring::test_key().active(), &plain()).unwrap();
        assert_eq!(in_encrypted(&plain(), &encrypted), None);
    }

    #[test]
    fn a_piece_is_found_in_every_form() {
        let secret = b"account ";
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let reversed: Vec<_> = secret.iter().rev().copied().collect();
        for (form, shown) in [
            ("as it is", secret.to_vec()),
            ("reversed", reversed),
            ("as a list of numbers", format!("{secret:?}").into_bytes()),
            ("in hexadecimal", hex.into_bytes()),
            ("in base64", STANDARD_NO_PAD.encode(secret).into_bytes()),
            ("in base64", STANDARD_NO_PAD.encode([b"x", &secret[..]].concat()).into_bytes()),
            ("as it is", b"tenant-4".to_vec()),
        ] {
            let mut encrypted = seal(Keyring::test_key().active(), &plain()).unwrap();
            encrypted.metadata.insert("preview".to_owned(), shown.clone());
            let said = in_encrypted(&plain(), &encrypted);
            assert_eq!(said.as_deref(), Some(&*format!("plaintext in its metadata, {form}")));
            let text = [b"can't encrypt: ", &shown[..], b"!"].concat();
            assert_eq!(in_text(&plain(), &text), Some(format!("the payload, {form}")));
        }
    }

    #[test]
    fn plaintext_in_the_nonce_is_found() {
        let mut encrypted = seal(Keyring::test_key().active(), &plain()).unwrap();
        encrypted.data[..NONCE].copy_from_slice(&plain().data[..NONCE]);
        assert!(in_encrypted(&plain(), &encrypted).is_some());
    }
}
