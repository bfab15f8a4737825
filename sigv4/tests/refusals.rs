//! What is refused, and why; and that no request makes `verify` panic.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sigv4::{Credentials, Refusal, Request, Scope, sign, verify};

const SCOPE: Scope<'_> = Scope { region: "eu-central-1", service: "kms" };
const TOLERANCE: Duration = Duration::from_secs(300);
const HEADERS: [(&str, &str); 2] = [("host", "127.0.0.1:1"), ("x-amz-target", "Service.Call")];

/// Names and values, which a test may change.
type Headers = Vec<(String, String)>;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn known() -> Credentials {
    Credentials::new("workshop", "a-secret").unwrap()
}

/// What the service says to a request of these credentials that arrives `late`, after `change` on its way.
fn refusal(
    credentials: &Credentials,
    scope: &Scope<'_>,
    late: SignedDuration,
    change: impl Fn(&mut Headers),
) -> Result<(), Refusal> {
    let request = Request { method: "POST", path: "/", query: "", headers: &HEADERS, body: b"{}" };
    let mut headers: Vec<_> = HEADERS.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    let added = sign(&request, scope, credentials, now());
    headers.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value)));
    change(&mut headers);
    let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let request = Request { headers: &headers, ..request };
    verify(&request, &SCOPE, &[known()], now() + late, TOLERANCE).map(|_| ())
}

#[test]
fn what_is_not_right_is_refused_with_its_reason() {
    let on_time = SignedDuration::ZERO;
    let as_is = |_: &mut Vec<_>| {};
    assert_eq!(refusal(&known(), &SCOPE, on_time, as_is), Ok(()));
    assert_eq!(refusal(&known(), &SCOPE, SignedDuration::from_secs(300), as_is), Ok(()));

    for late in [301, -301] {
        let found = refusal(&known(), &SCOPE, SignedDuration::from_secs(late), as_is);
        assert!(matches!(found, Err(Refusal::Skewed { .. })), "{found:?}");
    }
    let other = Credentials::new("workshop", "another").unwrap();
    assert_eq!(refusal(&other, &SCOPE, on_time, as_is), Err(Refusal::Mismatch));
    let other = Credentials::new("other", "a-secret").unwrap();
    assert_eq!(refusal(&other, &SCOPE, on_time, as_is), Err(Refusal::UnknownKey));
    let other = known().with_token("token").unwrap();
    assert_eq!(refusal(&other, &SCOPE, on_time, as_is), Err(Refusal::UnknownKey));
    let scope = Scope { region: "us-east-1", ..SCOPE };
    let found = refusal(&known(), &scope, on_time, as_is);
    assert!(matches!(found, Err(Refusal::WrongScope { .. })), "{found:?}");
}

#[test]
fn a_header_that_is_changed_missing_or_added_is_refused() {
    let refusal = |change: &dyn Fn(&mut Headers)| {
        refusal(&known(), &SCOPE, SignedDuration::ZERO, change).unwrap_err()
    };
    let without = |name: &'static str| {
        move |headers: &mut Headers| headers.retain(|(other, _)| other != name)
    };
    assert_eq!(refusal(&without("authorization")), Refusal::Missing);
    assert!(matches!(refusal(&without("x-amz-date")), Refusal::Incomplete(_)));
    assert_eq!(refusal(&without("x-amz-target")), Refusal::Mismatch);
    assert_eq!(refusal(&|headers| headers[1].1.push('X')), Refusal::Mismatch);
    let added = refusal(&|headers| headers.push(("x-amz-new".into(), "1".into())));
    assert!(matches!(added, Refusal::Incomplete(_)), "{added:?}");
    // Two of them: it is not clear which one counts.
    assert_eq!(refusal(&|headers| headers.push(headers[2].clone())), Refusal::Missing);
    for header in ["", "Basic dTpw", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=workshop"] {
        let found = refusal(&|headers| headers[2].1 = header.to_owned());
        assert!(matches!(found, Refusal::Incomplete(_)), "{header}: {found:?}");
    }
}

#[test]
fn credentials_are_words_and_do_not_show_their_secret() {
    for (id, secret) in [("", "s"), ("i", ""), ("i i", "s"), ("i", "s\n"), ("i/j", "s"), ("é", "s")]
    {
        assert!(Credentials::new(id, secret).is_none(), "{id:?} {secret:?}");
    }
    assert!(known().with_token("").is_none());
    let shown = format!("{:?}", known().with_token("a-token").unwrap());
    assert!(shown.contains("workshop"), "{shown}");
    assert!(!shown.contains("a-secret") && !shown.contains("a-token"), "{shown}");
}

#[test]
fn no_request_is_too_strange() {
    arbtest::arbtest(|u| {
        let headers: Vec<(String, String)> = u.arbitrary()?;
        let mut headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let authorization: String = u.arbitrary()?;
        let parts =
            ["AWS4-HMAC-SHA256 ", "Credential=workshop/20260102/eu-central-1/kms/aws4_request,"];
        let authorization = match u.arbitrary()? {
            true => format!("{}{}SignedHeaders=host,Signature={authorization}", parts[0], parts[1]),
            false => authorization,
        };
        headers.push(("authorization", &authorization));
        let date: String = u.arbitrary()?;
        headers.push(("x-amz-date", &date));
        let (method, path, query): (&str, &str, &str) = u.arbitrary()?;
        let request = Request { method, path, query, headers: &headers, body: u.arbitrary()? };
        assert!(verify(&request, &SCOPE, &[known()], now(), TOLERANCE).is_err());
        Ok(())
    });
}
