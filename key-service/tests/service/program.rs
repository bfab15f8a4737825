//! The program: its output, its exit codes, and what survives it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
};

use jiff::Timestamp;
use serde_json::json;

use crate::support::{LIMIT, agent, base64, signed, wait_for};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_key-service"));
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"] {
        command.env_remove(name);
    }
    command.env("AWS_ACCESS_KEY_ID", "workshop").env("AWS_SECRET_ACCESS_KEY", "not-a-secret");
    command
}

/// Killed when it is dropped.
struct Running {
    child: Child,
    endpoint: String,
    admin: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = program();
        command
            .args(["--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0"])
            .args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = |name: &str| {
            let line = lines.next().unwrap().unwrap();
            line.strip_prefix(name).unwrap_or_else(|| panic!("{line}")).to_owned()
        };
        Self { endpoint: line("endpoint: "), admin: line("admin: "), child }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn encrypt(endpoint: &str) -> String {
    let request = json!({"KeyId": "alias/workshop", "Plaintext": base64("text")}).to_string();
    let (status, answer) = signed(endpoint, "Encrypt", &request, Timestamp::now());
    assert_eq!(status, 200, "{answer}");
    answer["CiphertextBlob"].as_str().unwrap().to_owned()
}

fn decrypt(endpoint: &str, blob: &str) -> u16 {
    let request = json!({"CiphertextBlob": blob}).to_string();
    signed(endpoint, "Decrypt", &request, Timestamp::now()).0
}

#[test]
fn a_killed_service_decrypts_again_what_it_encrypted_before() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let keys = ["--keys", file.to_str().unwrap()];
    let first = Running::start(&keys);
    let blob = encrypt(&first.endpoint);
    assert_eq!(decrypt(&first.endpoint, &blob), 200);
    first.signal("-KILL");
    drop(first);
    assert_eq!(decrypt(&Running::start(&keys).endpoint, &blob), 200);
    // Another key has another id, so this service does not know the one of the ciphertext.
    assert_eq!(decrypt(&Running::start(&[]).endpoint, &blob), 400);
}

#[test]
fn a_signal_stops_it_in_order_even_while_calls_hang() {
    let mut running = Running::start(&["--hang-rate", "1"]);
    let health = agent().get(format!("{}/health", running.admin)).call().unwrap();
    assert_eq!(health.status().as_u16(), 200);
    let endpoint = running.endpoint.clone();
    let hanging = std::thread::spawn(move || {
        std::panic::catch_unwind(|| signed(&endpoint, "ListKeys", "{}", Timestamp::now())).is_err()
    });
    let admin = running.admin.clone();
    wait_for("the call", || {
        let page =
            agent().get(format!("{admin}/metrics")).call().unwrap().body_mut().read_to_string();
        page.unwrap().contains("calls_in_flight 1")
    });
    running.signal("-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(hanging.join().unwrap(), "the call that hung was answered");
}

fn ended(arguments: &[&str], change: impl Fn(&mut Command)) -> (Option<i32>, String) {
    let mut command = program();
    command.args(arguments);
    change(&mut command);
    let Output { status, stdout, stderr } = crate::ended::ended(&mut command, LIMIT);
    assert!(stdout.is_empty());
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn what_is_wrong_is_reported_with_its_exit_code() {
    let as_is = |_: &mut Command| {};
    let (code, text) = ended(&[], |command| {
        command.env_remove("AWS_SECRET_ACCESS_KEY");
    });
    assert_eq!(code, Some(2));
    assert!(text.contains("export AWS_ACCESS_KEY_ID=workshop"), "{text}");
    let (code, text) = ended(&["--address", "0.0.0.0:0"], as_is);
    assert_eq!(code, Some(2));
    assert!(text.contains("is not a loopback address"), "{text}");
    for (flag, value) in
        [("--stall", "x"), ("--failure-rate", "2"), ("--throttle", "0"), ("--region", "")]
    {
        let (code, text) = ended(&[flag, value, "--address", "127.0.0.1:0"], as_is);
        assert_eq!(code, Some(2), "{flag} {value}: {text}");
    }
    let (code, text) = ended(&["--address", "localhost:8090"], as_is);
    assert_eq!(code, Some(2));
    assert!(text.contains("such as 127.0.0.1:"), "{text}");
    let (code, text) = ended(&["--address", "127.0.0.1:0"], |command| {
        command.env("AWS_REGION", "").env("AWS_DEFAULT_REGION", "Frankfurt");
    });
    assert_eq!(code, Some(2));
    assert!(text.contains("\"Frankfurt\" is not a region"), "{text}");
    let taken = Running::start(&[]);
    let address = taken.endpoint.strip_prefix("http://").unwrap();
    let (code, text) = ended(&["--address", address], as_is);
    assert_eq!(code, Some(3));
    assert!(text.contains("choose another port"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, "workshop=c2VjcmV0").unwrap();
    let (code, text) = ended(&["--keys", file.to_str().unwrap()], as_is);
    assert_eq!(code, Some(2));
    assert!(text.contains("line 1 of the keys") && !text.contains("c2VjcmV0"), "{text}");
}

#[test]
fn help_is_at_most_80_columns_and_names_every_fault() {
    let mut text = String::new();
    let mut child = program().arg("--help").stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    for flag in
        ["--stall", "--failure-rate", "--throttle", "--reset-rate", "--hang-rate", "--refuse"]
    {
        assert!(text.contains(flag), "{flag}");
    }
    let wide = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None);
}
