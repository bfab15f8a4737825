//! A server on a free port, and a client that sends what it is given, byte for byte.

// Each test program uses its own part of this.
#![allow(dead_code)]

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{AnyCodec, KeyService, Keyring, Payload, seal};
use codec_server::{CodecServer, Connections, Metrics, Origins, Tls, serve};
use serde_json::{Value, json};
use solutions::Step;
use tokio::{net::TcpListener, runtime, sync::oneshot};

/// Long enough for a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server in this process.
pub struct Server {
    pub address: SocketAddr,
    pub metrics: Metrics,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What is not the router's.
#[derive(Default)]
pub struct Setup {
    pub tls: Option<Tls>,
    pub connections: Connections,
}

pub fn codec() -> AnyCodec {
    Step::BeyondAsync.codec(KeyService::new(Keyring::test_key()))
}

impl Server {
    /// With the test key and the default limits.
    pub fn start() -> Self {
        Self::with(CodecServer::new(codec()), Setup::default())
    }

    pub fn with(server: CodecServer, setup: Setup) -> Self {
        let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
        let router =
            server.metrics(metrics.clone()).origins(Origins::new(Origins::local_ui(8233))).router();
        Self::serve(router, metrics, setup)
    }

    pub fn serve(router: axum::Router, metrics: Metrics, setup: Setup) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let counted = metrics.clone();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let stop = async { stopped.await.unwrap_or_default() };
                let Setup { tls, connections } = setup;
                serve(listener, router, tls, connections, counted, stop).await;
            });
        });
        Self { address, metrics, stop: Some(stop), thread: Some(thread) }
    }

    /// Asks it to stop, and returns at once.
    pub fn ask_to_stop(&mut self) {
        self.stop.take();
    }

    /// Whether it has stopped.
    pub fn has_stopped(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        post(self.address, path, headers, body)
    }

    /// With nothing but the content type.
    pub fn json(&self, path: &str, body: &Value) -> Answer {
        self.post(path, &[JSON], body.to_string())
    }

    pub fn metric(&self, line: &str) -> f64 {
        let page = get(self.address, "/metrics").text();
        let found = page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("{line} is not in {page}")).parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ask_to_stop();
        let result = self.thread.take().unwrap().join();
        if !thread::panicking() {
            result.unwrap();
        }
    }
}

pub const JSON: (&str, &str) = ("content-type", "application/json");

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} occurs twice in {self:?}");
        value
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The payloads of a successful answer.
    pub fn payloads(&self) -> Vec<Payload> {
        assert_eq!(self.status, 200, "{self:?}");
        codec_server::json::read(&self.body).unwrap()
    }
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The bytes of a request.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: test\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if method != "GET" && method != "OPTIONS" {
        bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// One answer from a stream. `UnexpectedEof` if the stream ends before it.
pub fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut part = [0; 16 * 1024];
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => bytes.extend_from_slice(&part[..length]),
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let mut lines = text.lines();
    let first = lines.next().unwrap();
    let status: u16 = first.split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = bytes.split_off(head);
    while body.len() < length {
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => body.extend_from_slice(&part[..read]),
        }
    }
    // What comes after it answers another request.
    body.truncate(length);
    Ok(Answer { status, headers, body })
}

pub fn send(address: SocketAddr, bytes: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(address);
    // The server may answer and close before it has read everything.
    let written = stream.write_all(bytes);
    read_answer(&mut stream).or_else(|error| written.and(Err(error)))
}

pub fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Answer {
    send(address, &request("POST", path, headers, body.as_ref())).unwrap()
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, &request("GET", path, &[], b"")).unwrap()
}

pub fn plain(text: &str) -> Payload {
    Payload {
        metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
        data: serde_json::to_vec(text).unwrap(),
        ..Payload::default()
    }
}

pub fn sealed(text: &str) -> Payload {
    seal(Keyring::test_key().active(), &plain(text)).unwrap()
}

pub fn body(payloads: &[Payload]) -> Value {
    serde_json::from_slice(&codec_server::json::write(payloads)).unwrap()
}

/// A payload of another encoding, as JSON.
pub fn foreign(encoding: &str, data: &[u8]) -> Value {
    json!({"metadata": {"encoding": STANDARD.encode(encoding)}, "data": STANDARD.encode(data)})
}

/// Waits until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it never came to this: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
