//! Requests at random, most of them wrong: each has the status that it must have, and the server
//! still answers at the end.
//!
//! The seed gives the same requests again. The full form, a million requests, with its figures:
//!
//! ```sh
//! cargo test --release -p codec-server --test fuzz -- --ignored --nocapture
//! ```
//!
//! `FUZZ_REQUESTS` and `FUZZ_SEED` change their number and the seed.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    panic,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use codec_kit::{Keyring, Payload};
use codec_server::{
    Auth, CodecServer, Connections, Kind, Limits, auth::tokens::Tokens, json::MOST_PAYLOADS,
};
use fastrand::Rng;
use support::{
    Answer, Server, Setup, body, codec, connect, foreign, plain, read_answer, sealed, wait_until,
};

/// A test that runs with all others.
const FEW: usize = 3_000;
const MANY: usize = 1_000_000;
const CLIENTS: usize = 4;
/// The most by which the process may grow, in bytes: 32 MiB for bodies, twice, and some for buffers.
const GROWTH: usize = 128 << 20;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const LIMITED: &str = "fedcba9876543210fedcba9876543210";

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn requests_at_random_have_the_right_status() {
    run(FEW, 1);
}

#[test]
#[ignore = "a million requests: minutes"]
fn a_million_requests_at_random_have_the_right_status() {
    let number =
        |name, default| env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (requests, seed) = (number("FUZZ_REQUESTS", MANY), number("FUZZ_SEED", 1) as u64);
    run(requests, seed);
    a_thousand_connections();
}

fn server() -> Server {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), format!("{TOKEN}\n{LIMITED} orders:read\n")).unwrap();
    let auth = Auth::Tokens(Tokens::read(file.path()).unwrap());
    let limits = Limits { body_time: Duration::from_secs(2), ..Limits::default() };
    let connections = Connections { head_time: Duration::from_secs(2), ..Connections::default() };
    let server = CodecServer::new(codec()).auth(auth).limits(limits);
    Server::with(server, Setup { connections, ..Setup::default() })
}

fn run(requests: usize, seed: u64) {
    panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, SeqCst);
        eprintln!("{info}");
    }));
    let server = server();
    let address = server.address;
    let bodies = Bodies::new();
    // Fills caches and buffers, so that what grows afterwards grows for ever.
    drive(address, &bodies, requests / 20 + 1, !seed);
    let (before, started) = (memory(), Instant::now());
    let statuses = drive(address, &bodies, requests, seed);
    let (after, took) = (memory(), started.elapsed());
    let answered: usize = statuses.values().sum();
    println!("requests {requests}, seed {seed}, {:.1} s", took.as_secs_f64());
    println!("panics {}", PANICS.load(SeqCst));
    println!("memory {} MiB before, {} MiB after", before >> 20, after >> 20);
    println!("statuses {statuses:?} (0: closed without an answer)");
    assert_eq!(answered, requests);
    assert_eq!(PANICS.load(SeqCst), 0);
    assert!(after < before + GROWTH, "{before} bytes became {after}");
    wait_until("no connection is left", || server.metric("codec_server_connections") == 1.0);
    let page = support::get(address, "/metrics").text();
    assert!(!page.contains("code=\"5"), "{page}");
    let authorization = format!("Bearer {TOKEN}");
    let headers = [support::JSON, ("authorization", &*authorization)];
    let answer = server.post("/decode", &headers, body(&[sealed("Hello")]).to_string());
    assert_eq!(answer.payloads(), [plain("Hello")]);
}

/// Sends them, by several clients at a time, and returns how often each status came.
fn drive(address: SocketAddr, bodies: &Bodies, requests: usize, seed: u64) -> BTreeMap<u16, usize> {
    let mut all = BTreeMap::new();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let share = requests / CLIENTS + usize::from(client < requests % CLIENTS);
                let dice = Rng::with_seed(seed.wrapping_add(client as u64));
                scope.spawn(move || Client { address, stream: None, dice }.run(bodies, share))
            })
            .collect();
        for client in clients {
            for (status, count) in client.join().unwrap() {
                *all.entry(status).or_default() += count;
            }
        }
    });
    all
}

