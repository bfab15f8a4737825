//! The page over real sockets.

#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use live_page::{Doing, Frame, LivePage, Segment};
use serde_json::Value;

/// Long enough for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

fn page() -> LivePage {
    LivePage::serve("127.0.0.1:0".parse().unwrap(), "A test").unwrap()
}

fn connect(address: SocketAddr, request: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    BufReader::new(stream)
}

/// The whole answer: HTTP/1.0, so that it ends with the connection and has no chunks.
fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> String {
    let began = Instant::now();
    let mut stream = connect(address, &format!("{method} {path} HTTP/1.0\r\n{host}\r\n"));
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut part).unwrap() {
            0 => return String::from_utf8(answer).unwrap(),
            length => answer.extend_from_slice(&part[..length]),
        }
        assert!(began.elapsed() < PATIENCE, "{method} {path} is answered without an end");
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    ask(address, "GET", path, "Host: localhost\r\n")
}

fn data(address: SocketAddr) -> Value {
    let answer = get(address, "/data.json");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Waits until the page's thread has taken what was pushed.
fn await_sequence(address: SocketAddr, sequence: u64) -> Value {
    let began = Instant::now();
    loop {
        let data = data(address);
        if data["sequence"] == sequence {
            return data;
        }
        assert!(began.elapsed() < PATIENCE, "still {}", data["sequence"]);
        thread::sleep(Duration::from_millis(5));
    }
}

fn frame(at: u32) -> Frame {
    let segment = Segment { from: at.into(), to: f64::from(at) + 0.5, doing: Doing::Encode };
    Frame { at: at.into(), workflows_done: at, thread: vec![segment], ..Frame::default() }
}

/// A browser without the browser: what it is sent, put together as the page does.
struct Events {
    stream: BufReader<TcpStream>,
    snapshots: usize,
    sequence: u64,
    /// The number of workflows done in each frame of each run.
    done: Vec<Vec<u64>>,
    has_ended: bool,
}

impl Events {
    fn open(address: SocketAddr) -> Self {
        let mut stream = connect(address, "GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        Self { stream, snapshots: 0, sequence: 0, done: Vec::new(), has_ended: false }
    }

    /// Takes one event. Returns `false` at the stream's end.
    fn next(&mut self) -> bool {
        let (mut event, mut id, mut json) = (String::new(), 0, Value::Null);
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "no event comes");
            let mut line = String::new();
            if self.stream.read_line(&mut line).unwrap() == 0 {
                return false;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event = name.to_owned(),
                Some(("id", number)) => id = number.parse().unwrap(),
                Some(("data", text)) => json = serde_json::from_str(text).unwrap(),
                _ if line.trim().is_empty() && !event.is_empty() => break,
                _ => {}
            }
        }
        self.take(&event, id, &json);
        true
    }

    fn take(&mut self, event: &str, id: u64, json: &Value) {
        let number = |value: &Value| value.as_u64().unwrap();
        match event {
            "snapshot" => {
                assert!(id >= self.sequence, "the snapshot is older than what came before");
                self.snapshots += 1;
                self.done = done(json);
            }
            "change" => {
                assert_eq!(id, self.sequence + 1, "a change is missing, or came twice");
                match json["change"].as_str().unwrap() {
                    "start" => self.done.push(Vec::new()),
                    "frame" => self.done[number(&json["run"]) as usize]
                        .push(number(&json["frame"]["workflows_done"])),
                    _ => {}
                }
            }
            _ => {
                self.has_ended = true;
                return;
            }
        }
        self.sequence = id;
    }

    fn until(&mut self, sequence: u64) {
        while self.sequence < sequence {
            assert!(self.next(), "the stream ended");
        }
    }
}

fn done(state: &Value) -> Vec<Vec<u64>> {
    let of_run = |run: &Value| {
        let frames = run["frames"].as_array().unwrap().iter();
        frames.map(|frame| frame["workflows_done"].as_u64().unwrap()).collect()
    };
    state["runs"].as_array().unwrap().iter().map(of_run).collect()
}

#[test]
fn the_page_and_its_files_are_served_with_a_strict_policy() {
    let page = page();
    let html = get(page.address(), "/");
    assert!(html.starts_with("HTTP/1.0 200 "), "{html}");
    assert!(html.contains("content-type: text/html"), "{html}");
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(html.contains(header), "{header} is missing in {html}");
    }
    assert!(!html.contains("access-control-allow-origin"));
    for path in ["/page.css", "/page.js", "/uplot.js", "/uplot.css", "/icon.svg", "/data.json"] {
        assert!(get(page.address(), path).starts_with("HTTP/1.0 200 "), "{path}");
    }
}

