//! Which web pages may use this server: those of exact origins, and no other.
//!
//! A browser names the origin of the page in every POST, so a page of an origin that is not on the list gets
//! nothing, even if it makes the browser believe that this server is its own ("DNS rebinding"). Programs that
//! are no browser name no origin.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use url::Url;

use crate::{
    protocol::Operation,
    refusal::{Kind, Refusal},
};

/// The request headers that a page may send. With "pass access token", the Web UI sends the last two.
const ALLOWED_HEADERS: &str = "Content-Type, X-Namespace, Authorization, Authorization-Extras";
const ALLOWED_METHODS: &str = "POST, OPTIONS";
/// How long a browser need not ask again, in seconds.
const MAX_AGE: &str = "600";

const PRIVATE_NETWORK_ASKED: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// A text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an origin: {reason}")]
pub struct NotAnOrigin {
    text: String,
    reason: &'static str,
}

/// The origin of a web page: scheme, host and port, as in `http://localhost:8233`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(String);

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let refuse = |reason| NotAnOrigin { text: text.to_owned(), reason };
        if text.contains('*') {
            return Err(refuse("each origin is named exactly, without *"));
        }
        let url = Url::parse(text)
            .map_err(|_| refuse("write it as scheme://host:port, such as http://localhost:8233"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("it starts with http:// or https://, as in http://localhost:8233"));
        }
        let has_more = url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some();
        if has_more {
            return Err(refuse("an origin has no user, no path and no query"));
        }
        // As browsers write it: in lower case, without a default port.
        Ok(Self(url.origin().ascii_serialization()))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The origins whose pages may use the server.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    allowed: Arc<BTreeSet<Origin>>,
    credentials: bool,
}

impl Origins {
    /// Pages of these origins.
    pub fn new(allowed: impl IntoIterator<Item = Origin>) -> Self {
        Self { allowed: Arc::new(allowed.into_iter().collect()), credentials: false }
    }

    /// The Web UI of this machine at that port, by both of the host's names.
    pub fn local_ui(port: u16) -> [Origin; 2] {
        ["localhost", "127.0.0.1"].map(|host| Origin(format!("http://{host}:{port}")))
    }

    /// Browsers may send cookies and client certificates, which a reverse proxy may ask for.
    #[must_use]
    pub fn with_credentials(self, credentials: bool) -> Self {
        Self { credentials, ..self }
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.allowed.iter()
    }

    /// The origin of the page that sent a request. `None` if no page did.
    ///
    /// # Errors
    /// When it is not on the list.
    fn of(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let mut named = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (named.next(), named.next()) else {
            return match headers.contains_key(header::ORIGIN) {
                true => Err(Refusal::new(Kind::Origin, "the header Origin occurs twice")),
                false => Ok(None),
            };
        };
        let is_allowed = |text: &str| self.allowed.iter().any(|allowed| allowed.0 == text);
        if origin.to_str().is_ok_and(is_allowed) {
            return Ok(Some(origin.clone()));
        }
        let origin = String::from_utf8_lossy(origin.as_bytes());
        let reason = format!("a page of {origin:?} may not use this server; --origin allows it");
        Err(Refusal::new(Kind::Origin, reason))
    }

    fn allow(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            let allowed = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
    }
}

/// Refuses pages of other origins, answers what browsers ask before a request, and adds the headers without
/// which a page can't read an answer, be it an error.
pub(crate) async fn guard(
    State(origins): State<Origins>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match origins.of(request.headers()) {
        Err(refusal) => refusal.into_response(),
        Ok(origin) => {
            let mut response = match request.method() {
                &Method::OPTIONS => options(&request),
                _ => next.run(request).await,
            };
            if let Some(origin) = origin {
                origins.allow(origin, response.headers_mut());
            }
            response
        }
    };
    // On every answer: without it, a cache could give one origin's answer to another.
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

/// Browsers ask with OPTIONS what they may send, and they ask without a token.
fn options(request: &Request) -> Response {
    if Operation::of(request.uri().path()).is_none() {
        return Refusal::new(Kind::UnknownPath, "OPTIONS for an unknown path").into_response();
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let mut insert = |name, value| headers.insert(name, HeaderValue::from_static(value));
    insert(header::ALLOW, ALLOWED_METHODS);
    if request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED_METHODS);
        insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        // Some browsers ask this when a page of the internet uses a server of this machine or network.
        if request.headers().contains_key(PRIVATE_NETWORK_ASKED) {
            insert(PRIVATE_NETWORK, "true");
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, expected) in [
            ("http://localhost:8233", "http://localhost:8233"),
            ("http://localhost:8233/", "http://localhost:8233"),
            ("HTTP://LocalHost:8233", "http://localhost:8233"),
            ("https://cloud.temporal.io:443", "https://cloud.temporal.io"),
            ("http://[::1]:8233", "http://[::1]:8233"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "localhost",
            "localhost:8233",
            "http://*.example.com",
            "http://localhost:8233/ui",
            "http://localhost:8233?x",
            "http://localhost:8233#x",
            "http://me@localhost:8233",
            "http://me:secret@localhost:8233",
            "file:///etc/passwd",
            "chrome-extension://abc",
            "http://",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_exact_origins_are_allowed() {
        let origins = Origins::new(Origins::local_ui(8233));
        let of = |origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            origins.of(&headers).is_ok()
        };
        assert!(of("http://localhost:8233") && of("http://127.0.0.1:8233"));
        for other in [
            "",
            "null",
            "*",
            "http://localhost",
            "http://localhost:82333",
            "http://localhost:8234",
            "https://localhost:8233",
            "http://localhost:8233/",
            "http://LOCALHOST:8233",
            "http://localhost:8233.example.com",
            "http://evil.example/http://localhost:8233",
            "http://localhost:8233, http://localhost:8233",
            " http://localhost:8233",
        ] {
            assert!(!of(other), "{other}");
        }
        let mut twice = HeaderMap::new();
        for origin in ["http://localhost:8233", "http://localhost:8233"] {
            twice.append(header::ORIGIN, HeaderValue::from_static(origin));
        }
        assert!(origins.of(&twice).is_err());
        assert!(origins.of(&HeaderMap::new()).unwrap().is_none());
    }
}
