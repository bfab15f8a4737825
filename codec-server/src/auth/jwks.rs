//! The public keys of an identity provider: a JSON Web Key Set, from a file or from its address.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};
use url::{Host, Url};

/// How long an identity provider may take for its keys.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest set, in bytes.
const LARGEST: u64 = 1 << 20;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// The set can't be read or fetched.
    #[error("can't get the key set from {place}: {reason}")]
    Unavailable {
        /// The file or the address.
        place: String,
        /// Why.
        reason: String,
    },
    /// It is not a key set.
    #[error("what {0} holds is not a JSON Web Key Set, which has the form {{\"keys\": [...]}}")]
    NotASet(String),
    /// No key in it can verify a signature.
    #[error(
        "the key set from {0} has no key that can be used: RSA of 2048 bits or more, P-256, P-384 or \
         Ed25519, for signatures"
    )]
    NoKey(String),
}

/// Where the keys are.
#[derive(Clone)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// An address.
    Url {
        /// It: https, or http on this machine.
        url: Url,
        /// The HTTP client for it.
        agent: Agent,
    },
}

impl Place {
    /// A file, or an address if it looks like one. `ca` is a PEM file with the certificates to trust for the
    /// address, instead of the public ones.
    ///
    /// # Errors
    /// When the address is not https, or the certificates can't be read.
    pub fn new(text: &str, ca: Option<&Path>) -> Result<Self, JwksError> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let unavailable = |reason: &str| JwksError::Unavailable {
            place: text.to_owned(),
            reason: reason.to_owned(),
        };
        let url = Url::from_str(text).map_err(|_| unavailable("this is not an address"))?;
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if url.scheme() != "https" && !(is_local && url.scheme() == "http") {
            return Err(unavailable("keys are only fetched with https, or from this machine"));
        }
        let mut tls = TlsConfig::builder();
        if let Some(ca) = ca {
            let certificates = certificates(ca).map_err(|reason| JwksError::Unavailable {
                place: ca.display().to_string(),
                reason,
            })?;
            tls = tls.root_certs(RootCerts::from(certificates));
        }
        let mut config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            // Another host's keys are not those of the address that was given.
            .max_redirects(0)
            .tls_config(tls.build());
        if is_local {
            config = config.proxy(None);
        }
        Ok(Self::Url { url, agent: config.build().into() })
    }

    /// Reads or fetches the keys. Blocks.
    ///
    /// # Errors
    /// When they are not available, or there is no usable key.
    pub fn read(&self) -> Result<KeySet, JwksError> {
        let unavailable =
            |reason: String| JwksError::Unavailable { place: self.to_string(), reason };
        let text = match self {
            Self::File(path) => fs::read(path).map_err(|error| unavailable(error.to_string()))?,
            Self::Url { url, agent } => {
                fetch(agent, url).map_err(|error| unavailable(error.to_string()))?
            }
        };
        KeySet::parse(&text, &self.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url { url, .. } => url.fmt(f),
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn fetch(agent: &Agent, url: &Url) -> Result<Vec<u8>, ureq::Error> {
    let answer = agent.get(url.as_str()).header("accept", "application/json").call()?;
    if answer.status() != 200 {
        return Err(ureq::Error::StatusCode(answer.status().as_u16()));
    }
    answer.into_body().into_with_config().limit(LARGEST).read_to_vec()
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = fs::read(path).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| error.to_string())? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(found) }
}

/// Public keys, each with the algorithms that it may be used with. Cloning shares them.
#[derive(Clone, Debug)]
pub struct KeySet(Arc<[PublicKey]>);

