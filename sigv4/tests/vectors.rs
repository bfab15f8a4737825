//! AWS's published test vectors: both sides agree with them.
//!
//! A few stand here, as facts: what is asked for, and the signature. With `SIGV4_SUITE=PATH`, where the path
//! is
//! `tests/aws-signing-test-suite/v4` of a clone of `awslabs/aws-c-auth` (Apache-2.0), every vector runs whose
//! path and query are in their canonical form already.

#![allow(clippy::unwrap_used)]

use std::{env, fs, path::Path, time::Duration};

use jiff::Timestamp;
use sigv4::{Credentials, Request, Scope, sign, verify};

const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "service" };
const MOMENT: &str = "2015-08-30T12:36:00Z";
const HOST: (&str, &str) = ("Host", "example.amazonaws.com");
const NO_TIME: Duration = Duration::ZERO;

fn credentials(token: Option<&str>) -> Credentials {
    let plain =
        Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").unwrap();
    match token {
        Some(token) => plain.with_token(token).unwrap(),
        None => plain,
    }
}

/// Signs, compares, and lets the other side check what was signed.
fn check(
    name: &str,
    request: &Request<'_>,
    credentials: &Credentials,
    now: Timestamp,
    wanted: &str,
) {
    let added = sign(request, &SCOPE, credentials, now);
    let (_, signature) = added[0].1.rsplit_once("Signature=").unwrap();
    assert_eq!(signature, wanted, "{name}: {}", added[0].1);
    let mut headers = request.headers.to_vec();
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
    let signed = Request { headers: &headers, ..*request };
    let known = [credentials.clone()];
    assert!(verify(&signed, &SCOPE, &known, now, NO_TIME).is_ok(), "{name}");
    let other = Request { body: b"another", ..signed };
    assert!(verify(&other, &SCOPE, &known, now, NO_TIME).is_err(), "{name}");
}

/// A name, a method, headers, a body, a session token, and the signature.
type Vector<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8], Option<&'a str>, &'a str);

#[test]
fn the_published_signatures_come_out() {
    let now = MOMENT.parse().unwrap();
    let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let digest = (
        "X-Amz-Content-Sha256",
        "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
    );
    let trimmed = [HOST, ("My-Header1", " value1"), ("My-Header2", " \"a   b   c\"")];
    let vectors: [Vector<'_>; 5] = [
        (
            "get-vanilla",
            "GET",
            &[HOST],
            b"",
            None,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "get-vanilla-with-session-token",
            "GET",
            &[HOST],
            b"",
            Some(token),
            "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
        ),
        (
            "get-header-value-trim",
            "GET",
            &trimmed,
            b"",
            None,
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
        ),
        (
            "post-vanilla",
            "POST",
            &[HOST],
            b"",
            None,
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "post-x-www-form-urlencoded",
            "POST",
            &[form, HOST, ("Content-Length", "13"), digest],
            b"Param1=value1",
            None,
            "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
        ),
    ];
    for (name, method, headers, body, token, wanted) in vectors {
        let request = Request { method, path: "/", query: "", headers, body };
        check(name, &request, &credentials(token), now, wanted);
    }
}

#[test]
#[ignore = "needs SIGV4_SUITE, the folder of AWS's vectors"]
fn the_whole_suite_comes_out() {
    let suite = env::var_os("SIGV4_SUITE").expect("SIGV4_SUITE is the folder of the vectors");
    let (mut run, mut left_out) = (0, Vec::new());
    for entry in fs::read_dir(suite).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        match one_of_the_suite(&name, &folder) {
            true => run += 1,
            false => left_out.push(name),
        }
    }
    left_out.sort();
    println!("{run} vectors; left out: {left_out:?}");
    assert!(run >= 15, "only {run} ran");
}

fn one_of_the_suite(name: &str, folder: &Path) -> bool {
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap().replace("\r\n", "\n");
    let context: serde_json::Value = serde_json::from_str(&read("context.json")).unwrap();
    let text = read("request.txt");
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    // A line that starts with a blank continues the header before it.
    let head = head.replace("\n ", " ");
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().splitn(2, ' ');
    let method = words.next().unwrap();
    let (target, _) = words.next().unwrap().rsplit_once(' ').unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let canonical = read("header-canonical-request.txt");
    let mut canonical_lines = canonical.lines().skip(1);
    if (canonical_lines.next(), canonical_lines.next()) != (Some(path), Some(query)) {
        return false;
    }
    let mut headers: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let digest = canonical.lines().last().unwrap();
    if context["sign_body"] == true {
        headers.push(("x-amz-content-sha256", digest));
    }
    // Otherwise the token is to be added after signing, which KMS does not ask for.
    let token = context["credentials"]["token"].as_str();
    let token = token.filter(|_| context["omit_session_token"] != true);
    let now = context["timestamp"].as_str().unwrap().parse().unwrap();
    let request = Request { method, path, query, headers: &headers, body: body.as_bytes() };
    check(name, &request, &credentials(token), now, read("header-signature.txt").trim());
    true
}
