//! JWTs of an identity provider: signature, issuer, audience, time, and what their holder may do.
//!
//! Rights come from a claim in the form of Temporal's default claim mapper, `"permissions": ["orders:read"]`,
//! and from a file of grants for providers that put no such claim into their tokens:
//!
//! ```text
//! alice@example.com orders:read billing:write
//! bob@example.com *:read
//! ```

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, DecodingKey, TokenData, Validation, decode, decode_header,
    errors::{Error, ErrorKind},
};
use serde_json::{Map, Value};
use tokio::{sync::Mutex, task::spawn_blocking};

use super::{
    jwks::{JwksError, KeySet, Place},
    rights::{Identity, NotARight, Right, Rights},
    verifier,
};
use crate::refusal::{Kind, Refusal};

/// How much the clocks of this machine and the identity provider may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// A token with a key id that is not known makes us look for new keys, but not more often than this: anyone
/// can make up such a token.
const PAUSE: Duration = Duration::from_secs(10);
/// How often keys are read again in any case, so that those that were withdrawn stop being accepted.
pub const REFRESH: Duration = Duration::from_secs(300);

/// Which tokens are accepted.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The exact issuer, claim `iss`.
    pub issuer: String,
    /// This server's name to the identity provider; claim `aud` holds it.
    pub audience: String,
    /// The claim that lists permissions: `permissions` in Temporal's default claim mapper.
    pub permissions_claim: String,
    /// The claim that identifies the holder in grants and in the log, such as `sub` or `email`.
    pub identity_claim: String,
}

/// Why grants can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GrantsError {
    /// The file can't be read.
    #[error("can't read the file of grants {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A line names no right.
    #[error(
        "line {0} of the grants names no right: write NAMESPACE:read or NAMESPACE:write after the name"
    )]
    NoRight(usize),
    /// A line has something that is not a right.
    #[error("line {line} of the grants: {source}")]
    Right {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        source: NotARight,
    },
}

/// Who may do what, by a claim of their tokens.
type Grants = BTreeMap<String, Rights>;

/// Verifies JWTs. Cloning shares the keys.
#[derive(Clone, Debug)]
pub struct Jwts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    expected: Expected,
    place: Place,
    keys: RwLock<KeySet>,
    grants: RwLock<Grants>,
    /// When keys were last looked for because of a token. Locked while they are: one fetch serves all who wait.
    looked: Mutex<Option<Instant>>,
}

impl Jwts {
    /// Reads the keys. Blocks.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(expected: Expected, place: Place) -> Result<Self, JwksError> {
        verifier::install();
        let keys = RwLock::new(place.read()?);
        let grants = RwLock::new(Grants::new());
        let looked = Mutex::new(None);
        Ok(Self(Arc::new(Inner { expected, place, keys, grants, looked })))
    }

    /// Reads a file of grants, the first time or again. Returns how many names it holds.
    ///
    /// # Errors
    /// See [`GrantsError`]. Then grants stay as they are.
    pub fn read_grants(&self, path: &Path) -> Result<usize, GrantsError> {
        let text = fs::read_to_string(path)
            .map_err(|source| GrantsError::File { path: path.to_owned(), source })?;
        let grants = parse_grants(&text)?;
        let count = grants.len();
        *self.0.grants.write().unwrap_or_else(PoisonError::into_inner) = grants;
        Ok(count)
    }

    /// Reads the keys again. Blocks. Returns how many there are.
    ///
    /// # Errors
    /// When there are none. Then they stay as they are.
    pub fn read_keys(&self) -> Result<usize, JwksError> {
        let keys = self.0.place.read()?;
        let count = keys.count();
        *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(count)
    }

    /// Whether the keys are a file's, which is cheap to read again.
    pub fn are_local(&self) -> bool {
        matches!(self.0.place, Place::File(_))
    }

    fn keys(&self) -> KeySet {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who the holder of a token is.
    pub(super) async fn identify(&self, token: &str) -> Result<Identity, Refusal> {
        let header = decode_header(token).map_err(|error| refuse(&error))?;
        let find = |keys: &KeySet| keys.find(header.kid.as_deref(), header.alg).cloned();
        let key = match find(&self.keys()) {
            Some(key) => Some(key),
            None => {
                self.look_for_new_keys().await;
                find(&self.keys())
            }
        };
        let key = key.ok_or_else(|| {
            let (id, algorithm) = (header.kid.as_deref().unwrap_or("none"), header.alg);
            let reason = format!("no key of id {id:?} verifies {algorithm:?} in the key set");
            Refusal::new(Kind::Unauthenticated, reason)
        })?;
        let claims = self.claims(token, &key, header.alg).map_err(|error| refuse(&error))?;
        Ok(self.identity(&claims))
    }

    fn claims(
        &self,
        token: &str,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<Map<String, Value>, Error> {
        let expected = &self.0.expected;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&expected.issuer]);
        validation.set_audience(&[&expected.audience]);
        let TokenData { claims, .. } = decode(token, key, &validation)?;
        Ok(claims)
    }

    fn identity(&self, claims: &Map<String, Value>) -> Identity {
        let Expected { permissions_claim, identity_claim, .. } = &self.0.expected;
        let permissions = claims.get(permissions_claim);
        // As in Temporal's server, which takes a list only.
        let is_no_list = permissions.is_some_and(|permissions| !permissions.is_array());
        let permissions = permissions.and_then(Value::as_array).into_iter().flatten();
        let permissions = permissions.filter_map(Value::as_str);
        let mut rights: Rights = permissions.filter_map(Right::of_permission).collect();
        let name = claims.get(identity_claim).and_then(Value::as_str);
        let grants = self.0.grants.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(granted) = name.and_then(|name| grants.get(name)) {
            rights.add(granted);
        }
        let name = name.map_or_else(
            || format!("a token without {identity_claim}"),
            |name| format!("{name:?}"),
        );
        let name = match is_no_list {
            true => format!("{name}, whose {permissions_claim} are not a list,"),
            false => name,
        };
        Identity { name, rights }
    }

    /// At most one looks, and the others wait for what it finds.
    async fn look_for_new_keys(&self) {
        let mut looked = self.0.looked.lock().await;
        if looked.is_some_and(|looked| looked.elapsed() < PAUSE) {
            return;
        }
        let jwts = self.clone();
        let found = spawn_blocking(move || jwts.read_keys()).await;
        *looked = Some(Instant::now());
        match found {
            Ok(Ok(keys)) => {
                tracing::info!(keys, place = %self.0.place, "the key set was read again")
            }
            Ok(Err(error)) => tracing::warn!(%error, "the key set stays as it was"),
            Err(error) => tracing::error!(%error, "the key set could not be read"),
        }
    }
}

