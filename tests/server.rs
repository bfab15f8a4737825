//! `workshop server`: a Temporal server for those who have nothing else of the stack.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

mod common;

use std::{fs::File, process::Command};

use common::{Group, free_ports, json, program, stderr, temporal_cli, wait_for};
use rustix::process::Signal;
use stack::{
    services::{Asker, Service},
    settings::{self, Settings},
};

#[test]
fn it_serves_where_worker_and_starter_look_until_it_is_interrupted() {
    temporal_cli();
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports();
    let mut settings = Settings::from_env().unwrap();
    for (name, port) in &ports {
        settings.set(name, port.to_string());
    }
    let here = |path: &str| -> Command {
        let mut command = program(path);
        command.envs(settings.variables());
        command
    };
    let workshop = env!("CARGO_BIN_EXE_workshop");

    let mut server = here(workshop);
    server.arg("server").stdout(File::create(folder.path().join("server.log")).unwrap());
    let mut server = Group::start(server);
    let asker = Asker::default();
    wait_for("the server", || asker.is_well(Service::Temporal, &settings).then_some(()));

    // Who is not told another address comes here.
    let output = here(workshop).args(["doctor", "--json"]).output().unwrap();
    let checks = json(&output);
    let found = checks.as_array().unwrap().iter().find(|check| check["what"] == "server").unwrap();
    assert_eq!(found["state"], "ok", "{found}");

    let second = here(workshop).arg("server").output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let port = settings.port(settings::TEMPORAL_PORT);
    let said = stderr(&second);
    assert!(said.contains(&format!("port {port} is taken by temporal")), "{said}");
    assert!(said.contains("STACK_TEMPORAL_UI_PORT="), "{said}");

    server.signal(Signal::INT);
    server.wait_until_gone();
}
