//! Who may decode and encode: everyone who can connect, holders of tokens from a file, or holders of JWTs.

pub mod jwks;
pub mod jwt;
pub mod rights;
pub mod tokens;
mod verifier;

use axum::http::{HeaderMap, header};
use zeroize::Zeroizing;

use crate::{
    protocol::Operation,
    refusal::{Kind, Refusal},
};
use jwt::Jwts;
use rights::{Access, Identity, Verdict};
use tokens::Tokens;

/// How requests are authenticated.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Not at all: for loopback only.
    #[default]
    Open,
    /// Tokens from a file.
    Tokens(Tokens),
    /// JWTs, signed by an identity provider.
    Jwts(Jwts),
}

impl Auth {
    /// Checks that a request may do this in this namespace, and returns the name of its sender for the log, if
    /// senders are known.
    ///
    /// # Errors
    /// When there is no valid token (401), its rights do not suffice (403), or they are those of a namespace and
    /// the request names none (400).
    pub async fn authorize(
        &self,
        headers: &HeaderMap,
        operation: Operation,
        namespace: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let Identity { name, rights } = match self {
            Self::Open => return Ok(None),
            Self::Tokens(tokens) => tokens.identify(&bearer(headers)?)?,
            Self::Jwts(jwts) => jwts.identify(&bearer(headers)?).await?,
        };
        let refuse = |kind, what| Err(Refusal::new(kind, format!("{name} {what}")));
        match rights.allow(Access::needed_to(operation), namespace) {
            Verdict::Yes => Ok(Some(name)),
            Verdict::NamespaceNeeded => {
                refuse(Kind::Namespace, "did not name a namespace".to_owned())
            }
            Verdict::No => refuse(
                Kind::Forbidden,
                format!("may not {operation} in {:?}", namespace.unwrap_or("")),
            ),
        }
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Result<Zeroizing<String>, Refusal> {
    let refuse = |reason| Err(Refusal::new(Kind::Unauthenticated, reason));
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        (None, _) => return refuse("there is no token"),
        (Some(_), Some(_)) => return refuse("the header Authorization occurs twice"),
    };
    let Ok(value) = value.to_str() else { return refuse("the token is not ASCII") };
    match value.trim().split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => {
            Ok(Zeroizing::new(token.trim().to_owned()))
        }
        _ => refuse("the header Authorization is not of the form \"Bearer TOKEN\""),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_bearer_token_is_read() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(
                    header::AUTHORIZATION,
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                );
            }
            bearer(&headers).ok().map(|token| token.to_string())
        };
        assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(read(&["bearer  abc "]).as_deref(), Some("abc"));
        for refused in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["abc"],
            &["Basic abc"],
            &["Bearerabc"],
            &["Bearer abc", "Bearer abc"],
            &["Bearer \u{e9}"],
        ] {
            assert_eq!(read(refused), None, "{refused:?}");
        }
    }
}