/// The memory of this process, in bytes.
fn memory() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}

struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    dice: Rng,
}

impl Client {
    fn run(mut self, bodies: &Bodies, requests: usize) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for _ in 0..requests {
            let case = Case::new(&mut self.dice, bodies);
            let status = self.send(&case);
            *statuses.entry(status).or_default() += 1;
        }
        statuses
    }

    fn send(&mut self, case: &Case) -> u16 {
        let is_reused = self.stream.is_some();
        match self.try_send(case) {
            // The server closed it while it was idle, or because of the last request.
            Err(_) if is_reused => self.try_send(case),
            result => result,
        }
        .unwrap_or_else(|error| {
            assert!(case.may_be_closed, "{error}: {case:?}");
            0
        })
    }

    fn try_send(&mut self, case: &Case) -> io::Result<u16> {
        let mut stream = self.stream.take().unwrap_or_else(|| connect(self.address));
        let written = stream.write_all(&case.bytes);
        if case.is_cut_off {
            stream.shutdown(Shutdown::Write).ok();
        }
        let answer = read_answer(&mut stream);
        let answer = answer.or_else(|error| written.and(Err(error)))?;
        case.check(&answer);
        let is_open = answer.header("connection") != Some("close");
        if is_open && !case.is_cut_off && !case.may_be_closed {
            self.stream = Some(stream);
        }
        Ok(answer.status)
    }
}

/// A request, and what must come of it.
struct Case {
    bytes: Vec<u8>,
    /// Empty: anything but a 5xx.
    statuses: Vec<u16>,
    payloads: Option<usize>,
    is_cut_off: bool,
    may_be_closed: bool,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.bytes[..self.bytes.len().min(2000)];
        write!(f, "{:?} for {} bytes: ", self.statuses, self.bytes.len())?;
        write!(f, "{}", String::from_utf8_lossy(start).escape_debug())
    }
}

