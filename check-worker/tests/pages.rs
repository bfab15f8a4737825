//! Pages that are wrong in every way: no panic, bounded memory, and a clear word.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use check_worker::{
    exposition::Page,
    finding::Verdict,
    findings::decide,
    scrape::{Scrape, Trouble},
    tracker::Tracker,
};

/// A small page with everything that a finding asks for.
fn page(step: u32) -> String {
    let mut page = String::new();
    let labels = "namespace=\"default\",service_name=\"temporal-core-sdk\",task_queue=\"q\"";
    for (name, value) in [
        ("workflow_task_queue_poll_succeed", 40 * step),
        ("sticky_cache_hit", 20 * step),
        ("workflow_completed", 20 * step),
        ("activity_task_received", 30 * step),
    ] {
        writeln!(page, "# TYPE temporal_{name} counter\ntemporal_{name}{{{labels}}} {value}")
            .unwrap();
    }
    for (name, extra, value) in [
        ("worker_task_slots_available", "worker_type=\"WorkflowWorker\"", 98),
        ("worker_task_slots_used", "worker_type=\"WorkflowWorker\"", 2),
        ("num_pollers", "poller_type=\"workflow_task\"", 5),
        ("sticky_cache_size", "x=\"y\"", 0),
    ] {
        writeln!(page, "temporal_{name}{{{labels},{extra}}} {value}").unwrap();
    }
    for (name, extra) in [
        ("workflow_task_execution_latency", "workflow_type=\"Greeting\""),
        ("workflow_task_schedule_to_start_latency", "x=\"y\""),
        ("activity_execution_latency", "activity_type=\"compose\""),
        ("request_latency", "operation=\"RespondWorkflowTaskCompleted\""),
    ] {
        let name = format!("temporal_{name}");
        for (le, share) in [("10", 30), ("100", 40), ("+Inf", 40)] {
            writeln!(page, "{name}_bucket{{{labels},{extra},le=\"{le}\"}} {}", share * step)
                .unwrap();
        }
        writeln!(page, "{name}_sum{{{labels},{extra}}} {}", 320 * step).unwrap();
        writeln!(page, "{name}_count{{{labels},{extra}}} {}", 40 * step).unwrap();
    }
    page
}

fn verdict(pages: &[Vec<u8>]) -> Verdict {
    let mut tracker = Tracker::default();
    for (step, body) in (0i64..).zip(pages) {
        let page = Page::parse(body).map_err(Trouble::from);
        tracker.push(&Scrape { at_ms: step * 3000, took_ms: 1, page });
    }
    decide(&tracker.model())[0].verdict
}

#[test]
fn the_page_that_is_mutated_is_a_healthy_workers() {
    let pages: Vec<_> = (1..5).map(|step| page(step).into_bytes()).collect();
    assert_eq!(verdict(&pages), Verdict::Healthy);
}

/// A cheap source of randomness, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit as u64).max(1)).unwrap()
    }
}

fn mutate(body: &mut Vec<u8>, random: &mut Random) {
    const PIECES: [&str; 18] = [
        "{",
        "}",
        "\"",
        "\\",
        ",",
        "=",
        "\n",
        "NaN",
        "+Inf",
        "-1",
        "1e308",
        "le=\"",
        "_bucket",
        "_sum",
        " ",
        "# TYPE ",
        "\u{0}",
        "9999999999999999999999",
    ];
    for _ in 0..=random.below(6) {
        let at = random.below(body.len() + 1);
        match random.below(6) {
            0 if at < body.len() => body[at] = u8::try_from(random.below(256)).unwrap(),
            1 => body.truncate(at),
            2 => drop(body.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
            3 => {
                let end = (at + random.below(200)).min(body.len());
                body.drain(at..end);
            }
            4 => {
                let end = (at + random.below(400)).min(body.len());
                let piece = body[at..end].to_vec();
                let to = random.below(body.len() + 1);
                drop(body.splice(to..to, piece));
            }
            _ => {
                // Another number in the place of one.
                if let Some(digit) = body[at..].iter().position(u8::is_ascii_digit) {
                    body[at + digit] = b'0' + u8::try_from(random.below(10)).unwrap();
                }
            }
        }
    }
}

/// So many mutated pages, four for each verdict. A panic fails the test.
fn mutated_pages(count: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let own: Vec<_> = (1..5).map(|step| page(step).into_bytes()).collect();
    // The same, as a collector serves them.
    let collectors = |step| page(step).replace("service_name=", "job=\"x\",service_name=");
    let relayed: Vec<_> = (1..5).map(|step| collectors(step).into_bytes()).collect();
    for (_, original) in (0..count.div_ceil(4)).zip([&own, &relayed].into_iter().cycle()) {
        let mut pages = original.clone();
        for page in &mut pages {
            mutate(page, &mut random);
        }
        verdict(&pages);
    }
}

#[test]
fn mutated_pages_do_not_panic() {
    mutated_pages(8_000);
}

/// `cargo test --release --package check-worker --test pages -- --ignored` takes some minutes.
#[test]
#[ignore = "takes minutes"]
fn a_million_mutated_pages_do_not_panic() {
    mutated_pages(1_000_000);
}

#[test]
fn any_bytes_do_not_panic() {
    arbtest::arbtest(|u| {
        let bytes: Vec<u8> = u.arbitrary()?;
        verdict(&[bytes.clone(), bytes]);
        Ok(())
    });
}

#[test]
fn a_million_other_series_cost_no_memory() {
    let mut body = page(1);
    for n in 0..300_000 {
        writeln!(body, "http_requests_total{{path=\"/{n}\"}} {n}").unwrap();
    }
    let page = Page::parse(body.as_bytes()).unwrap();
    assert!(page.samples.len() < 100 && page.lines > 300_000);
}

// ---- the program

/// Answers each request with what `answer` writes, until the test ends.
fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            answer(&String::from_utf8_lossy(&request[..read]), &mut stream);
        }
    });
    address
}

