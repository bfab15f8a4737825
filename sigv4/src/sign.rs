//! The client's side.

use jiff::Timestamp;
use ring::hmac;

use crate::{
    Credentials, Request, Scope,
    canonical::{ALGORITHM, basic_format, canonical_request, hex, signing_key, string_to_sign},
};

/// The header with the signature.
pub const AUTHORIZATION: &str = "authorization";
/// The header with the moment of the request.
pub const DATE: &str = "x-amz-date";
/// The header with the token of temporary credentials.
pub const TOKEN: &str = "x-amz-security-token";

/// The headers to add to a request: [`DATE`], [`TOKEN`] if there is one, [`AUTHORIZATION`]. All headers of
/// the request are signed, so `host` has to be among them, and a header that is added later is not protected.
pub fn sign(
    request: &Request<'_>,
    scope: &Scope<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let moment = basic_format(now);
    let (day, _) = moment.split_at("20150830".len());
    let mut headers = request.headers.to_vec();
    headers.push((DATE, &moment));
    headers.extend(credentials.token().map(|token| (TOKEN, token)));
    let mut signed: Vec<_> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    signed.sort_unstable();
    signed.dedup();

    let canonical = canonical_request(&Request { headers: &headers, ..*request }, &signed);
    let key = signing_key(credentials.secret(), day, scope);
    let scope = scope.on(day);
    let signature = hmac::sign(&key, string_to_sign(&moment, &scope, &canonical).as_bytes());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
        credentials.id(),
        signed.join(";"),
        hex(signature.as_ref()),
    );
    let token = credentials.token().map(|token| (TOKEN, token.to_owned()));
    let mut added = vec![(AUTHORIZATION, authorization)];
    added.extend(token);
    added.push((DATE, moment));
    added
}
