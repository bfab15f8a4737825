//! Why a request is refused: a status and an opaque text for the client, a reason for the log.

use std::fmt;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use cli_kit::term::one_line;

/// The most that a log line quotes of what a client sent, in characters.
const QUOTED: usize = 300;

/// The kinds of refusals. All are 4xx: browsers send a request again after a 5xx, and to repeat one of these
/// helps no one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No such page.
    UnknownPath,
    /// To encode and decode, there is POST.
    Method,
    /// For the other pages, there is GET.
    PageMethod,
    /// A page of an origin that is not on the list.
    Origin,
    /// The namespace is missing, or can't be read.
    Namespace,
    /// No valid token.
    Unauthenticated,
    /// A valid token that does not permit this.
    Forbidden,
    /// Not JSON, by its headers.
    MediaType,
    /// The body is too large.
    BodyTooLarge,
    /// The body holds too many payloads.
    TooManyPayloads,
    /// The body did not arrive in time.
    SlowBody,
    /// The connection failed while the body was read.
    BrokenBody,
    /// The server has too much to do.
    Busy,
    /// The body is not JSON of payloads.
    NotPayloads,
    /// The codec returned an error.
    Codec,
    /// The codec did not answer in time.
    SlowCodec,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::UnknownPath,
        Self::Method,
        Self::PageMethod,
        Self::Origin,
        Self::Namespace,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::MediaType,
        Self::BodyTooLarge,
        Self::TooManyPayloads,
        Self::SlowBody,
        Self::BrokenBody,
        Self::Busy,
        Self::NotPayloads,
        Self::Codec,
        Self::SlowCodec,
    ];

    /// Its name in the log and in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownPath => "unknown_path",
            Self::Method => "method",
            Self::PageMethod => "page_method",
            Self::Origin => "origin",
            Self::Namespace => "namespace",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::MediaType => "media_type",
            Self::BodyTooLarge => "body_too_large",
            Self::TooManyPayloads => "too_many_payloads",
            Self::SlowBody => "slow_body",
            Self::BrokenBody => "broken_body",
            Self::Busy => "busy",
            Self::NotPayloads => "not_payloads",
            Self::Codec => "codec",
            Self::SlowCodec => "slow_codec",
        }
    }

    /// The status that the client gets.
    pub fn status(self) -> StatusCode {
        match self {
            Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::Method | Self::PageMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Origin | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge | Self::TooManyPayloads => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Namespace
            | Self::BrokenBody
            | Self::NotPayloads
            | Self::Codec
            | Self::SlowCodec => StatusCode::BAD_REQUEST,
        }
    }

    /// What the client reads. It never depends on the request's content or on a key.
    pub fn text(self) -> &'static str {
        match self {
            Self::UnknownPath => "no such path: use /encode or /decode",
            Self::Method => "use POST",
            Self::PageMethod => "use GET",
            Self::Origin => "this origin is not allowed",
            Self::Namespace => "name one namespace in the header X-Namespace or in the path",
            Self::Unauthenticated => "no valid token",
            Self::Forbidden => "the token does not permit this",
            Self::MediaType => "send application/json, not compressed",
            Self::BodyTooLarge => "the body is too large",
            Self::TooManyPayloads => "too many payloads in one request",
            Self::SlowBody => "the body did not arrive in time",
            Self::BrokenBody => "the body could not be read",
            Self::Busy => "too many requests at a time",
            Self::NotPayloads => "the body is not JSON of the form {\"payloads\": [...]}",
            Self::Codec | Self::SlowCodec => "the payloads could not be transformed",
        }
    }
}

/// A refused request. As a response it holds only what its [`Kind`] says; the reason is for the log, and its
/// `Display` shows it.
#[derive(Clone, Debug)]
pub struct Refusal {
    kind: Kind,
    reason: String,
}

impl Refusal {
    /// A refusal. `reason` must hold no payload, key or token. It is put on one line and cut off after 300
    /// characters, because parts of it may come from the client, such as a key id.
    pub fn new(kind: Kind, reason: impl fmt::Display) -> Self {
        Self { kind, reason: one_line(&reason.to_string(), QUOTED) }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), format!("{}\n", self.kind.text())).into_response();
        let header = match self.kind {
            Kind::Method => Some((header::ALLOW, "POST, OPTIONS")),
            Kind::PageMethod => Some((header::ALLOW, "GET, HEAD")),
            Kind::Unauthenticated => Some((header::WWW_AUTHENTICATE, "Bearer")),
            Kind::Busy => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        // For the metrics and the log, which are further out.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_a_4xx_with_a_name_of_its_own() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
        assert!(Kind::ALL.iter().all(|kind| kind.status().is_client_error()));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let refusal =
            Refusal::new(Kind::Codec, format!("key id \"{}\n\u{1b}[2J\"", "x".repeat(9999)));
        let line = refusal.to_string();
        assert!(line.chars().count() <= QUOTED + 1 && !line.contains(char::is_control), "{line}");
    }
}