fn respond(stream: &mut TcpStream, status: &str, body: &str) {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).ok();
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_check-worker"))
        .args(args)
        .env_remove("CHECK_WORKER_TOKEN")
        .env_remove("CHECK_WORKER_BASIC")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{out}{err}").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn an_address_that_serves_something_else_is_named() {
    for (status, body, code, words) in [
        ("200 OK", "<html></html>", 3, "the page is HTML"),
        ("200 OK", "{\"status\":\"up\"}", 3, "the page is JSON"),
        ("200 OK", "up 1\n", 3, "not those of a Temporal worker"),
        (
            "200 OK",
            "temporal_request{operation=\"StartWorkflowExecution\"} 1\n",
            3,
            "a Temporal client",
        ),
        ("404 Not Found", "", 3, "HTTP status 404"),
        ("401 Unauthorized", "", 3, "HTTP status 401"),
    ] {
        let address = serve(move |_, stream| respond(stream, status, body));
        let output = run(&[&address.to_string(), "--for", "2s", "--every", "100ms"]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}

#[test]
fn nothing_that_listens_is_said_at_once() {
    let since = Instant::now();
    let output = run(&["127.0.0.1:1", "--every", "100ms"]);
    assert_eq!(output.status.code(), Some(3));
    let said = said(&output);
    // How sure it is that it can't tell is no news.
    assert!(said.contains("connection refused") && !said.contains("Sure: "), "{said}");
    // By default it watches for 30 s.
    assert!(since.elapsed() < Duration::from_secs(20));
}

#[test]
fn wrong_usage_says_what_to_type() {
    for (args, words) in [
        (vec![], "http://127.0.0.1:9464/metrics"),
        (vec!["ftp://x"], "http://HOST:PORT/metrics"),
        (vec!["a:1", "--for", "soon"], "30s"),
        (vec!["--prometheus", "x"], "--selector"),
        (vec!["--record", "x"], "URL"),
    ] {
        let output = run(&args);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(words), "{args:?}: {}", said(&output));
    }
    let output = run(&["--replay", "/no/such/folder"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("cannot read the recording"), "{}", said(&output));
}

#[test]
fn a_body_without_end_is_cut_off() {
    let address = serve(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).ok();
        let line = "other_metric{a=\"b\"} 1\n".repeat(5000);
        // 50 MB, unless the reader goes earlier.
        for _ in 0..500 {
            if stream.write_all(line.as_bytes()).is_err() {
                break;
            }
        }
    });
    let output = run(&[&address.to_string(), "--for", "1s", "--every", "100ms"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("larger than 32 MiB"), "{}", said(&output));
}

#[test]
fn a_page_that_never_ends_times_out() {
    let address = serve(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nup 1\n").ok();
        thread::sleep(Duration::from_secs(20));
    });
    let since = Instant::now();
    let output = run(&[&address.to_string(), "--for", "1s"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("no answer within 5 s"), "{}", said(&output));
    assert!(since.elapsed() < Duration::from_secs(20));
}

