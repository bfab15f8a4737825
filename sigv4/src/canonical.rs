//! The one form of a request that is signed, and the key it is signed with.

use std::fmt::Write;

use jiff::{Timestamp, tz::TimeZone};
use ring::{digest, hmac};
use zeroize::Zeroizing;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const TERMINATOR: &str = "aws4_request";

/// A request, as far as it is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Such as `POST`.
    pub method: &'a str,
    /// The path, already encoded and normalized.
    pub path: &'a str,
    /// The query, already encoded and sorted; without the question mark.
    pub query: &'a str,
    /// Names and values. A name in any case; the same name twice is one list of values.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Where a signature is valid.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Such as `eu-central-1`.
    pub region: &'a str,
    /// Such as `kms`.
    pub service: &'a str,
}

impl Scope<'_> {
    pub(crate) fn on(&self, day: &str) -> String {
        format!("{day}/{}/{}/{TERMINATOR}", self.region, self.service)
    }
}

/// A moment as AWS writes it, to the second: `20150830T123600Z`.
pub(crate) fn basic_format(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The moment that is written so, if it is one.
pub(crate) fn from_basic_format(text: &str) -> Option<Timestamp> {
    // The parser also takes years of fewer digits.
    let is_long_enough = text.len() == "20150830T123600Z".len();
    let moment = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    is_long_enough.then(|| moment.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp()))?
}

/// The headers of these names, in their order: lower case, values without superfluous blanks.
fn canonical_headers(request: &Request<'_>, signed: &[String]) -> String {
    let mut text = String::new();
    for name in signed {
        text += name;
        text.push(':');
        let values = request.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        for (at, (_, value)) in values.enumerate() {
            if at > 0 {
                text.push(',');
            }
            for (at, word) in value.split_ascii_whitespace().enumerate() {
                if at > 0 {
                    text.push(' ');
                }
                text += word;
            }
        }
        text.push('\n');
    }
    text
}

pub(crate) fn canonical_request(request: &Request<'_>, signed: &[String]) -> String {
    let Request { method, path, query, body, .. } = request;
    let headers = canonical_headers(request, signed);
    let names = signed.join(";");
    let body = hex(digest::digest(&digest::SHA256, body).as_ref());
    format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{body}")
}

pub(crate) fn string_to_sign(moment: &str, scope: &str, canonical: &str) -> String {
    let digest = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    format!("{ALGORITHM}\n{moment}\n{scope}\n{digest}")
}

/// The key of one day, region and service. It is as good as the secret there, so no copy stays: ring does not
/// wipe its own, which is on the stack.
pub(crate) fn signing_key(secret: &str, day: &str, scope: &Scope<'_>) -> hmac::Key {
    let mut first = Zeroizing::new(String::with_capacity("AWS4".len() + secret.len()));
    first.push_str("AWS4");
    first.push_str(secret);
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for part in [day, scope.region, scope.service, TERMINATOR] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String never fails.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The bytes that a signature stands for: 64 lower-case hexadecimal digits.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let mut bytes = [0; 32];
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_and_read() {
        let moment: Timestamp = "2015-08-30T12:36:00Z".parse().unwrap();
        assert_eq!(basic_format(moment), "20150830T123600Z");
        assert_eq!(from_basic_format("20150830T123600Z"), Some(moment));
        for wrong in ["", "20150830T1236Z", "20150230T123600Z", "20150830T123600", "15-08-30"] {
            assert_eq!(from_basic_format(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_signature_is_64_digits() {
        let bytes = [0xa7; 32];
        assert_eq!(from_hex(&hex(&bytes)), Some(bytes));
        for wrong in ["", "a7", &"A7".repeat(32), &"g0".repeat(32), &"a7".repeat(33), "é"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
