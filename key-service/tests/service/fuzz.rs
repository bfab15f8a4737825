//! Requests of any bytes, over a socket. [`inputs`] says how to run more of them. Connections and the bodies of
//! requests are fuzzed without a socket, too, which is much faster: see `server` and `operations`.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use key_service::Faults;
use serde_json::json;

use crate::{
    inputs::{self, changed, nearly},
    support::{call, server},
};

#[test]
fn no_request_is_too_strange() {
    let server = server(Faults::default());
    let pieces = [
        "POST / HTTP/1.1\r\n",
        "GET /x?y HTTP/1.1\r\n",
        "host: a\r\n",
        "x-amz-target: TrentService.Decrypt\r\n",
        "x-amz-target: \u{fc}\r\n",
        "content-length: 2\r\n",
        "content-length: 99999999999\r\n",
        "transfer-encoding: chunked\r\n",
        "x-amz-date: 20260101T000000Z\r\n",
        "expect: 100-continue\r\n",
        "authorization: AWS4-HMAC-SHA256 Credential=workshop/20260101/us-east-1/kms/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=00\r\n",
        "\r\n",
        "{}",
        "5\r\n",
        "0\r\n\r\n",
    ];
    inputs::each("requests over a socket", |u| {
        let mut bytes = nearly(u, &pieces)?;
        if u.arbitrary()? {
            bytes = changed(u, bytes)?;
        }
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // The service may have closed the connection by then.
        let sent = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        if let Err(error) = sent.and_then(|()| stream.read_to_end(&mut answer).map(|_| ())) {
            let waited = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
            assert!(
                !waited.contains(&error.kind()),
                "no end: {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
        assert!(!answer.windows(12).any(|part| part == b"HTTP/1.1 200"), "answered: {bytes:?}");
        Ok(())
    });
    // It still answers, and has nothing left of them.
    call(&server, "ListKeys", json!({}));
    crate::support::wait_for("the end of all connections", || server.connections() <= 1);
}