/// A worker that counts on with each request.
fn worker() -> SocketAddr {
    let step = std::sync::atomic::AtomicU32::new(1);
    serve(move |request, stream| {
        if !request.contains("uthorization: Bearer secret")
            && !request.contains("uthorization: Basic")
        {
            return respond(stream, "401 Unauthorized", "");
        }
        let step = step.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        respond(stream, "200 OK", &page(step));
    })
}

#[test]
fn a_worker_is_checked_recorded_and_replayed_without_names() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, report) = (folder.path().join("pages"), folder.path().join("report.html"));
    let address = worker().to_string();
    let output = run(&[
        &address,
        "--for",
        "5s",
        "--every",
        "200ms",
        "--bearer",
        "secret",
        "--record",
        recording.to_str().unwrap(),
        "--anonymous",
        "--report",
        report.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["evidence", "family", "next", "others", "sureness", "verdict"]);
    assert_eq!(
        (json["verdict"].as_str(), json["family"].as_str()),
        (Some("healthy"), Some("core"))
    );
    for number in json["evidence"].as_array().unwrap() {
        assert!(
            number["name"].is_string() && number["value"].is_number() && number["unit"].is_string()
        );
    }
    let html = fs::read_to_string(&report).unwrap();
    assert!(html.contains("<dt>Sure</dt><dd>high</dd>"), "{html}");
    assert!(html.contains("<svg") && !html.contains("src=") && !html.contains("href="), "{html}");

    let pages: Vec<_> =
        fs::read_dir(&recording).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(pages.iter().any(|path| path.ends_with("scrapes.jsonl")));
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        assert!(!text.contains("Greeting") && !text.contains("compose"), "{text}");
    }
    let output = run(&["--replay", recording.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).starts_with("HEALTHY: nothing holds this worker up"),
        "{}",
        said(&output)
    );
    // A recording is never overwritten.
    let output = run(&[&address, "--basic", "a:b", "--record", recording.to_str().unwrap()]);
    assert!(said(&output).contains("is not empty"), "{}", said(&output));
}

#[test]
fn a_fleet_has_a_line_for_each_that_is_not_healthy() {
    let healthy: Vec<String> = (0..5).map(|_| worker().to_string()).collect();
    let mut args: Vec<&str> = healthy.iter().map(String::as_str).collect();
    args.extend(["127.0.0.1:1", "--for", "5s", "--every", "200ms", "--bearer", "secret"]);
    let output = run(&args);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let said = said(&output);
    assert!(said.starts_with("6 workers: 1 cannot_tell, 5 healthy"), "{said}");
    assert!(said.contains("cannot_tell http://127.0.0.1:1/metrics"), "{said}");
}

#[test]
fn counters_that_fall_are_a_restart_or_several_workers() {
    let alternate: Vec<_> = [3, 1, 4, 2, 5, 3, 6].map(|step| page(step).into_bytes()).into();
    assert_eq!(verdict(&alternate), Verdict::CannotTell);
    let restarted: Vec<_> = [8, 9, 1, 2, 3].map(|step| page(step).into_bytes()).into();
    assert_eq!(verdict(&restarted), Verdict::Healthy);
}

#[test]
fn rules_pass_promtools_tests() {
    let has_promtool = Command::new("promtool").arg("--version").output().is_ok();
    let folder = tempfile::tempdir().unwrap();
    for (family, more) in [
        ("core", vec![]),
        ("core", vec!["--total", "--unit-suffix", "--seconds"]),
        ("go-tally", vec!["--prefix", "shop_temporal_"]),
        ("go-otel", vec![]),
        ("java", vec![]),
    ] {
        let print = |tests: &[&str]| {
            let args = [&["rules", "--family", family], more.as_slice(), tests].concat();
            let output = run(&args);
            assert!(output.status.success(), "{}", said(&output));
            output.stdout
        };
        fs::write(folder.path().join("rules.yml"), print(&[])).unwrap();
        fs::write(folder.path().join("tests.yml"), print(&["--tests", "rules.yml"])).unwrap();
        if has_promtool {
            promtool(folder.path(), family);
        }
    }
    if !has_promtool {
        eprintln!("NOT RUN: promtool is not here");
    }
}

fn promtool(folder: &Path, family: &str) {
    for args in [["check", "rules", "rules.yml"], ["test", "rules", "tests.yml"]] {
        let output = Command::new("promtool").args(args).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{family} {args:?}: {}", said(&output));
    }
}
