//! Temporal's other SDKs, each with a codec of its own in the same format: what one side encrypts, the other
//! decrypts. The programs are in `tests/peers`.

use std::{collections::BTreeSet, env, fs, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{ENCODING, ENCRYPTED, KEY_ID, Keyring, Payload, Stalls, open};
use greeting::{
    args::{LoadArgs, defaults},
    connection::{Server, ServerArgs},
    load::{self, Load},
    workflows::{ACTIVITIES, ComposeGreetingInput, FAILS_ON_PURPOSE, Failing, GreetingInput},
};
use serde_json::Value;
use solutions::Step;
use stack::services::Asker;
use temporalio_client::{Client, UntypedWorkflow};
use temporalio_common::protos::temporal::api::enums::v1::EventType;

use crate::{
    codec_server::codec_server,
    support::{PATIENCE, ROOT, Stage, Worker, free_port, free_ports, program, stderr, stdout},
};

const NAMES: [&str; 3] = ["World", "Žofie 王小明 🦀", ""];
/// The length of another name, in bytes.
const LONG: usize = 1 << 20;
/// The id of the public test key, and its bytes, as Temporal's samples have them.
const TEST_KEY: (&str, &[u8]) = ("test-key-id", b"test-key-test-key-test-key-test!");

#[test]
#[ignore = "needs Python with recipes/python/requirements.txt: RECIPES_PYTHON names its interpreter"]
fn python_reads_what_rust_encrypts_and_rust_what_python_does() {
    let python = env::var("RECIPES_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    peer(|| {
        let mut command = program(&python);
        command.arg("-B").arg(Path::new(ROOT).join("tests/peers/python/peer.py"));
        command
    });
}

#[test]
#[ignore = "needs Go 1.26"]
fn go_reads_what_rust_encrypts_and_rust_what_go_does() {
    let folder = tempfile::tempdir().unwrap();
    let built = folder.path().join("peer");
    let mut go = program("go");
    go.arg("build").arg("-o").arg(&built).current_dir(Path::new(ROOT).join("tests/peers/go"));
    let output = go.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    peer(|| program(built.to_str().unwrap()));
}

/// The versions that the page names are those that run.
#[test]
fn the_page_names_the_versions() {
    let read = |file: &str| fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let page = read("docs/codec-server.md");
    let python = read("recipes/python/requirements.txt");
    let sdk = python.lines().find_map(|line| line.strip_prefix("temporalio==")).unwrap();
    assert!(page.contains(&format!("temporalio {sdk}")), "{sdk}");
    let go = read("tests/peers/go/go.mod");
    let sdk = go.lines().find_map(|line| line.trim().strip_prefix("go.temporal.io/sdk ")).unwrap();
    assert!(page.contains(&format!("go.temporal.io/sdk {sdk}")), "{sdk}");
}

/// Runs each subcommand of a peer, and checks what the server stores of the workflows.
fn peer(command: impl Fn() -> Command) {
    let stage = Stage::new();
    let client = client(&stage);
    let worker = stage.worker("worker", 3, &["--task-queue", "ours"]);
    let run = |words: &[&str]| {
        let mut command = command();
        command.arg(words[0]).args([&stage.address(), "ours"]).args(&words[1..]);
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (said, log) = (stdout(&output), stderr(&output));
        assert!(output.status.success(), "{words:?}: {said}{log}{}", worker.log());
        // The SDK for Python writes its log to stdout, too.
        let last = said.lines().next_back().unwrap_or_else(|| panic!("{words:?}: {log}"));
        let ids: Vec<String> = serde_json::from_str(last).unwrap();
        greeted(ids.iter().filter_map(|id| history(&stage, &client, id).check(id)));
    };

    // Their client, our worker; with their own codec, then with our codec server's.
    run(&["client"]);
    let port = free_port();
    let keys = format!("{}={}", TEST_KEY.0, STANDARD.encode(TEST_KEY.1));
    let server = codec_server(port, &keys, &free_ports());
    let url = format!("http://127.0.0.1:{port}");
    run(&["remote", &url]);
    let metrics = Asker::default().page(&format!("{url}/metrics")).unwrap();
    // The inputs of five workflows.
    assert!(metrics.contains("codec_server_payloads_total{route=\"encode\"} 5\n"), "{metrics}");
    drop((worker, server));

    // Our client, their worker.
    let mut command = command();
    command.args(["worker", &stage.address(), "theirs"]);
    let worker = Worker::start(command, stage.folder.path(), "theirs");
    let mut names = Vec::new();
    for (number, name) in NAMES.iter().enumerate() {
        let prefix = format!("starter-{number}");
        let words = ["--name", name, "--task-queue", "theirs", "--id-prefix", &prefix];
        let load = ["--workflows", "2", "--activities", "2", "--activity-seconds", "0.1"];
        let mut starter = stage.starter(&words);
        let output = starter.args(load).args(["--timeout", "120"]).output().unwrap();
        let (said, log) = (stdout(&output), stderr(&output));
        assert!(said.contains("2 workflows started, 2 completed"), "{said}{log}{}", worker.log());
        let ids = [0, 1].map(|number| format!("{prefix}-{number}"));
        names.extend(ids.iter().filter_map(|id| history(&stage, &client, id).check(id)));
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
        names.extend(ids.filter_map(|id| history(&stage, &client, &id).check(&id)));
    }
    greeted(names.into_iter());
}

