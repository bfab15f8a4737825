//! The program: what it prints, logs, refuses, and reads again.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    panic,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{
    Keyring,
    kms::{BlockingClient, Credentials, Settings, new_wrapped_key},
    open,
};
use key_service::{Options, Server};
use rustix::process::{Pid, Signal, kill_process};

use crate::ended::ended;
use crate::support::{JSON, body, get, plain, post, wait_until};

/// Far longer than a program takes that does not start.
const LIMIT: Duration = Duration::from_secs(30);
/// What must be in no log: as text, and as base64 in any of its three alignments.
const SECRET: &str = "a-payload-that-is-a-secret";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codec-server"));
    for variable in ["CODEC_KEYS", "CODEC_KEY_FILE", "CODEC_ACTIVE_KEY", "RUST_LOG"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Program {
    child: Child,
    address: SocketAddr,
    log: Option<JoinHandle<String>>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command.args(["--address", "127.0.0.1:0"]).spawn().unwrap();
        let log = child.stderr.take().unwrap();
        // Read all the time, so that the program is never held up.
        let read = |mut log: ChildStderr| {
            let mut text = String::new();
            log.read_to_string(&mut text).unwrap();
            text
        };
        let log = Some(thread::spawn(move || read(log)));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("codec server on http://")
            .and_then(|rest| rest.split(' ').next()?.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{line:?}: {:?}", child.wait()));
        Self { child, address, log }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Stops it, and returns its exit code and its log.
    fn stop(mut self, signal: Signal) -> (Option<i32>, String) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        (status.code(), self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What a program says that does not start.
fn run(command: &mut Command) -> Output {
    let output = ended(command, LIMIT);
    assert!(output.stdout.is_empty(), "{output:?}");
    output
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

/// Replaces a file that is watched: there is no moment at which it is empty.
fn replace(path: &Path, text: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn wrapped_keys_are_unwrapped_by_the_key_service_once_in_their_lifetime() {
    let credentials = || Credentials::new("workshop", "not-a-secret").unwrap();
    let service = Server::start(Options::new(credentials())).unwrap();
    let settings = Settings::new("us-east-1", credentials()).unwrap();
    let settings = settings.with_endpoint(&service.endpoint()).unwrap();
    let client = BlockingClient::new(&settings).unwrap();
    let keys = new_wrapped_key(&client, "alias/workshop", "2026").unwrap().to_string();
    let with_keys = || {
        let mut command = program();
        command.env("CODEC_KEYS", &keys).env("AWS_ENDPOINT_URL_KMS", service.endpoint());
        command.env("AWS_ACCESS_KEY_ID", "workshop");
        command.env("AWS_SECRET_ACCESS_KEY", "not-a-secret").env_remove("AWS_SESSION_TOKEN");
        command
    };
    let program = Program::start(with_keys().env("AWS_REGION", "us-east-1"));
    let send = |path: &str, body: &str| post(program.address, path, &[JSON], body);
    let body = body(&[plain(SECRET)]).to_string();
    for _ in 0..3 {
        let sealed = send("/encode", &body);
        assert_eq!(sealed.status, 200);
        assert_ne!(sealed.payloads(), [plain(SECRET)]);
        assert_eq!(send("/decode", &sealed.text()).payloads(), [plain(SECRET)]);
    }
    let unwrapped: u32 = service
        .metrics()
        .lines()
        .filter(|line| {
            line.contains("calls_total{operation=\"Decrypt\"") && line.contains("\"ok\"")
        })
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap())
        .sum();
    assert!((1..=2).contains(&unwrapped), "{}", service.metrics());
    let (code, log) = program.stop(Signal::TERM);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("2026 (wrapped; encrypts with 2026)"), "{log}");
    assert!(!log.contains("test key"), "{log}");

    // Which service is to be asked is not said.
    let output = run(with_keys().env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("KMS can't be asked for the data keys") && said.contains("AWS_REGION"),
        "{said}"
    );
}

#[test]
fn no_payload_key_or_token_is_in_a_log_at_any_level() {
    let folder = tempfile::tempdir().unwrap();
    let keys = write(folder.path(), "keys", &format!("one={KEY}\n"));
    let tokens = write(folder.path(), "tokens", &format!("{TOKEN}\n"));
    for format in ["text", "json"] {
        let program = Program::start(
            program()
                .env("RUST_LOG", "trace")
                .env("CODEC_KEY_FILE", &keys)
                .args(["--log-format", format, "--reload-seconds", "1"])
                .arg("--tokens")
                .arg(&tokens),
        );
        let authorization = format!("Bearer {TOKEN}");
        let send = |path: &str, body: &str| {
            post(program.address, path, &[JSON, ("authorization", &authorization)], body)
        };
        let plain = body(&[plain(SECRET)]).to_string();
        let sealed = send("/secrets/encode", &plain);
        assert_eq!(sealed.status, 200);
        assert_eq!(send("/secrets/decode", &sealed.text()).payloads(), [self::plain(SECRET)]);
        // Whatever else is done with it.
        let secret = STANDARD.encode(SECRET);
        for body in [
            SECRET,
            &format!("\"{SECRET}\""),
            &format!(r#"{{"{SECRET}":"{secret}"}}"#),
            &format!(r#"{{"payloads":"{secret}"}}"#),
            &format!(r#"{{"payloads":[{{"data":"{secret}!"}}]}}"#),
            &format!(r#"{{"payloads":[{{"data":"{SECRET}"}}]}}"#),
            &format!(r#"{{"payloads":[{{"{SECRET}":1}}]}}"#),
            &plain[..plain.len() - 4],
            &plain.replace(':', "?"),
            &sealed.text().replace("YmluYXJ5", "YmluYXJ6"),
            &sealed.text().replacen("data\":\"", "data\":\"AAAA", 1),
        ] {
            for path in ["/encode", "/decode"] {
                send(path, body);
            }
        }
        post(
            program.address,
            "/decode",
            &[JSON, ("authorization", &format!("Basic {TOKEN}"))],
            &plain,
        );
        post(
            program.address,
            "/decode",
            &[JSON, ("authorization", &format!("Bearer x{TOKEN}"))],
            &plain,
        );
        post(program.address, "/decode", &[("content-type", "text/plain")], &plain);
        // A token file that is broken in the worst way.
        replace(&tokens, format!("{TOKEN} {TOKEN}x\n"));
        wait_until("the broken file is noticed", || {
            let page = get(program.address, "/metrics").text();
            page.contains("codec_server_reloads_total{result=\"failed\"} 1")
        });
        replace(&tokens, format!("{TOKEN}\n"));
        let sealed = sealed.payloads().remove(0);
        let (code, log) = program.stop(Signal::TERM);
        assert_eq!(code, Some(0));
        // That it logs at all, and says whose request it was.
        for expected in ["transformed", "refused", "token of line 1", "tokens changed"] {
            assert!(log.contains(expected), "{expected} is not in the log:\n{log}");
        }
        let mut forbidden =
            vec![KEY.to_owned(), KEY[4..20].to_owned(), TOKEN.to_owned(), SECRET.to_owned()];
        forbidden.extend(alignments(SECRET.as_bytes()));
        forbidden.extend(alignments(&sealed.data));
        forbidden.push(format!("{:?}", &sealed.data[..8]).trim_matches(['[', ']']).to_owned());
        for forbidden in forbidden {
            assert!(!log.contains(&forbidden), "{forbidden} is in the log:\n{log}");
        }
    }
}

/// How base64 shows these bytes in the middle of others.
fn alignments(bytes: &[u8]) -> Vec<String> {
    (0..3).map(|skip| STANDARD.encode(&bytes[skip..][..(bytes.len() - 3) / 3 * 3])).collect()
}

#[test]
fn what_can_not_be_right_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = write(folder.path(), "tokens", TOKEN);
    let tokens = tokens.to_str().unwrap();
    let public = ["--address", "0.0.0.0:0", "--behind-tls-proxy", "--tokens", tokens];
    let keys = [("CODEC_KEYS", format!("one={KEY}"))];
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let missing = ["--jwks", "/nowhere.json", "--jwt-issuer", "x", "--jwt-audience", "x"];
    for (flags, variables, code, expected) in [
        (&["--address", "0.0.0.0:0"][..], &keys[..], 2, "add --tokens or --jwks"),
        (&["--address", "0.0.0.0:0", "--tokens", tokens], &keys, 2, "--behind-tls-proxy"),
        (&public, &[], 2, "which is public"),
        (
            &public,
            &[("CODEC_KEYS", "mine=dGVzdC1rZXktdGVzdC1rZXktdGVzdC1rZXktdGVzdCE=".into())],
            2,
            "which is public",
        ),
        (&["--tokens", "/nowhere"], &[], 2, "can't read the file of tokens /nowhere"),
        (&[], &[("CODEC_KEYS", "x".into())], 2, "the data keys can't be used"),
        (&[], &[("RUST_LOG", "=x=".into())], 2, "RUST_LOG"),
        (&[], &[("CODEC_ACTIVE_KEY", "mine".into())], 2, "there are no keys"),
        (&["--address", &taken], &[], 3, "choose another --address"),
        (&["--address", "localhost:8081"], &[], 2, "such as 127.0.0.1:8081"),
        (&missing, &[], 3, "can't get the key set from /nowhere.json"),
        (
            &["--tls-cert", "/nowhere", "--tls-key", "/nowhere"],
            &[],
            2,
            "can't read the certificate",
        ),
    ] {
        let variables = variables.iter().map(|(name, value)| (name, value));
        let output = run(program().args(flags).envs(variables));
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {log}");
        assert!(log.contains(expected), "{flags:?}: {log}");
        assert!(!log.contains(TOKEN) && !log.contains(KEY), "{log}");
    }
}

#[test]
fn it_says_in_the_log_what_is_not_safe() {
    let (code, log) = Program::start(&mut program()).stop(Signal::INT);
    assert_eq!(code, Some(0));
    assert!(log.contains("public test key"), "{log}");
    assert!(log.contains("no authentication"), "{log}");
    assert!(log.contains("http://127.0.0.1:8233 http://localhost:8233"), "{log}");
    let moved = Program::start(program().env("STACK_TEMPORAL_UI_PORT", "18233"));
    let (_, log) = moved.stop(Signal::INT);
    assert!(log.contains("http://localhost:18233"), "{log}");
    let folder = tempfile::tempdir().unwrap();
    let tokens = write(folder.path(), "tokens", TOKEN);
    let mut safe = program();
    safe.env("CODEC_KEYS", format!("one={KEY}"))
        .arg("--behind-tls-proxy")
        .arg("--tokens")
        .arg(tokens);
    let (_, log) = Program::start(&mut safe).stop(Signal::TERM);
    assert!(log.contains("keys=one (encrypts with one)"), "{log}");
    assert!(log.contains("plain HTTP") && !log.contains("public test key"), "{log}");
    assert!(!log.contains("localhost:8233"), "{log}");
}

#[test]
fn keys_and_tokens_are_read_again_when_their_files_change() {
    let folder = tempfile::tempdir().unwrap();
    let keys = write(folder.path(), "keys", &format!("one={KEY}\n"));
    let tokens = write(folder.path(), "tokens", TOKEN);
    let program = Program::start(
        program()
            .env("CODEC_KEY_FILE", &keys)
            .args(["--reload-seconds", "1", "--key-lifetime-seconds", "1"])
            .arg("--tokens")
            .arg(&tokens),
    );
    let send = |token: &str, path: &str, text: String| {
        let authorization = format!("Bearer {token}");
        post(program.address, path, &[JSON, ("authorization", &authorization)], text)
    };
    let encode = |token: &str| send(token, "/encode", body(&[plain("Hello")]).to_string());
    let key_id = |token: &str| {
        let payload = encode(token).payloads().remove(0);
        String::from_utf8(payload.metadata["encryption-key-id"].clone()).unwrap()
    };
    let old = encode(TOKEN);
    assert_eq!(key_id(TOKEN), "one");
    // Rotation: a new key, and the old one to decrypt with.
    replace(&keys, format!("two={OTHER}\none={KEY}\n"));
    wait_until("the new key is used", || key_id(TOKEN) == "two");
    assert_eq!(send(TOKEN, "/decode", old.text()).payloads(), [plain("Hello")]);
    let new = encode(TOKEN).payloads().remove(0);
    let keyring = Keyring::parse(&format!("two={OTHER}"), None).unwrap();
    assert_eq!(open(keyring.keys(), new).unwrap(), plain("Hello"));
    // A broken file changes nothing.
    replace(&keys, "two=x");
    wait_until("it is noticed", || {
        let page = get(program.address, "/metrics").text();
        page.contains("codec_server_reloads_total{result=\"failed\"} 1")
    });
    assert_eq!(key_id(TOKEN), "two");
    // The end of the old key.
    replace(&keys, format!("two={OTHER}\n"));
    wait_until("the old key is gone", || send(TOKEN, "/decode", old.text()).status == 400);
    let token = TOKEN.to_uppercase();
    replace(&tokens, &token);
    wait_until("the new token is known", || encode(&token).status == 200);
    assert_eq!(encode(TOKEN).status, 401);
    let (_, log) = program.stop(Signal::TERM);
    assert!(log.contains("data keys changed: one, two (encrypts with two)"), "{log}");
    assert!(log.contains("stay in use"), "{log}");
    // The reason and the key's id are in the log, and were not in the answer.
    assert!(log.contains("key id \"one\"") && log.contains("add that key"), "{log}");
}

#[test]
fn keys_are_rotated_while_requests_are_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let entry = |number: u8| format!("key-{number}={}\n", STANDARD.encode([number; 32]));
    let keys = write(folder.path(), "keys", &entry(0));
    let program = Program::start(program().env("CODEC_KEY_FILE", &keys).args([
        "--reload-seconds",
        "1",
        "--key-lifetime-seconds",
        "1",
    ]));
    let address = program.address;
    let send = |path: &str, text: String| post(address, path, &[JSON], text);
    let (stop, active) = (AtomicBool::new(false), Mutex::new(String::new()));
    let client = || {
        let mut answered = 0;
        while !stop.load(Relaxed) {
            let encrypted = send("/encode", body(&[plain("Hello")]).to_string());
            let payload = encrypted.payloads().remove(0);
            assert_eq!(send("/decode", encrypted.text()).payloads(), [plain("Hello")]);
            let id = String::from_utf8(payload.metadata["encryption-key-id"].clone()).unwrap();
            *active.lock().unwrap() = id;
            answered += 1;
        }
        answered
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        let rotate = || {
            for newest in 1..=3 {
                // The first is active; the others decrypt.
                replace(&keys, (0..=newest).rev().map(entry).collect::<String>());
                let wanted = format!("key-{newest}");
                wait_until("the new key is used", || *active.lock().unwrap() == wanted);
            }
        };
        let rotated = panic::catch_unwind(panic::AssertUnwindSafe(rotate));
        stop.store(true, Relaxed);
        for client in clients {
            assert!(client.join().unwrap() > 10);
        }
        rotated.unwrap();
    });
}

#[test]
fn help_goes_to_stdout() {
    let output = program().arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("--behind-tls-proxy") && help.contains("Exit codes"), "{help}");
}
