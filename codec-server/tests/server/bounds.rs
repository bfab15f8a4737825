//! Time, connections, and the end.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use codec_kit::{
    COMPRESSED, CodecFuture, ENCODING, Keyring, Payload, PayloadCodec, SerializationContextData,
    codec_future, seal,
};
use codec_server::{CodecServer, Connections, Kind, Limits};
use flate2::{Compression, write::ZlibEncoder};
use prost::Message;
use tokio::sync::Notify;

use crate::support::{
    JSON, PATIENCE, Server, Setup, body, codec, connect, get, plain, read_answer, request, sealed,
    wait_until,
};

const SHORT: Duration = Duration::from_millis(200);
/// Short, and long enough for a request that is not slow on a machine that is busy.
const MODERATE: Duration = Duration::from_secs(3);

fn connections(most: usize) -> Setup {
    let connections = Connections { most, head_time: MODERATE, ..Connections::default() };
    Setup { connections, ..Setup::default() }
}

/// Whether the server has closed it; waits for that.
fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]), Ok(0))
        || stream.take_error().is_ok_and(|error| error.is_some())
}

/// A codec that waits for a signal before it answers.
#[derive(Clone, Default)]
struct Held {
    started: Arc<AtomicUsize>,
    go: Arc<Notify>,
}

impl PayloadCodec for Held {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let Self { started, go } = self.clone();
        codec_future(async move {
            started.fetch_add(1, SeqCst);
            go.notified().await;
            Ok(payloads)
        })
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.encode(context, payloads)
    }
}

#[test]
fn a_head_that_does_not_arrive_ends_the_connection() {
    let server = Server::with(CodecServer::new(codec()), connections(100));
    for start in ["", "POST /decode HTTP/1.1\r\n", "POST /decode HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = connect(server.address);
        stream.write_all(start.as_bytes()).unwrap();
        let started = Instant::now();
        assert!(is_closed(&mut stream), "{start:?}");
        assert!(started.elapsed() < PATIENCE);
    }
    // One byte from time to time does not help.
    let mut stream = connect(server.address);
    let started = Instant::now();
    while stream.write_all(b"x").is_ok() {
        assert!(started.elapsed() < PATIENCE, "a slow head holds a connection");
        thread::sleep(SHORT / 10);
    }
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn a_body_that_does_not_arrive_is_408() {
    let limits = Limits { body_time: SHORT, ..Limits::default() };
    let server = Server::with(CodecServer::new(codec()).limits(limits), Setup::default());
    let whole =
        request("POST", "/decode", &[JSON], body(&[sealed("Hello")]).to_string().as_bytes());
    let mut stream = connect(server.address);
    stream.write_all(&whole[..whole.len() - 1]).unwrap();
    let answer = read_answer(&mut stream).unwrap();
    assert_eq!((answer.status, answer.text()), (408, format!("{}\n", Kind::SlowBody.text())));
    assert!(is_closed(&mut stream), "what comes next on it would not be a request");
    // A client that leaves in the middle is nothing to log as an error of ours.
    let mut stream = connect(server.address);
    stream.write_all(&whole[..whole.len() - 1]).unwrap();
    drop(stream);
    wait_until("it was noticed", || {
        server.metric("codec_server_errors_total{reason=\"broken_body\"}") > 0.0
            || server.metric("codec_server_connections") == 1.0
    });
}

#[test]
fn a_codec_that_does_not_answer_is_400_and_its_call_is_dropped() {
    let limits = Limits { codec_time: SHORT, ..Limits::default() };
    let held = Held::default();
    let server = Server::with(CodecServer::new(held.clone()).limits(limits), Setup::default());
    let answer = server.json("/encode", &body(&[plain("Hello")]));
    assert_eq!((answer.status, answer.text()), (400, format!("{}\n", Kind::SlowCodec.text())));
    wait_until("the call is dropped", || Arc::strong_count(&held.started) <= 3);
}

#[test]
fn more_requests_than_turns_wait_and_then_are_429() {
    let limits = Limits { requests: 1, turn_time: SHORT, ..Limits::default() };
    let held = Held::default();
    let server = Server::with(CodecServer::new(held.clone()).limits(limits), Setup::default());
    let address = server.address;
    let first = thread::spawn(move || {
        crate::support::post(address, "/encode", &[JSON], body(&[plain("Hello")]).to_string())
    });
    wait_until("the first is under way", || held.started.load(SeqCst) == 1);
    let second = server.json("/encode", &body(&[plain("World")]));
    assert_eq!((second.status, second.header("retry-after")), (429, Some("1")));
    // Probes need no turn.
    assert_eq!(get(server.address, "/healthz").status, 200);
    held.go.notify_one();
    assert_eq!(first.join().unwrap().payloads(), [plain("Hello")]);
}

#[test]
fn more_connections_than_allowed_wait_for_a_place() {
    const MOST: usize = 20;
    let server = Server::with(CodecServer::new(codec()), connections(MOST));
    let held: Vec<_> = (0..5 * MOST).map(|_| connect(server.address)).collect();
    // Those that send nothing lose their places, five times over.
    assert_eq!(get(server.address, "/healthz").status, 200);
    drop(held);
    wait_until("only this one is open", || server.metric("codec_server_connections") == 1.0);
}

#[test]
fn a_client_that_does_not_read_its_answer_is_dropped() {
    let setup = Setup {
        connections: Connections { total_time: MODERATE, ..Connections::default() },
        ..Setup::default()
    };
    let limits = Limits { requests: 1, bodies: 4 << 20, ..Limits::default() };
    let server = Server::with(CodecServer::new(codec()).limits(limits), setup);
    // More than the buffers of both ends take. It holds all turns and all memory, until it is dropped.
    let large = Payload { data: vec![b'x'; 3_000_000], ..plain("") };
    let large = request("POST", "/decode", &[JSON], body(&[large]).to_string().as_bytes());
    let mut stream = connect(server.address);
    for _ in 0..10 {
        if stream.write_all(&large).is_err() {
            break;
        }
    }
    wait_until("it is dropped", || server.metric("codec_server_connections") == 1.0);
    let answer = server.json("/decode", &body(&[sealed("Hello")]));
    assert_eq!(answer.payloads(), [plain("Hello")]);
}

/// A payload of 24 MiB, compressed and then encrypted, as Temporal's sample for Go does it.
fn compressed() -> Payload {
    let large = Payload { data: vec![b'x'; 24 << 20], ..plain("") };
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&large.encode_to_vec()).unwrap();
    let metadata = [(ENCODING.to_owned(), COMPRESSED.to_vec())].into();
    let data = zlib.finish().unwrap();
    seal(Keyring::test_key().active(), &Payload { metadata, data, ..Payload::default() }).unwrap()
}

