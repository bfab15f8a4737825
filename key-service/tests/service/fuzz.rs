//! Requests of any bytes, over a socket. `FUZZ_SECONDS=600` runs this so long; otherwise a fraction of a
//! second. The bodies of requests are fuzzed without a socket, too, which is much faster: see `operations`.

use std::{
    env,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use key_service::Faults;
use serde_json::json;

use crate::support::{call, server};

#[test]
fn no_request_is_too_strange() {
    let server = server(Faults::default());
    let seconds = env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
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
    let mut inputs = 0_u64;
    arbtest::arbtest(|u| {
        let mut bytes = Vec::new();
        while u.arbitrary()? && bytes.len() < 8192 {
            match u.ratio(7, 8)? {
                true => bytes.extend_from_slice(u.choose(&pieces)?.as_bytes()),
                false => bytes.extend_from_slice(u.arbitrary()?),
            }
        }
        inputs += 1;
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
    })
    .budget(seconds.map_or(Duration::from_millis(300), Duration::from_secs))
    .run();
    println!("requests over a socket: {inputs} inputs");
    // It still answers, and has nothing left of them.
    call(&server, "ListKeys", json!({}));
    crate::support::wait_for("the end of all connections", || server.connections() <= 1);
}