/// jsonwebtoken's own texts may quote the token.
fn refuse(error: &Error) -> Refusal {
    let reason = match error.kind() {
        ErrorKind::ExpiredSignature => "the JWT has expired".to_owned(),
        ErrorKind::ImmatureSignature => "the JWT is not valid yet".to_owned(),
        ErrorKind::InvalidIssuer => "the JWT is from another issuer".to_owned(),
        ErrorKind::InvalidAudience => "the JWT is for another audience".to_owned(),
        ErrorKind::InvalidSignature => "the JWT's signature is not valid".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("the JWT has no {claim}"),
        ErrorKind::InvalidClaimFormat(claim) => format!("the JWT's {claim} has a wrong form"),
        ErrorKind::InvalidAlgorithm => "the JWT's algorithm is not that of its key".to_owned(),
        _ => "the token is not a JWT with an algorithm that is accepted here".to_owned(),
    };
    Refusal::new(Kind::Unauthenticated, reason)
}

fn parse_grants(text: &str) -> Result<Grants, GrantsError> {
    let mut grants = Grants::new();
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let mut words = text.split_whitespace().take_while(|word| !word.starts_with('#'));
        let Some(name) = words.next() else { continue };
        let rights = words.map(str::parse::<Right>).collect::<Result<Vec<_>, _>>();
        let rights = rights.map_err(|source| GrantsError::Right { line, source })?;
        if rights.is_empty() {
            return Err(GrantsError::NoRight(line));
        }
        grants.entry(name.to_owned()).or_default().extend(rights);
    }
    Ok(grants)
}

#[cfg(test)]
mod tests {
    use super::{
        super::rights::{Access, Verdict},
        *,
    };

    #[test]
    fn grants_are_read_by_line() {
        let text = "\u{feff}# people\nalice@example.com orders:read # comment\n\nbob *:write\n\
            alice@example.com billing:write\n";
        let grants = parse_grants(text).unwrap();
        let alice = &grants["alice@example.com"];
        assert_eq!(alice.allow(Access::Read, Some("orders")), Verdict::Yes);
        assert_eq!(alice.allow(Access::Write, Some("billing")), Verdict::Yes);
        assert_eq!(grants["bob"], Rights::all());
        for (text, expected) in [
            ("alice", "line 1 of the grants names no right"),
            ("\nalice orders", "line 2 of the grants: \"orders\" is not"),
        ] {
            let error = parse_grants(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
