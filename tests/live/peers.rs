//! Temporal's other SDKs, each with a codec of its own in the same format: what one side encrypts, the other
//! decrypts. The programs are in `tests/peers`.

mod headers;
pub mod history;
mod messages;

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use codec_kit::{
    AnyCodec, CodecFuture, ENCODING, KeyService, Keyring, Payload, PayloadCodec,
    SerializationContextData, codec_future, open_all, seal_all,
};
use greeting::{
    args::{LoadArgs, defaults},
    load::{self, Load},
    workflows::FAILS_ON_PURPOSE,
};
use solutions::Step;
use stack::services::Asker;
use tokio::task::spawn_blocking;

use crate::{
    codec_server::codec_server,
    peers::{
        history::history,
        messages::{Headers, MessagesWorkflow},
    },
    support::{PATIENCE, ROOT, Stage, Worker, free_port, free_ports, program, stderr, stdout},
    worker::beside_worker,
};

const NAMES: [&str; 3] = ["World", "Žofie 王小明 🦀", ""];
/// The length of another name, in bytes.
const LONG: usize = 1 << 20;
/// A key that is not the public test key, with an id that is not ASCII.
const KEYS: &str = "ключ-🔑=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

#[test]
#[ignore = "needs Python with recipes/python/requirements.txt: RECIPES_PYTHON names its interpreter"]
fn python_reads_what_rust_encrypts_and_rust_what_python_does() {
    let python = env::var("RECIPES_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    // A setting of Python's, which is off by default.
    peer(Compresses::No, Headers::Encrypted, || {
        let mut command = program(&python);
        command.arg("-B").arg(Path::new(ROOT).join("tests/peers/python/peer.py"));
        command
    });
}

#[test]
#[ignore = "needs Go 1.26"]
fn go_reads_what_rust_encrypts_and_rust_what_go_does() {
    let folder = tempfile::tempdir().unwrap();
    let peer_path = folder.path().join("peer");
    let sources = Path::new(ROOT).join("tests/peers/go");
    built(program("go").arg("build").arg("-o").arg(&peer_path).current_dir(sources));
    peer(Compresses::Yes, Headers::Plain, || program(peer_path.to_str().unwrap()));
}

/// No work is lost: the worker tries again until a codec that decodes this is deployed.
#[test]
fn the_worker_log_names_an_encoding_that_it_cannot_read() {
    let stage = Stage::new();
    let worker = stage.worker("worker", 3, &["--task-queue", "ours"]);
    let client = stage.client(AnyCodec::new(Snappy));
    let numbers = LoadArgs { workflows: 1, activities: 1, ..defaults() };
    let [task_queue, id_prefix, name] = ["ours", "snappy", "World"].map(str::to_owned);
    let load = Load { numbers, task_queue, id_prefix, name, failing: 0 };
    let logged = async {
        // What the SDK says, and what the codec does.
        while !["Failed to create workflow execution", "binary/snappy"]
            .iter()
            .all(|words| worker.log().contains(words))
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let limit = async { tokio::time::timeout(PATIENCE, logged).await.unwrap_or_default() };
    let outcome = stage.runtime.block_on(load::run(&client, &load, limit, |_| {}));
    assert!(outcome.completed.is_empty(), "{outcome:#?}");
    let log = worker.log();
    let lines = log.lines().filter(|line| line.contains("binary/snappy"));
    assert_eq!(lines.count(), 1, "{log}");
}

/// Encrypts as the worker does, payloads with an encoding that the worker does not know.
struct Snappy;

impl PayloadCodec for Snappy {
    fn encode(&self, _: &SerializationContextData, mut payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move {
            for payload in &mut payloads {
                payload.metadata.insert(ENCODING.to_owned(), b"binary/snappy".to_vec());
            }
            seal_all(Keyring::test_key().active(), payloads)
        })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move { open_all(Keyring::test_key().keys(), payloads) })
    }
}