/// One part of a request that is sent: its text, and the status that it causes, if it is wrong.
type Part = (Vec<(&'static str, String)>, Option<u16>);

impl Case {
    fn new(dice: &mut Rng, bodies: &Bodies) -> Self {
        let (method, path, head) = start(dice);
        let (origin, bad_origin) = origin(dice);
        let (namespace, bad_namespace, named) = namespace(dice);
        let (token, bad_token) = token(dice, named, &path);
        let (media_type, bad_media_type) = media_type(dice);
        let body = bodies.any(dice);
        // In the order in which the server looks.
        let first = [bad_origin, head, bad_namespace, bad_token, bad_media_type]
            .into_iter()
            .flatten()
            .next();
        let mut headers = [origin, namespace, token, media_type].concat();
        dice.shuffle(&mut headers);
        let is_options = method == "OPTIONS";
        let statuses = match first {
            Some(status) => vec![status],
            None => body.statuses(&path),
        };
        let payloads = first.is_none().then_some(body.payloads).flatten();
        let mut case = Self {
            bytes: Vec::new(),
            statuses,
            payloads,
            is_cut_off: false,
            // A body that is not needed is not always read to its end.
            may_be_closed: is_options || body.bytes.len() > 1 << 20,
        };
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: fuzz\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        case.bytes = text.into_bytes();
        case.frame(dice, &body.bytes);
        if dice.u8(..) < 24 {
            case.spoil(dice);
        }
        case
    }

    /// The body, with its length or in chunks.
    fn frame(&mut self, dice: &mut Rng, body: &[u8]) {
        if dice.u8(..) < 192 {
            self.bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
            self.bytes.extend_from_slice(body);
            return;
        }
        self.bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        let mut rest = body;
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(dice.usize(1..=rest.len()));
            self.bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            self.bytes.extend_from_slice(chunk);
            self.bytes.extend_from_slice(b"\r\n");
            rest = after;
        }
        self.bytes.extend_from_slice(b"0\r\n\r\n");
    }

    /// Bytes are changed, removed or added anywhere, or the rest is missing. What must come of that is not known,
    /// only what must not.
    fn spoil(&mut self, dice: &mut Rng) {
        let length = self.bytes.len();
        match dice.u8(..4) {
            0 => {
                for _ in 0..dice.usize(1..8) {
                    self.bytes[dice.usize(..length)] = dice.u8(..);
                }
            }
            1 => {
                let at = dice.usize(..length);
                self.bytes.drain(at..length.min(at + dice.usize(1..40)));
            }
            2 => {
                let at = dice.usize(..length);
                let more: Vec<u8> = (0..dice.usize(1..40)).map(|_| dice.u8(..)).collect();
                self.bytes.splice(at..at, more);
            }
            _ => self.bytes.truncate(dice.usize(..length)),
        }
        self.statuses.clear();
        self.payloads = None;
        // No server waits for more of a request whose sender has ended it.
        self.is_cut_off = true;
        self.may_be_closed = true;
    }

    fn check(&self, answer: &Answer) {
        let status = answer.status;
        assert!((200..500).contains(&status), "{answer:?} for {self:?}");
        let is_expected = self.statuses.is_empty() || self.statuses.contains(&status);
        assert!(is_expected, "{status} {} for {self:?}", String::from_utf8_lossy(&answer.body));
        if status == 200 && answer.header("content-type") == Some("application/json") {
            let payloads = answer.payloads();
            assert!(self.payloads.is_none_or(|count| count == payloads.len()), "{self:?}");
        } else if status >= 400 && !answer.body.is_empty() {
            // One of few texts, whatever was sent.
            let text = answer.text();
            let is_ours = Kind::ALL.iter().any(|kind| text.trim_end() == kind.text());
            assert!(is_ours, "{text} for {self:?}");
        }
    }
}

/// Method, path, and what is wrong with them.
fn start(dice: &mut Rng) -> (&'static str, String, Option<u16>) {
    let method = match dice.u8(..16) {
        0 => *dice.choice(&["GET", "PUT", "DELETE", "PATCH", "BREW", "post"]).unwrap(),
        1 => "OPTIONS",
        _ => "POST",
    };
    let good =
        ["/decode", "/encode", "/codec/decode", "/a/b/c/encode", "//decode", "/%C3%A9/decode"];
    let bad = [
        "/",
        "/download",
        "/decode/",
        "/decodes",
        "/Encode",
        "/..",
        "/decode/x",
        "/%ff",
        "/a?/decode",
    ];
    let (mut path, is_known) = match dice.u8(..16) {
        0 => (*dice.choice(&bad).unwrap(), false),
        _ => (*dice.choice(&good).unwrap(), true),
    };
    let mut whole = path.to_owned();
    if !path.contains('?') {
        path = *dice
            .choice(&["", "", "?preserveStorageRefs=true", "?", "?a=b&c", "?/x", "?%zz"])
            .unwrap();
        whole += path;
    }
    let wrong = match (is_known, method) {
        (false, _) => Some(404),
        (true, "OPTIONS") => Some(204),
        (true, "POST") => None,
        (true, _) => Some(405),
    };
    (method, whole, wrong)
}

fn origin(dice: &mut Rng) -> Part {
    let origin = |value: &str| ("origin", value.to_owned());
    match dice.u8(..24) {
        0 => (vec![origin("http://localhost:8233"), origin("http://127.0.0.1:8233")], Some(403)),
        1 => {
            // One character more, less or other.
            let mut near = b"http://localhost:8233".to_vec();
            let at = dice.usize(..near.len());
            match dice.u8(..3) {
                0 => drop(near.remove(at)),
                1 => near.insert(at, *dice.choice(b"x.:/@3").unwrap()),
                _ => near[at] = *dice.choice(b"X!~9").unwrap(),
            }
            (vec![origin(&String::from_utf8(near).unwrap())], Some(403))
        }
        2 => {
            let other = dice.choice(&["null", "*", "", "http://evil.example", "file://"]).unwrap();
            (vec![origin(other)], Some(403))
        }
        3..8 => (vec![origin("http://localhost:8233")], None),
        _ => (Vec::new(), None),
    }
}

/// What the header names.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    /// The namespace that the limited token may read.
    Orders,
    Other,
    Nothing,
}

