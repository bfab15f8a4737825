//! `workshop server`: a Temporal server without the rest of the stack.

use std::{fs::File, process::Command};

use cli_kit::settings;
use rustix::process::Signal;
use stack::services::{Asker, Service};

use crate::support::{
    Group, WORKSHOP, free_port, free_ports, json, program, stderr, stdout, temporal, wait_for,
};

#[test]
fn it_serves_where_worker_and_starter_look_until_it_is_interrupted() {
    temporal();
    let folder = tempfile::tempdir().unwrap();
    let settings = free_ports();
    let here = |path: &str| -> Command {
        let mut command = program(path);
        command.envs(settings.variables());
        command
    };
    let workshop = WORKSHOP;

    let mut server = here(workshop);
    let file = |name| File::create(folder.path().join(name)).unwrap();
    let codec_server = "http://127.0.0.1:8081";
    server.args(["server", "--ui-codec-endpoint", codec_server]);
    server.stdout(file("server.log")).stderr(file("server.err"));
    let mut server = Group::start(&mut server);
    let asker = Asker::default();
    wait_for("the server", || asker.is_healthy(Service::Temporal, &settings).then_some(()));

    // Where the Web UI sends what it is to show.
    let ui = asker.page(&settings.url(settings::TEMPORAL_UI_PORT, "/api/v1/settings")).unwrap();
    assert!(ui.contains(codec_server), "{ui}");

    // A client without another address comes here.
    let output = here(workshop).args(["doctor", "--json"]).output().unwrap();
    let checks = json(&output);
    let found = checks.as_array().unwrap().iter().find(|check| check["what"] == "server").unwrap();
    assert_eq!(found["state"], "ok", "{found}");

    // Its ports are no faults.
    let ports: Vec<_> =
        checks.as_array().unwrap().iter().filter(|check| check["what"] == "ports").collect();
    assert!(ports.iter().all(|check| check["state"] != "wrong"), "{ports:#?}");
    let port = settings.port(settings::TEMPORAL_PORT);
    let seen = format!("a Temporal server is already running at 127.0.0.1:{port}, Web UI ");
    let its = ports.iter().find(|check| check["seen"].as_str().unwrap().starts_with(&seen));
    assert_eq!(its.unwrap_or_else(|| panic!("{ports:#?}"))["state"], "note");

    let second = here(workshop).arg("server").output().unwrap();
    assert_eq!(second.status.code(), Some(0), "{}", stderr(&second));
    let said = stdout(&second);
    assert!(said.contains(&format!("already running at 127.0.0.1:{port}, Web UI ")), "{said}");
    // A server that holds only one of its ports is still a fault.
    let mut other = here(workshop);
    let web_ui = free_port();
    other.arg("server").env("STACK_TEMPORAL_UI_PORT", web_ui.to_string());
    let other = other.output().unwrap();
    assert_eq!(other.status.code(), Some(3));
    let said = stderr(&other);
    assert!(said.contains(&format!("port {port} is taken by temporal")), "{said}");
    assert!(said.contains("STACK_TEMPORAL_PORT="), "{said}");

    // The normal way to stop it.
    server.signal(Signal::INT);
    assert_eq!(server.wait_until_gone().code(), Some(0));
    let said = std::fs::read_to_string(folder.path().join("server.err")).unwrap();
    // The dev server logs errors of its own while it starts.
    assert!(!said.lines().any(|line| line.starts_with("error")), "{said}");
}