#[test]
fn requests_side_by_side_inflate_to_no_more_than_allowed_together() {
    // Enough for two of them, each with up to 32 MiB of buffers, and not for three.
    let limits = Limits { inflated: 70 << 20, ..Limits::default() };
    let server = Server::with(CodecServer::new(codec()).limits(limits), Setup::default());
    let one = body(&[compressed()]);
    let bytes = request("POST", "/decode", &[JSON], one.to_string().as_bytes());
    // Their answers are in memory, because they don't read them.
    let streams: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(server.address);
            stream.write_all(&bytes).unwrap();
            stream
        })
        .collect();
    let decoded = "codec_server_payloads_total{route=\"decode\"}";
    wait_until("both are decoded", || server.metric(decoded) == 2.0);
    let refused = server.json("/decode", &one);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    // What is not compressed needs no such memory.
    assert_eq!(server.json("/decode", &body(&[sealed("Hello")])).payloads(), [plain("Hello")]);
    drop(streams);
    wait_until("there is memory again", || server.json("/decode", &one).status == 200);
    // More than there is for all: to send it again would not help.
    let three = [compressed(), compressed(), compressed()];
    wait_until("the last answer is gone", || {
        server.json("/decode", &body(&three)).status == Kind::Codec.status().as_u16()
    });
}

#[test]
fn an_answer_under_way_is_finished_when_the_server_stops() {
    let held = Held::default();
    let mut server = Server::with(CodecServer::new(held.clone()), Setup::default());
    let address = server.address;
    let mut idle = connect(address);
    let answer = thread::spawn(move || {
        crate::support::post(address, "/encode", &[JSON], body(&[plain("Hello")]).to_string())
    });
    wait_until("the request is under way", || held.started.load(SeqCst) == 1);
    server.ask_to_stop();
    assert!(is_closed(&mut idle), "one that is idle is closed at once");
    wait_until("no connection is accepted", || TcpStream::connect(address).is_err());
    assert!(!server.has_stopped());
    held.go.notify_one();
    assert_eq!(answer.join().unwrap().payloads(), [plain("Hello")]);
    wait_until("it has stopped", || server.has_stopped());
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_the_stop() {
    let setup = Setup {
        connections: Connections { stop_time: SHORT, ..Connections::default() },
        ..Setup::default()
    };
    let held = Held::default();
    let mut server = Server::with(CodecServer::new(held.clone()), setup);
    let mut stream = connect(server.address);
    let body = body(&[plain("Hello")]).to_string();
    stream.write_all(&request("POST", "/encode", &[JSON], body.as_bytes())).unwrap();
    wait_until("the request is under way", || held.started.load(SeqCst) == 1);
    server.ask_to_stop();
    wait_until("it has stopped", || server.has_stopped());
    assert!(read_answer(&mut stream).is_err());
}
