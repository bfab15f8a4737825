//! The codec server behind the dev server's own Web UI, in a real browser.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use cli_kit::settings::{self, Settings};
use codec_kit::{KeyService, Keyring};
use greeting::{
    connection::{Server, ServerArgs},
    workflows::{GreetingInput, TASK_QUEUE},
};
use solutions::Step;
use stack::services::{Asker, Service};
use tokio::runtime::Runtime;

use crate::{
    chromium::Chromium,
    peers::history::history,
    support::{
        Group, STARTER, WORKSHOP, free_port, free_ports, program, stderr, temporal, wait_for,
    },
};

/// A codec server for the Web UI of these settings, with those keys.
pub fn codec_server(port: u16, keys: &str, settings: &Settings) -> Group {
    // As attendees start it: cargo builds it where it is not built yet.
    let mut command = program(env!("CARGO"));
    command
        .args(["run", "--quiet", "--bin", "codec-server", "--", "--address"])
        .arg(format!("127.0.0.1:{port}"))
        .env("CODEC_KEYS", keys)
        .envs(settings.variables())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut server = Group::start(&mut command);
    let mut lines = BufReader::new(server.stdout()).lines().map_while(Result::ok);
    let started = lines.any(|line| line.starts_with("codec server on http://"));
    assert!(started, "it did not start");
    let log = server.stderr();
    // What they write must not fill the pipes.
    thread::spawn(move || lines.count());
    thread::spawn(move || BufReader::new(log).lines().count());
    server
}

/// A Temporal server whose Web UI uses a codec server at a free port, and a worker with key 1.
struct Site {
    settings: Settings,
    codec_port: u16,
    _server: Group,
    _worker: Group,
}

/// The key of that number, as `CODEC_KEYS` has it.
fn keys(number: u8) -> String {
    format!("ours={}", STANDARD.encode([number; 32]))
}

impl Site {
    fn new() -> Self {
        temporal();
        let (settings, codec_port) = (free_ports(), free_port());
        let mut server = program(WORKSHOP);
        server
            .args(["server", "--ui-codec-endpoint", &format!("http://127.0.0.1:{codec_port}")])
            .envs(settings.variables())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Group::start(&mut server);
        let asker = Asker::default();
        wait_for("the server", || asker.is_healthy(Service::Temporal, &settings).then_some(()));
        let words = ["worker", "--solution", "3", "--metrics-address", "127.0.0.1:0"];
        let mut worker = with_keys(WORKSHOP, &words, &settings);
        let worker = Group::start(worker.stdout(Stdio::null()).stderr(Stdio::null()));
        Self { settings, codec_port, _server: server, _worker: worker }
    }

    fn codec_server(&self, key: u8) -> Group {
        codec_server(self.codec_port, &keys(key), &self.settings)
    }

    /// A page of the Web UI.
    fn page(&self, path: &str) -> String {
        self.settings
            .url(settings::TEMPORAL_UI_PORT, &format!("/namespaces/default/workflows{path}"))
    }
}

/// One of our programs, for that server and with key 1.
fn with_keys(path: &str, words: &[&str], settings: &Settings) -> Command {
    let address = settings.address(settings::TEMPORAL_PORT).to_string();
    let mut command = program(path);
    command.args(words).args(["--address", &address]).env("CODEC_KEYS", keys(1));
    command
}

#[test]
#[ignore = "needs Chromium"]
fn the_web_ui_shows_what_the_worker_encrypted_and_with_other_keys_it_does_not() {
    let site = Site::new();
    let words = ["--workflows", "1", "--activities", "1", "--activity-seconds", "0.1"];
    let started = with_keys(STARTER, &words, &site.settings).output().unwrap();
    assert!(started.status.success(), "{}", stderr(&started));

    let page = site.page("/hello-activity-workflow-id-0");
    let sealed = "binary/encrypted";
    for (key, is_readable) in [(1, true), (2, false)] {
        let _codec_server = site.codec_server(key);
        let mut browser = Chromium::start();
        browser.open(&page);
        let shown = if is_readable { "Greeted World" } else { "Codec Server could not connect" };
        wait_for(shown, || browser.text("body").contains(shown).then_some(()));
        let text = browser.text("body");
        assert_eq!(text.contains("World"), is_readable, "{text}");
        assert!(!text.contains(sealed), "{text}");
    }
}

#[test]
#[ignore = "needs Chromium"]
fn a_workflow_that_is_started_in_the_web_ui_has_an_encrypted_input() {
    const ID: &str = "from-the-web-ui";
    const NAME: &str = "Žofie 王小明 🦀";
    let site = Site::new();
    let _codec_server = site.codec_server(1);
    let input = GreetingInput {
        id: "0".to_owned(),
        name: NAME.to_owned(),
        activities: Some(1),
        activity_seconds: Some(0.1),
        failing: None,
    };
    let mut browser = Chromium::start();
    browser.open(&site.page("/start-workflow"));
    for (field, text) in [
        ("#workflowId", ID),
        ("#taskQueue", TASK_QUEUE),
        ("#workflowType", "GreetingWorkflow"),
        // An editor, which is no field of a form.
        (".cm-content[contenteditable=true]", &serde_json::to_string(&input).unwrap()),
    ] {
        browser.type_text(field, text);
    }
    browser.click("[data-testid=start-workflow-button]");
    let codec_server = format!("http://127.0.0.1:{}", site.codec_port);
    let metrics = || Asker::default().page(&format!("{codec_server}/metrics")).unwrap();
    wait_for("the input to be encrypted", || {
        metrics().contains("codec_server_payloads_total{route=\"encode\"} 1\n").then_some(())
    });
    // In the message that it was started.
    browser.click(&format!("a[href*=\"/workflows/{ID}/\"]"));
    browser.await_text("body", &input.result());
    let asked: Vec<_> =
        browser.asked.iter().filter_map(|url| url.strip_prefix(&codec_server)).collect();
    assert!(asked.iter().any(|path| path.starts_with("/encode")), "{asked:?}");
    // No other request but the one for the input, and the browser's question whether it may send it.
    let page = metrics();
    let requests = page.lines().filter_map(|line| {
        line.strip_prefix("codec_server_requests_total{code=")?.split_once(",route=\"encode\"} ")
    });
    let requests: Vec<_> = requests.collect();
    assert_eq!(requests, [("\"200\"", "1"), ("\"204\"", "1")], "{page}");

    let keyring = Keyring::parse(&keys(1), None).unwrap();
    let address = Some(site.settings.address(settings::TEMPORAL_PORT).to_string());
    let server = Server::local(&ServerArgs { address, ..ServerArgs::default() }).unwrap();
    let runtime = Runtime::new().unwrap();
    let codec = Step::Async.codec(KeyService::new(keyring.clone()));
    let client = runtime.block_on(server.connect(codec, None)).unwrap();
    // All that the server stores is encrypted, and it is what was typed.
    let name = history(&runtime, &client, &keyring, ID).check(ID);
    assert_eq!(name.as_deref(), Some(NAME));
}