#[test]
#[ignore = "needs Node.js with npm, and the packages of tests/peers/typescript"]
fn typescript_reads_what_rust_encrypts_and_rust_what_typescript_does() {
    let folder = folder("typescript");
    fs::create_dir_all(&folder).unwrap();
    for file in Path::new(ROOT).join("tests/peers/typescript").read_dir().unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
    }
    // What is installed already stays.
    built(program("npm").args(["install", "--silent", "--prefer-offline"]).current_dir(&folder));
    built(program("npm").args(["run", "--silent", "build"]).current_dir(&folder));
    peer(Compresses::No, Headers::Plain, || {
        let mut command = program("node");
        command.arg(folder.join("lib/peer.js"));
        command
    });
}

#[test]
#[ignore = "needs Java 17 with Maven, and the packages of tests/peers/java"]
fn java_reads_what_rust_encrypts_and_rust_what_java_does() {
    let sources = Path::new(ROOT).join("tests/peers/java");
    let folder = folder("java");
    let mut maven = program("mvn");
    maven.args(["--quiet", "--batch-mode"]).arg(format!("-Dbuilt={}", folder.display()));
    built(maven.arg("compile").current_dir(sources));
    let libraries = fs::read_to_string(folder.join("classpath")).unwrap();
    let libraries = env::split_paths(libraries.trim());
    let classpath = env::join_paths(libraries.chain([folder.join("classes")])).unwrap();
    peer(Compresses::No, Headers::Plain, || {
        let mut command = program("java");
        command.arg("-cp").arg(&classpath).arg("Peer");
        command
    });
}

/// Where a peer is built: in the target folder, so that the repository has no packages of npm in it.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers").join(name)
}

fn built(build: &mut Command) {
    let output = build.output().unwrap_or_else(|error| panic!("{build:?}: {error}"));
    // TypeScript's compiler reports errors on stdout.
    assert!(output.status.success(), "{build:?}: {}{}", stdout(&output), stderr(&output));
}

/// The versions that the page names are those that run.
#[test]
fn the_page_names_the_versions() {
    let read = |file: &str| fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let page = read("docs/codec-server.md");
    // What stands before a version in the file, and on the page.
    for (file, before, name) in [
        ("recipes/python/requirements.txt", "temporalio==", "temporalio "),
        ("tests/peers/go/go.mod", "go.temporal.io/sdk ", "go.temporal.io/sdk "),
        (
            "tests/peers/typescript/package.json",
            "\"@temporalio/worker\": \"",
            "@temporalio/worker ",
        ),
        (
            "tests/peers/java/pom.xml",
            "<artifactId>temporal-sdk</artifactId>\n      <version>",
            "io.temporal:temporal-sdk ",
        ),
    ] {
        let text = read(file);
        let (_, rest) = text.split_once(before).unwrap();
        let version = rest.split(['"', '<', '\n']).next().unwrap();
        assert!(page.contains(&format!("{name}{version} |")), "{name}{version}");
    }
}

/// Whether a peer compresses before it encrypts.
#[derive(Clone, Copy, PartialEq)]
enum Compresses {
    Yes,
    No,
}