fn namespace(dice: &mut Rng) -> (Vec<(&'static str, String)>, Option<u16>, Named) {
    let header = |value: &str| ("x-namespace", value.to_owned());
    match dice.u8(..16) {
        0 => (vec![header("a"), header("b")], Some(400), Named::Other),
        1 => (vec![header(&"n".repeat(dice.usize(1001..3000)))], Some(400), Named::Other),
        2 => (vec![header("bücher")], None, Named::Other),
        3..8 => (vec![header("orders")], None, Named::Orders),
        8..11 => (vec![header("other")], None, Named::Other),
        _ => (Vec::new(), None, Named::Nothing),
    }
}

fn token(dice: &mut Rng, named: Named, path: &str) -> Part {
    let authorization = |value: String| ("authorization", value);
    let path = path.split('?').next().unwrap();
    let wrong = match dice.u8(..24) {
        0 => Vec::new(),
        1 => vec![authorization(format!("Bearer {TOKEN}")); 2],
        2 => vec![authorization(format!("Basic {TOKEN}"))],
        3 => {
            let mut near = TOKEN.to_owned().into_bytes();
            let at = dice.usize(..near.len());
            match dice.u8(..3) {
                0 => drop(near.remove(at)),
                1 => near.insert(at, b'x'),
                _ => near[at] = b'x',
            }
            vec![authorization(format!("Bearer {}", String::from_utf8(near).unwrap()))]
        }
        4 => {
            let any: String = (0..dice.usize(..5000)).map(|_| dice.alphanumeric()).collect();
            vec![authorization(format!("Bearer {any}"))]
        }
        5 => {
            let in_path = path.rsplit('/').nth(1).is_some_and(|name| !name.is_empty());
            let wrong = match (named, in_path) {
                (Named::Orders, _) if path.ends_with("/decode") => None,
                (Named::Nothing, false) => Some(400),
                _ => Some(403),
            };
            return (vec![authorization(format!("Bearer {LIMITED}"))], wrong);
        }
        _ => return (vec![authorization(format!("bearer {TOKEN}"))], None),
    };
    (wrong, Some(401))
}

fn media_type(dice: &mut Rng) -> Part {
    let of = |value: &str| ("content-type", value.to_owned());
    match dice.u8(..24) {
        0 => (Vec::new(), Some(415)),
        1 => (vec![of("text/plain")], Some(415)),
        2 => (vec![of("application/json"), of("application/json")], Some(415)),
        3 => (vec![of("application/json"), ("content-encoding", "gzip".to_owned())], Some(415)),
        4..8 => (vec![of("Application/JSON; charset=utf-8")], None),
        _ => (vec![of("application/json")], None),
    }
}

struct Body {
    bytes: Vec<u8>,
    /// What comes of `decode` and of `encode`.
    decoded: Vec<u16>,
    encoded: Vec<u16>,
    payloads: Option<usize>,
}

impl Body {
    fn statuses(&self, path: &str) -> Vec<u16> {
        let path = path.split('?').next().unwrap();
        if path.ends_with("/encode") { self.encoded.clone() } else { self.decoded.clone() }
    }
}

/// Bodies from which others are made.
struct Bodies {
    good: Vec<(String, usize)>,
    unopened: String,
}

impl Bodies {
    fn new() -> Self {
        let many: Vec<_> = (0..300).map(|number| sealed(&number.to_string())).collect();
        let large = Payload { data: vec![b'x'; 100_000], ..plain("") };
        let list = |payloads: &[Payload]| (body(payloads).to_string(), payloads.len());
        let mut mixed = body(&[sealed("Hello"), plain("World")]);
        mixed["payloads"].as_array_mut().unwrap().push(foreign("binary/zlib", b"\0\xff"));
        let keyring =
            Keyring::parse("other=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", None).unwrap();
        let unopened = codec_kit::seal(keyring.active(), &plain("Hello")).unwrap();
        Self {
            good: vec![
                list(&[sealed("Hello")]),
                list(&[plain("Hello"), Payload::default()]),
                list(&[]),
                list(&many),
                list(&[large]),
                (mixed.to_string(), 3),
                ("{}".to_owned(), 0),
            ],
            unopened: body(&[sealed("Hello"), unopened]).to_string(),
        }
    }

    fn any(&self, dice: &mut Rng) -> Body {
        let wrong = |bytes: Vec<u8>, status: u16| Body {
            bytes,
            decoded: vec![status],
            encoded: vec![status],
            payloads: None,
        };
        // The large ones are rare, because they take most of the time.
        let (good, count) = match dice.u8(..32) {
            0 => &self.good[3],
            1 => &self.good[4],
            _ => dice.choice([0, 1, 2, 5, 6].map(|at| &self.good[at])).unwrap(),
        };
        match dice.u16(..4096) {
            0 => return wrong(vec![b' '; (4 << 20) + dice.usize(1..100)], 413),
            1 => {
                let many = vec!["{}"; MOST_PAYLOADS + dice.usize(1..100)].join(",");
                return wrong(format!("{{\"payloads\":[{many}]}}").into_bytes(), 413);
            }
            2 => return wrong("[".repeat(dice.usize(1..1 << 20)).into_bytes(), 400),
            _ => {}
        }
        match dice.u8(..16) {
            0 => wrong((0..dice.usize(..2000)).map(|_| dice.u8(..)).collect(), 400),
            1 => {
                let mut bytes = good.clone().into_bytes();
                for _ in 0..dice.usize(1..6) {
                    let at = dice.usize(..bytes.len());
                    bytes[at] = dice.u8(..);
                }
                Body { bytes, decoded: vec![200, 400], encoded: vec![200, 400], payloads: None }
            }
            2 => {
                let cut = dice.usize(..good.len());
                wrong(good.as_bytes()[..cut].to_vec(), 400)
            }
            3 => Body {
                bytes: self.unopened.clone().into_bytes(),
                decoded: vec![400],
                encoded: vec![200],
                payloads: Some(2),
            },
            _ => Body {
                bytes: good.clone().into_bytes(),
                decoded: vec![200],
                encoded: vec![200],
                payloads: Some(*count),
            },
        }
    }
}

/// Most of them send half a head and wait. The others are served all the same.
fn a_thousand_connections() {
    let server = server();
    let started = Instant::now();
    let held: Vec<_> = (0..1000)
        .map(|number| {
            let mut stream = connect(server.address);
            if number % 2 == 0 {
                stream.write_all(b"POST /decode HTTP/1.1\r\nx-slow: ").unwrap();
            }
            stream
        })
        .collect();
    let authorization = format!("Bearer {TOKEN}");
    let headers = [support::JSON, ("authorization", &*authorization)];
    let answer = server.post("/decode", &headers, body(&[sealed("Hello")]).to_string());
    assert_eq!(answer.payloads(), [plain("Hello")]);
    println!("answered beside {} idle connections after {:?}", held.len(), started.elapsed());
    drop(held);
    wait_until("no other is left", || server.metric("codec_server_connections") == 1.0);
}
