//! Bearer tokens from a file.

use std::fs;

use codec_server::{Auth, CodecServer, auth::tokens::Tokens};
use tempfile::NamedTempFile;

use crate::support::{JSON, Server, Setup, body, codec, get, plain, sealed};

const ALL: &str = "0123456789abcdef0123456789abcdef";
const SOME: &str = "fedcba9876543210fedcba9876543210";

fn server() -> (Server, Tokens, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{ALL}\n{SOME} orders:read billing:write\n")).unwrap();
    let tokens = Tokens::read(file.path()).unwrap();
    let auth = Auth::Tokens(tokens.clone());
    (Server::with(CodecServer::new(codec()).auth(auth), Setup::default()), tokens, file)
}

fn status(server: &Server, path: &str, authorization: &[&str], namespace: Option<&str>) -> u16 {
    let mut headers = vec![JSON];
    headers.extend(authorization.iter().map(|value| ("authorization", *value)));
    headers.extend(namespace.map(|namespace| ("x-namespace", namespace)));
    let answer = server.post(path, &headers, body(&[plain("Hello")]).to_string());
    let challenge = (answer.status == 401).then_some("Bearer");
    assert_eq!(answer.header("www-authenticate"), challenge);
    answer.status
}

#[test]
fn without_a_known_token_there_is_nothing() {
    let (server, ..) = server();
    let good = format!("Bearer {ALL}");
    assert_eq!(status(&server, "/decode", &[&good], None), 200);
    assert_eq!(status(&server, "/decode", &[&format!("bearer {ALL}")], None), 200);
    for wrong in [
        &[][..],
        &[ALL],
        &["Bearer"],
        &["Bearer "],
        &["Bearer x"],
        &[&format!("Bearer {}", &ALL[1..])],
        &[&format!("Bearer {ALL}0")],
        &[&format!("Bearer {}", ALL.to_uppercase())],
        &[&format!("Bearer {ALL} {ALL}")],
        &[&format!("Bearer {ALL},{SOME}")],
        &[&format!("Basic {ALL}")],
        &[&good, &good],
        &["Bearer \u{e9}"],
        &[&format!("Bearer {}", "x".repeat(30_000))],
    ] {
        assert_eq!(status(&server, "/decode", wrong, None), 401, "{wrong:?}");
        assert_eq!(status(&server, "/encode", wrong, Some("orders")), 401, "{wrong:?}");
    }
    // Neither shows a payload or a namespace.
    assert_eq!(get(server.address, "/healthz").text(), "ok\n");
    assert_eq!(get(server.address, "/metrics").status, 200);
}

#[test]
fn a_token_may_do_what_its_line_says() {
    let (server, ..) = server();
    let some = [&*format!("Bearer {SOME}")];
    for (path, namespace, expected) in [
        ("/decode", Some("orders"), 200),
        ("/orders/decode", None, 200),
        ("/encode", Some("orders"), 403),
        ("/decode", Some("billing"), 200),
        ("/encode", Some("billing"), 200),
        ("/decode", Some("other"), 403),
        ("/other/decode", None, 403),
        // The header counts, and what it names is what is checked.
        ("/orders/decode", Some("other"), 403),
        ("/other/decode", Some("orders"), 200),
        ("/decode", None, 400),
        ("/decode", Some("*"), 403),
        ("/decode", Some("Orders"), 403),
    ] {
        assert_eq!(status(&server, path, &some, namespace), expected, "{path} {namespace:?}");
    }
    assert_eq!(server.metric("codec_server_errors_total{reason=\"forbidden\"}"), 6.0);
}

#[test]
fn the_token_comes_before_the_body_is_looked_at() {
    let (server, ..) = server();
    assert_eq!(server.post("/decode", &[("content-type", "text/plain")], "x").status, 401);
    // Larger than allowed: the client still gets to see the answer.
    assert_eq!(server.post("/decode", &[JSON], vec![b'x'; 6 << 20]).status, 401);
    assert_eq!(server.post("/unknown", &[JSON], "x").status, 404);
}

#[test]
fn a_token_that_is_removed_is_refused_from_then_on() {
    let (server, tokens, file) = server();
    let all = [&*format!("Bearer {ALL}")];
    assert_eq!(status(&server, "/decode", &all, None), 200);
    fs::write(file.path(), SOME).unwrap();
    tokens.read_again(file.path()).unwrap();
    assert_eq!(status(&server, "/decode", &all, None), 401);
    assert_eq!(status(&server, "/decode", &[&format!("Bearer {SOME}")], None), 200);
    let sealed = body(&[sealed("Hello")]).to_string();
    let authorization = format!("Bearer {SOME}");
    let answer = server.post("/decode", &[JSON, ("authorization", &authorization)], &sealed);
    assert_eq!(answer.payloads(), [plain("Hello")]);
}
