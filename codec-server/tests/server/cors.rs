//! Which web pages may use the server.

use codec_server::{CodecServer, Metrics, Origin, Origins, auth::tokens::Tokens};

use crate::support::{Answer, JSON, Server, Setup, body, codec, plain, request, sealed, send};

const UI: &str = "http://localhost:8233";

/// With a token that no request here has.
fn closed() -> Server {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef0123456789abcdef").unwrap();
    let tokens = Tokens::read(file.path()).unwrap();
    Server::with(
        CodecServer::new(codec()).auth(codec_server::Auth::Tokens(tokens)),
        Setup::default(),
    )
}

fn preflight(server: &Server, path: &str, origin: &str, more: &[(&str, &str)]) -> Answer {
    let mut headers = vec![
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-namespace"),
    ];
    headers.extend(more);
    send(server.address, &request("OPTIONS", path, &headers, b"")).unwrap()
}

#[test]
fn a_page_of_the_web_ui_may_send_what_it_sends_and_is_asked_for_no_token_first() {
    let server = closed();
    for origin in [UI, "http://127.0.0.1:8233"] {
        for path in ["/decode", "/encode", "/default/decode", "/decode?preserveStorageRefs=true"] {
            let answer = preflight(&server, path, origin, &[]);
            assert_eq!(answer.status, 204, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.header("access-control-allow-methods"), Some("POST, OPTIONS"));
            assert_eq!(
                answer.header("access-control-allow-headers"),
                Some("Content-Type, X-Namespace, Authorization, Authorization-Extras")
            );
            assert_eq!(answer.header("access-control-max-age"), Some("600"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
            assert_eq!(answer.header("access-control-allow-private-network"), None);
            assert_eq!(answer.header("vary"), Some("Origin"));
        }
    }
    let private = ("access-control-request-private-network", "true");
    let answer = preflight(&server, "/decode", UI, &[private]);
    assert_eq!(answer.header("access-control-allow-private-network"), Some("true"));
    assert_eq!(preflight(&server, "/unknown", UI, &[]).status, 404);
}

#[test]
fn a_page_can_read_errors() {
    let server = closed();
    let sealed = body(&[sealed("Hello")]).to_string();
    for (path, status) in [("/decode", 401), ("/unknown", 404)] {
        let answer = server.post(path, &[JSON, ("origin", UI)], &sealed);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(UI));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

#[test]
fn pages_of_other_origins_get_nothing() {
    let server = Server::start();
    let sealed = body(&[sealed("Hello")]).to_string();
    for origin in [
        "http://localhost:8234",
        "https://localhost:8233",
        "http://localhost:8233.evil.example",
        "http://evil.example",
        "null",
        "*",
        "",
        "HTTP://LOCALHOST:8233",
    ] {
        for answer in [
            server.post("/decode", &[JSON, ("origin", origin)], &sealed),
            preflight(&server, "/decode", origin, &[]),
        ] {
            assert_eq!(answer.status, 403, "{origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
            assert_eq!(answer.header("vary"), Some("Origin"));
            assert!(!answer.text().contains("Hello"));
        }
    }
    let twice = [JSON, ("origin", UI), ("origin", UI)];
    assert_eq!(server.post("/decode", &twice, &sealed).status, 403);
    assert_eq!(server.metric("codec_server_errors_total{reason=\"origin\"}"), 17.0);
}

/// DNS rebinding: the browser believes that the server is the page's own, and asks nothing first.
#[test]
fn a_page_whose_name_leads_here_gets_nothing() {
    let server = Server::start();
    let sealed = body(&[sealed("Hello")]).to_string();
    let rebound = format!(
        "POST /decode HTTP/1.1\r\nhost: evil.example:8081\r\norigin: http://evil.example:8081\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{sealed}",
        sealed.len()
    );
    assert_eq!(send(server.address, rebound.as_bytes()).unwrap().status, 403);
}

#[test]
fn programs_that_are_no_browser_need_no_origin() {
    let server = Server::start();
    let answer = server.json("/decode", &body(&[sealed("Hello")]));
    assert_eq!(answer.payloads(), [plain("Hello")]);
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("vary"), Some("Origin"));
    let options = send(server.address, &request("OPTIONS", "/decode", &[], b"")).unwrap();
    assert_eq!((options.status, options.header("allow")), (204, Some("POST, OPTIONS")));
    assert_eq!(options.header("access-control-allow-methods"), None);
}

#[test]
fn credentials_are_allowed_only_where_asked_for_and_never_with_a_star() {
    let allowed: Origin = "https://temporal.example.com".parse().unwrap();
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let origins = Origins::new([allowed]).with_credentials(true);
    let router = CodecServer::new(codec()).origins(origins).metrics(metrics.clone()).router();
    let server = Server::serve(router, metrics, Setup::default());
    let sealed = body(&[sealed("Hello")]).to_string();
    let origin = ("origin", "https://temporal.example.com");
    for answer in [
        preflight(&server, "/decode", origin.1, &[]),
        server.post("/decode", &[JSON, origin], &sealed),
    ] {
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin.1));
    }
    // The defaults are not added to this list.
    assert_eq!(preflight(&server, "/decode", UI, &[]).status, 403);
}
