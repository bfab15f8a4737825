//! What a request asks for: the operation and the namespace, from its path and headers.
//!
//! The last segment of the path decides. Whatever is before it may be a prefix of a reverse proxy, or the
//! namespace: `/decode`, `/NAMESPACE/decode`, `/codec/decode`.

use std::{borrow::Cow, fmt};

use axum::http::{HeaderMap, HeaderValue, header};

use crate::refusal::{Kind, Refusal};

/// The header in which the Web UI and the CLI name the namespace.
pub const NAMESPACE: &str = "x-namespace";
/// The longest name of a namespace, in bytes. Temporal's own limit is 1,000 by default.
const LONGEST_NAMESPACE: usize = 1000;

/// What a codec does to payloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Encrypts them.
    Encode,
    /// Decrypts them.
    Decode,
}

impl Operation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Encode, Self::Decode];

    /// Its name, as the last segment of a path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Decode => "decode",
        }
    }

    /// What a path asks for, if it is one of ours.
    pub fn of(path: &str) -> Option<Self> {
        let (_, last) = path.rsplit_once('/')?;
        Self::ALL.into_iter().find(|operation| operation.name() == last)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The namespace that a request names: in its header, or else in the segment of its path before the last.
/// `None` if it names no namespace.
///
/// # Errors
/// When the header occurs twice, or the name can't be read.
pub fn namespace(headers: &HeaderMap, path: &str) -> Result<Option<String>, Refusal> {
    let mut named = headers.get_all(NAMESPACE).iter();
    let namespace = match (named.next(), named.next()) {
        (Some(_), Some(_)) => {
            return Err(Refusal::new(Kind::Namespace, "the header X-Namespace occurs twice"));
        }
        (Some(name), None) => str::from_utf8(name.as_bytes())
            .map_err(|_| Refusal::new(Kind::Namespace, "the header X-Namespace is not UTF-8"))?
            .trim()
            .to_owned(),
        (None, _) => in_path(path)?,
    };
    if namespace.len() > LONGEST_NAMESPACE {
        let reason = format!("the namespace has {} bytes", namespace.len());
        return Err(Refusal::new(Kind::Namespace, reason));
    }
    Ok(Some(namespace).filter(|namespace| !namespace.is_empty()))
}

fn in_path(path: &str) -> Result<String, Refusal> {
    let segment = path.rsplit('/').nth(1).unwrap_or_default();
    percent_decode(segment)
        .map(Cow::into_owned)
        .ok_or_else(|| Refusal::new(Kind::Namespace, "the namespace in the path can't be decoded"))
}

/// `%2F` and the like as the characters that they stand for.
fn percent_decode(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(segment.into());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut parts = segment.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let digits =
            part.get(..2).filter(|digits| digits.chars().all(|c| c.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok().map(Cow::from)
}

/// Whether the body is JSON, by the headers.
///
/// # Errors
/// When it is not, or is compressed. Nothing else is accepted because a page of any site may send other types
/// without asking first.
pub fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refuse = |reason| Err(Refusal::new(Kind::MediaType, reason));
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return refuse("the body is compressed");
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(media_type), None) if is_json(media_type) => Ok(()),
        (Some(_), None) => refuse("the content type is not application/json"),
        (None, _) => refuse("there is no content type"),
        (Some(_), Some(_)) => refuse("there are two content types"),
    }
}

fn is_json(media_type: &HeaderValue) -> bool {
    media_type.to_str().is_ok_and(|media_type| {
        let essence = media_type.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case("application/json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_segment_decides() {
        for (path, expected) in [
            ("/encode", Some(Operation::Encode)),
            ("/decode", Some(Operation::Decode)),
            ("/default/decode", Some(Operation::Decode)),
            ("/a/b/encode", Some(Operation::Encode)),
            ("//decode", Some(Operation::Decode)),
            ("/decode/", None),
            ("/Decode", None),
            ("/download", None),
            ("/xdecode", None),
            ("/decode/x", None),
            ("/", None),
            ("", None),
            ("*", None),
        ] {
            assert_eq!(Operation::of(path), expected, "{path}");
        }
    }

    fn headers(values: &[&'static [u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAMESPACE, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_header_names_the_namespace_or_else_the_path_does() {
        let named = |header: &[&'static [u8]], path| namespace(&headers(header), path).unwrap();
        assert_eq!(named(&[b"orders"], "/decode").as_deref(), Some("orders"));
        assert_eq!(named(&[b"orders"], "/codec/decode").as_deref(), Some("orders"));
        assert_eq!(named(&[], "/orders/decode").as_deref(), Some("orders"));
        assert_eq!(named(&[], "/prefix/a%2Fb%20%C3%A9/decode").as_deref(), Some("a/b é"));
        assert_eq!(named(&["bücher".as_bytes()], "/decode").as_deref(), Some("bücher"));
        assert_eq!(named(&[], "/decode"), None);
        assert_eq!(named(&[b" "], "/orders/decode"), None);
    }

    #[test]
    fn a_namespace_that_is_not_clear_is_refused() {
        let refused = |header: &[&'static [u8]], path: &str| {
            namespace(&headers(header), path).unwrap_err().kind() == Kind::Namespace
        };
        assert!(refused(&[b"a", b"b"], "/decode"));
        assert!(refused(&[b"a", b"a"], "/decode"));
        assert!(refused(&[b"\xff\xfe"], "/decode"));
        for path in ["/%/decode", "/%f/decode", "/%zz/decode", "/%ff/decode", "/%+1/decode"] {
            assert!(refused(&[], path), "{path}");
        }
        assert!(refused(&[], &format!("/{}/decode", "n".repeat(LONGEST_NAMESPACE + 1))));
    }

    #[test]
    fn only_json_is_accepted() {
        for (media_type, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("application/json;", true),
            ("application/json2", false),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            assert_eq!(check_media_type(&headers).is_ok(), expected, "{media_type}");
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            assert!(check_media_type(&headers).is_err());
        }
        assert!(check_media_type(&HeaderMap::new()).is_err());
    }
}