/// Runs each subcommand of a peer, and checks what the server stores of the workflows.
fn peer(compresses: Compresses, headers: Headers, command: impl Fn() -> Command) {
    let stage = Stage::new();
    let keyring = Keyring::parse(KEYS, None).unwrap();
    let client = stage.client(Step::Async.codec(KeyService::new(keyring.clone())));
    let history = |id: &str| history(&stage.runtime, &client, &keyring, id);
    let check_greetings =
        |ids: &[String]| greeted(ids.iter().filter_map(|id| history(id).check(id)));
    let worker = stage.worker_with("worker", 3, &["--task-queue", "ours"], &[("CODEC_KEYS", KEYS)]);
    let subcommand = |words: &[&str], queue: &str| {
        let mut command = command();
        command.arg(words[0]).args([&stage.address(), queue]).args(&words[1..]);
        // Java reads variables in the character set of the locale.
        command.env("CODEC_KEYS", KEYS).env("LC_ALL", "C.UTF-8");
        command
    };

    // Their client, our worker; with their own codec, then with our codec server's.
    check_greetings(&ids(&mut subcommand(&["client"], "ours"), || worker.log()));
    let long = history("client-3").input().2;
    assert_eq!(long < LONG, compresses == Compresses::Yes, "{long} bytes are stored");
    let port = free_port();
    let server = codec_server(port, KEYS, &free_ports());
    let url = format!("http://127.0.0.1:{port}");
    check_greetings(&ids(&mut subcommand(&["remote", &url], "ours"), || worker.log()));
    let metrics = Asker::default().page(&format!("{url}/metrics")).unwrap();
    // The inputs of five workflows.
    assert!(metrics.contains("codec_server_payloads_total{route=\"encode\"} 5\n"), "{metrics}");
    let mut sending = subcommand(&["messages", &url], "messages");
    let sent = async { spawn_blocking(move || ids(&mut sending, String::new)).await.unwrap() };
    let sent = beside_worker::<MessagesWorkflow, _>(client.clone(), "messages", sent);
    for id in stage.runtime.block_on(sent) {
        messages::check(&history(&id), headers);
    }
    drop((worker, server));

    // Our client, their worker.
    let worker = Worker::start(subcommand(&["worker"], "theirs"), stage.folder.path(), "theirs");
    let mut names = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        let prefix = format!("starter-{number}");
        let words = ["--name", name, "--task-queue", "theirs", "--id-prefix", &prefix];
        let load = ["--workflows", "2", "--activities", "2", "--activity-seconds", "0.1"];
        let mut starter = stage.starter(&words);
        starter.env("CODEC_KEYS", KEYS);
        let output = starter.args(load).args(["--timeout", "120"]).output().unwrap();
        let (said, log) = (stdout(&output), stderr(&output));
        assert!(said.contains("2 workflows started, 2 completed"), "{said}{log}{}", worker.log());
        let ids = [0, 1].map(|number| format!("{prefix}-{number}"));
        names.extend(ids.iter().filter_map(|id| history(id).check(id)));
    }
    // No command line takes the long name.
    let long = "x".repeat(LONG);
    // Of the last two, one fails, and the other one's activities are retried. With a long name, the
    // server would not store the details of the failed attempt.
    for (id_prefix, name, workflows, failing) in
        [("long", &*long, 1, 0), ("failing", "World", 2, 1)]
    {
        let numbers = LoadArgs { workflows, activities: 2, activity_seconds: 0.1, ..defaults() };
        let [task_queue, id_prefix, name] = ["theirs", id_prefix, name].map(str::to_owned);
        let load = Load { numbers, task_queue, id_prefix, name, failing };
        let limit = async { tokio::time::sleep(PATIENCE).await };
        let outcome = load::run(&client, &load, limit, |_| {});
        let outcome = stage.runtime.block_on(outcome);
        let reasons: Vec<_> = outcome.failed.iter().map(|failed| &failed.reason).collect();
        assert_eq!(
            (outcome.completed.len(), reasons.len()),
            (1, failing as usize),
            "{outcome:#?}{}",
            worker.log()
        );
        assert!(reasons.iter().all(|reason| reason.contains(FAILS_ON_PURPOSE)), "{reasons:?}");
        let ids = load.inputs().map(|(id, _)| id);
        names.extend(ids.filter_map(|id| history(&id).check(&id)));
    }
    greeted(names.into_iter());
    stage.runtime.block_on(async {
        let sent = messages::send(&client, &keyring, "theirs", "messages-of-ours", headers);
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        assert!(sent.is_ok(), "{}", worker.log());
    });
    messages::check(&history("messages-of-ours"), headers);
}

/// The ids of the workflows that a peer's client started: the last line that it prints.
fn ids(command: &mut Command, log: impl Fn() -> String) -> Vec<String> {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, errors) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{command:?}: {said}{errors}{}", log());
    // The SDK for Python writes its log to stdout, too.
    let last = said.lines().next_back().unwrap_or_else(|| panic!("{command:?}: {errors}"));
    serde_json::from_str(last).unwrap()
}

/// All the names were greeted, and no others.
fn greeted(names: impl Iterator<Item = String>) {
    let names: BTreeSet<_> = names.collect();
    let long = "x".repeat(LONG);
    assert!(names == NAMES.into_iter().chain([&*long]).map(str::to_owned).collect());
}