#[test]
fn everything_else_is_404_and_other_methods_are_405() {
    let page = page();
    for path in ["/favicon.ico", "/page/index.html", "/../Cargo.toml", "/events/", "/data.json/x"] {
        assert!(get(page.address(), path).starts_with("HTTP/1.0 404 "), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        for path in ["/", "/events", "/data.json", "/page.js"] {
            let answer = ask(page.address(), method, path, "Host: localhost\r\n");
            assert!(answer.starts_with("HTTP/1.0 405 "), "{method} {path}: {answer}");
        }
    }
}

#[test]
fn other_names_than_this_machines_are_refused_everywhere() {
    let page = page();
    for path in ["/", "/events", "/data.json", "/nothing"] {
        for host in ["Host: example.com\r\n", "Host: 192.0.2.7\r\n", ""] {
            let answer = ask(page.address(), "GET", path, host);
            assert!(answer.starts_with("HTTP/1.0 403 "), "{path} {host}: {answer}");
            assert!(!answer.contains("A test"));
        }
    }
    let own = format!("Host: {}\r\n", page.address());
    assert!(ask(page.address(), "GET", "/", &own).starts_with("HTTP/1.0 200 "));
}

#[test]
fn browsers_that_come_at_any_time_have_the_same_in_the_end() {
    const FRAMES: u32 = 400;
    let page = page();
    let address = page.address();
    let run = page.start("blocking", 100);
    thread::scope(|scope| {
        let browsers: Vec<_> = (0..8)
            .map(|browser| {
                scope.spawn(move || {
                    // Each comes when the run has got a little further.
                    while data(address)["sequence"].as_u64().unwrap() < browser * 40 {
                        thread::sleep(Duration::from_millis(1));
                    }
                    let mut events = Events::open(address);
                    events.until(1 + u64::from(FRAMES));
                    (events.snapshots, events.done)
                })
            })
            .collect();
        for at in 0..FRAMES {
            run.push(frame(at));
            thread::sleep(Duration::from_millis(1));
        }
        let expected = done(&await_sequence(address, 1 + u64::from(FRAMES)));
        assert_eq!(expected, [(0..u64::from(FRAMES)).collect::<Vec<_>>()]);
        for browser in browsers {
            let (snapshots, done) = browser.join().unwrap();
            assert!(snapshots >= 1);
            assert_eq!(done, expected);
        }
    });
}

#[test]
fn a_browser_that_does_not_read_is_sent_a_new_snapshot() {
    let page = page();
    let run = page.start("blocking", 100);
    let mut slow = Events::open(page.address());
    slow.until(1);
    // More than the buffers between the two take: each frame is 90 KB.
    const FRAMES: u32 = 300;
    for at in 0..FRAMES {
        let segment = |i: u32| {
            let from = f64::from(at) + f64::from(i) / 10_000.0;
            Segment { from, to: from + 0.000_05, doing: Doing::Busy }
        };
        run.push(Frame { thread: (0..4000).map(segment).collect(), ..frame(at) });
    }
    await_sequence(page.address(), 1 + u64::from(FRAMES));
    slow.until(1 + u64::from(FRAMES));
    assert!(slow.snapshots > 1, "it was sent every frame: all of them were kept for it");
    assert_eq!(slow.done, [(0..u64::from(FRAMES)).collect::<Vec<_>>()]);
}

#[test]
fn browsers_beyond_twenty_are_refused_until_one_leaves() {
    let page = page();
    let mut open: Vec<_> = (0..20).map(|_| Events::open(page.address())).collect();
    let answer = get(page.address(), "/events");
    assert!(answer.starts_with("HTTP/1.0 503 "), "{answer}");
    assert!(get(page.address(), "/").starts_with("HTTP/1.0 200 "), "the page itself is served");
    open.pop();
    let began = Instant::now();
    loop {
        let mut stream = connect(page.address(), "GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n");
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if line.contains(" 200 ") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "its place is still taken");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_end_is_sent_and_then_nothing_listens() {
    for stop in [LivePage::stop as fn(&LivePage), |_| {}] {
        let page = page();
        let address = page.address();
        let run = page.start("blocking", 100);
        let mut events = Events::open(address);
        events.until(1);
        run.push(frame(1));
        run.finish("Finished: 100 workflows in 52 s.");
        let began = Instant::now();
        stop(&page);
        drop(page);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        while events.next() {}
        assert!(events.has_ended);
        assert_eq!((events.sequence, events.done), (3, vec![vec![1]]));
        assert!(TcpStream::connect(address).is_err());
        // Too late, and harmless.
        run.push(frame(2));
        run.finish("again");
    }
}

#[test]
fn a_run_has_one_outcome_even_if_its_command_fails() {
    let page = page();
    let finished = page.start("<b>first</b>", 3);
    finished.finish("Finished.");
    finished.finish("Finished twice.");
    drop(finished);
    drop(page.start("second", 0));
    let data = await_sequence(page.address(), 4);
    assert_eq!(data["runs"][0]["name"], "<b>first</b>");
    assert_eq!(data["runs"][0]["outcome"], "Finished.");
    assert_eq!(data["runs"][1]["outcome"], "Stopped without a result.");
}

#[test]
fn a_page_can_be_served_and_dropped_within_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let page = page();
        // This blocks the runtime's only thread; the page answers all the same.
        assert!(get(page.address(), "/").starts_with("HTTP/1.0 200 "));
    });
}