/// Our client, with the starter's codec and its key.
fn client(stage: &Stage) -> Client {
    let args = ServerArgs { address: Some(stage.address()), ..ServerArgs::default() };
    let server = Server::local(&args).unwrap();
    let codec = Step::Async.codec(server.key_service(Stalls::never()).unwrap());
    stage.runtime.block_on(server.connect(codec, None)).unwrap()
}

/// All the names were greeted, and no others.
fn greeted(names: impl Iterator<Item = String>) {
    let names: BTreeSet<_> = names.collect();
    let long = "x".repeat(LONG);
    assert!(names == NAMES.into_iter().chain([&*long]).map(str::to_owned).collect());
}

/// What the server stores of a workflow, decrypted: each payload with the type of its event.
struct History(Vec<(EventType, Value)>);

/// Checks that every payload is encrypted with the test key, and that nothing else shows what the workflow handles.
fn history(stage: &Stage, client: &Client, id: &str) -> History {
    let events = stage.runtime.block_on(async {
        let handle = client.get_workflow_handle::<UntypedWorkflow>(id);
        handle.fetch_history(Default::default()).into_events().await.unwrap()
    });
    let keyring = Keyring::test_key();
    let mut held = Vec::new();
    for event in events {
        let (mut payloads, mut texts) = (Vec::new(), Vec::new());
        visit(&serde_json::to_value(&event).unwrap(), &mut payloads, &mut texts);
        for payload in payloads {
            let what = format!("{id}, event {}", event.event_id);
            assert_eq!(
                payload.metadata.get(ENCODING).map(Vec::as_slice),
                Some(ENCRYPTED),
                "{what}"
            );
            let key = payload.metadata.get(KEY_ID).map(Vec::as_slice);
            assert_eq!(key, Some(TEST_KEY.0.as_bytes()), "{what}");
            let opened = open(keyring.keys(), payload).unwrap();
            held.push((event.event_type(), serde_json::from_slice(&opened.data).unwrap()));
        }
        for text in texts {
            for plain in ["Hello", "Greeted", "World", "Žofie", "xxxxxxxx", FAILS_ON_PURPOSE] {
                assert!(!text.contains(plain), "{id}, event {}: {text}", event.event_id);
            }
        }
    }
    History(held)
}

/// All payloads, and all texts outside of them.
fn visit(value: &Value, payloads: &mut Vec<Payload>, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|value| visit(value, payloads, texts)),
        Value::Object(fields) if fields.contains_key("metadata") && fields.contains_key("data") => {
            payloads.push(serde_json::from_value(value.clone()).unwrap());
        }
        Value::Object(fields) => fields.values().for_each(|value| visit(value, payloads, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl History {
    fn of(&self, event_type: EventType) -> Vec<Value> {
        let events = self.0.iter().filter(|(found, _)| *found == event_type);
        events.map(|(_, value)| value.clone()).collect()
    }

    /// Inputs, results and failures are right. Returns the name, if the workflow completed.
    fn check(&self, id: &str) -> Option<String> {
        let started = self.of(EventType::WorkflowExecutionStarted);
        let input: GreetingInput = serde_json::from_value(started[0].clone()).unwrap();
        let scheduled = self.of(EventType::ActivityTaskScheduled).into_iter();
        let scheduled: Vec<ComposeGreetingInput> =
            scheduled.map(|given| serde_json::from_value(given).unwrap()).collect();
        assert!(!scheduled.is_empty() && scheduled.iter().all(|given| *given == input.activity()));

        let is_failure = |event_type| {
            let found = self.of(event_type);
            let message = found.iter().any(|value| value["message"] == FAILS_ON_PURPOSE);
            message && found.contains(&input.activity().details().into())
        };
        if input.failing == Some(Failing::ForGood) {
            assert!(is_failure(EventType::ActivityTaskFailed), "{id}");
            assert!(is_failure(EventType::WorkflowExecutionFailed), "{id}");
            return None;
        }
        // The attempt that failed is part of the next one's event.
        let is_retried = input.failing == Some(Failing::Once);
        assert_eq!(is_failure(EventType::ActivityTaskStarted), is_retried, "{id}");

        let count = input.activities.unwrap_or(ACTIVITIES) as usize;
        let results = self.of(EventType::ActivityTaskCompleted);
        assert!(results == vec![Value::from(input.activity().result()); count], "{id}");
        let results = self.of(EventType::WorkflowExecutionCompleted);
        assert!(results == [Value::from(input.result())], "{id}");
        Some(input.name)
    }
}
