//! The codec server behind the dev server's own Web UI, in a real browser.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    thread,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use cli_kit::settings::{self, Settings};
use stack::services::{Asker, Service};

use crate::{
    chromium::Chromium,
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

#[test]
#[ignore = "needs Chromium"]
fn the_web_ui_shows_what_the_worker_encrypted_and_with_other_keys_it_does_not() {
    temporal();
    let (settings, port) = (free_ports(), free_port());
    let keys = |byte: u8| format!("ours={}", STANDARD.encode([byte; 32]));
    let mut server = program(WORKSHOP);
    server
        .args(["server", "--ui-codec-endpoint", &format!("http://127.0.0.1:{port}")])
        .envs(settings.variables())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _server = Group::start(&mut server);
    let asker = Asker::default();
    wait_for("the server", || asker.is_healthy(Service::Temporal, &settings).then_some(()));

    let address = settings.address(settings::TEMPORAL_PORT).to_string();
    let here = |path: &str, words: &[&str]| {
        let mut command = program(path);
        command.args(words).args(["--address", &address]).env("CODEC_KEYS", keys(1));
        command
    };
    let words = ["worker", "--solution", "3", "--metrics-address", "127.0.0.1:0"];
    let mut worker = here(WORKSHOP, &words);
    let _worker = Group::start(worker.stdout(Stdio::null()).stderr(Stdio::null()));
    let words = ["--workflows", "1", "--activities", "1", "--activity-seconds", "0.1"];
    let started = here(STARTER, &words).output().unwrap();
    assert!(started.status.success(), "{}", stderr(&started));

    let workflow = "/namespaces/default/workflows/hello-activity-workflow-id-0";
    let page = settings.url(settings::TEMPORAL_UI_PORT, workflow);
    let sealed = "binary/encrypted";
    for (byte, is_readable) in [(1, true), (2, false)] {
        let _codec_server = codec_server(port, &keys(byte), &settings);
        let mut browser = Chromium::start();
        browser.open(&page);
        let shown = if is_readable { "Greeted World" } else { "Codec Server could not connect" };
        wait_for(shown, || browser.text("body").contains(shown).then_some(()));
        let text = browser.text("body");
        assert_eq!(text.contains("World"), is_readable, "{text}");
        assert!(!text.contains(sealed), "{text}");
    }
}