#[derive(Debug)]
struct PublicKey {
    id: Option<String>,
    /// Never the token's choice: a key of RSA must not verify an HMAC.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a set. Keys that can't be used here are skipped: sets also hold keys for encryption, and of
    /// algorithms to come.
    fn parse(text: &[u8], place: &str) -> Result<Self, JwksError> {
        let set: Set =
            serde_json::from_slice(text).map_err(|_| JwksError::NotASet(place.to_owned()))?;
        let keys = set
            .keys
            .into_iter()
            .filter_map(|key| PublicKey::new(&serde_json::from_value(key).ok()?));
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() {
            return Err(JwksError::NoKey(place.to_owned()));
        }
        Ok(Self(keys.into()))
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The key of that id for that algorithm. A token without an id is accepted where only one key could have
    /// signed it.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let fits = |key: &&PublicKey| {
            key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id)
        };
        let mut found = self.0.iter().filter(fits);
        match (found.next(), found.next()) {
            (Some(key), None) => Some(&key.key),
            (Some(key), Some(_)) if id.is_some() => Some(&key.key),
            _ => None,
        }
    }
}

impl PublicKey {
    fn new(jwk: &Jwk) -> Option<Self> {
        if matches!(jwk.common.public_key_use, Some(ref usage) if *usage != PublicKeyUse::Signature)
        {
            return None;
        }
        let possible: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                &[Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
                &[Algorithm::ES384]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        let mut algorithms = possible.to_vec();
        if let Some(only) = jwk.common.key_algorithm {
            algorithms.retain(|algorithm| only.to_string().parse() == Ok(*algorithm));
        }
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| !algorithms.is_empty())?;
        Some(Self { id: jwk.common.key_id.clone(), algorithms, key })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn parse(set: &serde_json::Value) -> Result<KeySet, JwksError> {
        KeySet::parse(set.to_string().as_bytes(), "here")
    }

    #[test]
    fn keys_that_can_not_verify_are_skipped() {
        let set = parse(&json!({"keys": [
            {"kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "good", "use": "sig"},
            {"kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": "encryption", "use": "enc"},
            {"kty": "EC", "crv": "P-521", "x": X, "y": Y, "kid": "curve"},
            {"kty": "EC", "crv": "secp256k1", "x": X, "y": Y, "kid": "coin"},
            {"kty": "oct", "k": "c2VjcmV0", "kid": "shared", "alg": "HS256"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "hmac", "alg": "HS256"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "future", "alg": "ML-DSA-44"},
            {"kty": "?"},
            7,
        ]}))
        .unwrap();
        assert_eq!(set.count(), 1, "{set:?}");
        assert!(set.find(Some("good"), Algorithm::ES256).is_some());
        assert!(set.find(None, Algorithm::ES256).is_some());
        assert!(set.find(Some("good"), Algorithm::ES384).is_none());
        assert!(set.find(Some("good"), Algorithm::HS256).is_none());
        assert!(set.find(Some("other"), Algorithm::ES256).is_none());
    }

    #[test]
    fn without_an_id_there_must_be_one_candidate() {
        let key = |id: &str| json!({"kty": "EC", "crv": "P-256", "x": X, "y": Y, "kid": id});
        let set = parse(&json!({"keys": [key("a"), key("b")]})).unwrap();
        assert!(set.find(None, Algorithm::ES256).is_none());
        assert!(set.find(Some("b"), Algorithm::ES256).is_some());
    }

    #[test]
    fn what_is_not_a_set_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys": {}}"#] {
            assert!(matches!(KeySet::parse(text.as_bytes(), ""), Err(JwksError::NotASet(_))));
        }
        assert!(matches!(parse(&json!({"keys": []})), Err(JwksError::NoKey(_))));
    }

    #[test]
    fn an_address_is_https_or_of_this_machine() {
        let is_accepted = |text| Place::new(text, None).is_ok();
        assert!(is_accepted("https://example.com/jwks.json"));
        assert!(is_accepted("http://127.0.0.1:8080/jwks.json"));
        assert!(is_accepted("http://localhost/jwks.json"));
        assert!(!is_accepted("http://example.com/jwks.json"));
        assert!(!is_accepted("ftp://127.0.0.1/jwks.json"));
        assert!(!is_accepted("http://127.0.0.1.example.com/jwks.json"));
        assert!(!is_accepted("://"));
        assert!(matches!(Place::new("keys/jwks.json", None), Ok(Place::File(_))));
        let error = Place::File("/nowhere".into()).read().unwrap_err();
        assert!(error.to_string().starts_with("can't get the key set from /nowhere: "), "{error}");
    }
}
