//! The service's side.

use std::time::Duration;

use jiff::Timestamp;
use ring::hmac;

use crate::{
    Credentials, Request, Scope,
    canonical::{
        ALGORITHM, canonical_request, from_basic_format, from_hex, signing_key, string_to_sign,
    },
    sign::{AUTHORIZATION, DATE, TOKEN},
};

/// Why a request is refused. The messages quote nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no signature.
    #[error("the request has no Authorization header: sign it with Signature Version 4")]
    Missing,
    /// The signature can't be read.
    #[error("the Authorization header can't be used: {0}")]
    Incomplete(&'static str),
    /// The access key is not known, or has no such token.
    #[error("the access key or its session token is not known here")]
    UnknownKey,
    /// It is for another day, region or service.
    #[error("the credential must be scoped to {wanted}, not to {found}")]
    WrongScope {
        /// The scope that is valid here.
        wanted: String,
        /// The one of the request.
        found: String,
    },
    /// The clocks differ, or the request is a copy of an old one.
    #[error(
        "the signature is of {signed}, and the service's clock says {now}: check the clock of the machine \
         that signs"
    )]
    Skewed {
        /// When it was signed.
        signed: Timestamp,
        /// When it arrived.
        now: Timestamp,
    },
    /// Another secret, or another request.
    #[error("the signature does not match the request: check the secret access key")]
    Mismatch,
}

/// What an Authorization header says.
struct Claim<'a> {
    key: &'a str,
    scope: &'a str,
    signed: Vec<String>,
    signature: [u8; 32],
}

impl<'a> Claim<'a> {
    fn parse(header: &'a str) -> Result<Self, Refusal> {
        let Some(rest) = header.strip_prefix(ALGORITHM) else {
            return Err(Refusal::Incomplete("it does not start with AWS4-HMAC-SHA256"));
        };
        let part = |name: &str| {
            let mut parts = rest.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let credential = part("Credential").ok_or(Refusal::Incomplete("it has no Credential"))?;
        let (key, scope) =
            credential.split_once('/').ok_or(Refusal::Incomplete("its Credential has no scope"))?;
        let signed = part("SignedHeaders").ok_or(Refusal::Incomplete("it has no SignedHeaders"))?;
        let signature = part("Signature").ok_or(Refusal::Incomplete("it has no Signature"))?;
        let signature =
            from_hex(signature).ok_or(Refusal::Incomplete("its Signature is not 64 hex digits"))?;
        let signed = signed.split(';').map(str::to_owned).collect();
        Ok(Self { key, scope, signed, signature })
    }
}

/// Whether a request was signed with one of the credentials, for this scope, within `tolerance` of now.
/// Answers with those.
///
/// `host` and every `x-amz-` header must be signed: a header that is not could be changed on the way.
///
/// # Errors
/// See [`Refusal`].
pub fn verify<'c>(
    request: &Request<'_>,
    scope: &Scope<'_>,
    credentials: &'c [Credentials],
    now: Timestamp,
    tolerance: Duration,
) -> Result<&'c Credentials, Refusal> {
    let only = |name: &str| {
        let mut values =
            request.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(*value),
            _ => None,
        }
    };
    let claim = Claim::parse(only(AUTHORIZATION).ok_or(Refusal::Missing)?)?;
    let is_signed = |name: &str| claim.signed.iter().any(|signed| signed == name);
    let is_sorted = claim.signed.is_sorted_by(|one, next| one < next);
    let must_be_signed = |name: &str| name == "host" || name.starts_with("x-amz-");
    let names = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    if !is_sorted
        || !is_signed("host")
        || names.into_iter().any(|n| must_be_signed(&n) && !is_signed(&n))
    {
        return Err(Refusal::Incomplete(
            "its SignedHeaders must be sorted, and name host and every x-amz- header",
        ));
    }
    let moment = only(DATE).ok_or(Refusal::Incomplete("the request has no X-Amz-Date header"))?;
    let signed = from_basic_format(moment)
        .ok_or(Refusal::Incomplete("X-Amz-Date is not of the form 20150830T123600Z"))?;
    // The form was checked, so it has at least eight letters of one byte each.
    let (day, _) = moment.split_at("20150830".len());
    let wanted = scope.on(day);
    if claim.scope != wanted {
        return Err(Refusal::WrongScope { wanted, found: claim.scope.to_owned() });
    }
    if signed.duration_since(now).unsigned_abs() > tolerance {
        return Err(Refusal::Skewed { signed, now });
    }
    let known = credentials.iter().find(|known| known.id() == claim.key);
    let known = known.filter(|known| known.token() == only(TOKEN)).ok_or(Refusal::UnknownKey)?;

    let canonical = canonical_request(request, &claim.signed);
    let key = signing_key(known.secret(), day, scope);
    let text = string_to_sign(moment, &wanted, &canonical);
    // ring compares in constant time.
    hmac::verify(&key, text.as_bytes(), &claim.signature).map_err(|_| Refusal::Mismatch)?;
    Ok(known)
}
