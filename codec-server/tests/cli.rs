//! The Temporal CLI against a real server, through the codec server:
//! `cargo test -p codec-server --test cli -- --ignored`
//!
//! The program `temporal` is looked for in `PATH` and in `.workshop/bin`.

#![allow(clippy::unwrap_used)]

#[path = "../../tests/support/port.rs"]
mod port;
mod support;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{ENCODING, ENCRYPTED, Keyring, Payload, open};
use port::free_port;
use serde_json::Value;
use support::{plain, wait_until};

const KEY: &str = "cli=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const READER: &str = "fedcba9876543210fedcba9876543210";
const NAME: &str = "Ada, whose name is a secret";

/// A program that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

struct Room {
    temporal: SocketAddr,
    codec: SocketAddr,
    _programs: [Running; 2],
    _folder: tempfile::TempDir,
}

/// The Temporal CLI, without any settings of this machine's user.
fn temporal() -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut path = vec![root.join(".workshop/bin")];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap()));
    let mut command = Command::new("/usr/bin/env");
    command.args(["temporal", "--disable-config-file", "--disable-config-env"]);
    command.env("PATH", env::join_paths(path).unwrap()).stdin(Stdio::null());
    command
}

impl Room {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        fs::write(&tokens, format!("{TOKEN}\n{READER} default:read\n")).unwrap();
        let mut codec_server = Command::new(env!("CARGO_BIN_EXE_codec-server"))
            .args(["--address", "127.0.0.1:0", "--tokens"])
            .arg(&tokens)
            .env("CODEC_KEYS", KEY)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(codec_server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let codec = line.split(' ').find_map(|word| word.strip_prefix("http://"));
        let codec = codec.unwrap().parse().unwrap();
        let port = free_port();
        let server = temporal()
            .args([
                "server",
                "start-dev",
                "--headless",
                "--ip",
                "127.0.0.1",
                "--log-level",
                "error",
            ])
            .args(["--port", &port.to_string()])
            .args(["--dynamic-config-value", "frontend.enableServerVersionCheck=false"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let programs = [Running(codec_server), Running(server)];
        let temporal = SocketAddr::from(([127, 0, 0, 1], port));
        let room = Self { temporal, codec, _programs: programs, _folder: folder };
        wait_until("the Temporal server answers", || {
            room.run(&["operator", "cluster", "health"]).status.success()
                && room.run(&["operator", "namespace", "describe", "default"]).status.success()
        });
        room
    }

    fn run(&self, arguments: &[&str]) -> Output {
        temporal().args(arguments).args(["--address", &self.temporal.to_string()]).output().unwrap()
    }

    /// With the codec server, and this token.
    fn run_with(&self, token: &str, arguments: &[&str]) -> Output {
        let endpoint = format!("http://{}/{{namespace}}", self.codec);
        let token = format!("Bearer {token}");
        self.run(&[arguments, &["--codec-endpoint", &endpoint, "--codec-auth", &token]].concat())
    }

    fn metric(&self, line: &str) -> f64 {
        let page = support::get(self.codec, "/metrics").text();
        page.lines()
            .find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))
            .unwrap()
            .parse()
            .unwrap()
    }
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Every payload of a history.
fn payloads(history: &Value) -> Vec<Payload> {
    match history {
        Value::Object(fields) if fields.contains_key("data") && fields.contains_key("metadata") => {
            let list = serde_json::json!({"payloads": [history]}).to_string();
            codec_server::json::read(list.as_bytes()).unwrap()
        }
        Value::Object(fields) => fields.values().flat_map(payloads).collect(),
        Value::Array(elements) => elements.iter().flat_map(payloads).collect(),
        _ => Vec::new(),
    }
}

#[test]
#[ignore = "needs the Temporal CLI, and starts a server"]
fn the_cli_writes_and_reads_payloads_that_the_server_can_not_read() {
    let room = Room::new();
    let input = serde_json::to_string(NAME).unwrap();
    let start =
        ["workflow", "start", "-t", "tasks", "--type", "Greeting", "-w", "cli", "-i", &input];
    // As a propagator or an interceptor sends one.
    let header = format!("caller={input}");
    text(&room.run_with(TOKEN, &[&start[..], &["--headers", &header]].concat()));
    text(
        &room.run_with(TOKEN, &["workflow", "signal", "-w", "cli", "--name", "say", "-i", &input]),
    );
    assert_eq!(room.metric("codec_server_payloads_total{route=\"encode\"}"), 3.0);

    let show = ["workflow", "show", "-w", "cli", "--output", "json"];
    // What the server stores: encrypted with our key, and nothing else.
    let stored = text(&room.run(&show));
    let stored = payloads(&serde_json::from_str(&stored).unwrap());
    let keyring = Keyring::parse(KEY, None).unwrap();
    // The input, the header and the signal's.
    assert_eq!(stored.len(), 3, "{stored:?}");
    for payload in stored {
        assert_eq!(payload.metadata[ENCODING], ENCRYPTED);
        assert_eq!(open(keyring.keys(), payload).unwrap(), plain(NAME));
    }
    for (token, name) in [(TOKEN, "any"), (READER, "a reader's")] {
        let shown = text(&room.run_with(token, &show));
        let shown = payloads(&serde_json::from_str(&shown).unwrap());
        assert_eq!(shown, [plain(NAME), plain(NAME), plain(NAME)], "{name} token");
    }
    // For people.
    let shown = text(&room.run_with(TOKEN, &["workflow", "show", "-w", "cli", "--detailed"]));
    assert!(shown.contains("Ada"), "{shown}");

    // Without a token the CLI shows no name, and a reader's token can't write.
    let endpoint = format!("http://{}", room.codec);
    let refused = room.run(&[&show[..], &["--codec-endpoint", &endpoint]].concat());
    let all = [refused.stdout, refused.stderr].concat();
    let all = String::from_utf8_lossy(&all);
    assert!(!all.contains("Ada") && !all.contains(&STANDARD.encode(NAME)), "{all}");
    // More than once: the CLI repeats a call that fails, whatever the status is.
    assert!(room.metric("codec_server_errors_total{reason=\"unauthenticated\"}") >= 1.0);
    let start =
        ["workflow", "start", "-t", "tasks", "--type", "Greeting", "-w", "two", "-i", &input];
    let refused = room.run_with(READER, &start);
    assert!(!refused.status.success(), "{refused:?}");
    assert!(room.metric("codec_server_errors_total{reason=\"forbidden\"}") >= 1.0);
}
