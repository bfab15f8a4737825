//! Answers of services that are not KMS: too long, of another kind, or somewhere else.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
};

use crate::support::{ALIAS, Client, context, settings};

/// What both clients make of this answer.
fn errors(answer: &[u8]) -> Vec<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = answer.to_vec();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 16 * 1024];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(&answer);
        }
    });
    let clients = Client::both(&settings(&endpoint));
    let asked = clients.each_ref().map(|client| client.encrypt(ALIAS, b"x", &context(&[])));
    asked.into_iter().map(|result| result.unwrap_err().to_string()).collect()
}

/// An answer, after which the connection is closed.
pub fn http(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
        .into()
}

#[test]
fn an_answer_of_something_else_is_a_short_error() {
    let long = "x".repeat(20_000);
    for (answer, says) in [
        (http("200 OK", "<html>"), "can't be used: it is not JSON"),
        (http("200 OK", "{}"), "it has no CiphertextBlob"),
        (http("200 OK", r#"{"CiphertextBlob": "%"}"#), "a blob is not base64"),
        (http("200 OK", &long), "longer than any answer of KMS"),
        (http("403 Forbidden", "<html>"), "HTTP 403 (no reason given)"),
        (http("502 Bad Gateway", "<html>"), "HTTP 502 (no reason given); asked 3 times"),
        (http("429 Too Many", "{}"), "HTTP 429 (no reason given); asked 3 times"),
        // A redirect would send the signed request elsewhere.
        (http("307 Moved\r\nlocation: http://192.0.2.1/", ""), "HTTP 307 (no reason given)"),
        (
            http(
                "400 Bad",
                r#"{"__type": "com.amazonaws#X:http://y", "Message": "a\nb\u001b[31m"}"#,
            ),
            "X (a b [31m)",
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec(), "asked 3 times"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "got no answer from"),
        (Vec::new(), "asked 3 times"),
    ] {
        for error in errors(&answer) {
            assert!(error.contains(says), "wanted {says:?}: {error}");
            assert!(error.len() < 500, "{error}");
        }
    }
}
