//! `workshop doctor`, and the commands of the texts.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    thread,
};

use serde_json::Value;

use crate::support::{
    Group, Stage, WORKSHOP, free_port, free_ports, json, program, stderr, stdout, typed, wait_for,
};

fn doctor(flags: &[&str]) -> std::process::Command {
    let mut command = program(WORKSHOP);
    command.arg("doctor").args(flags);
    command
}

fn check<'a>(checks: &'a Value, what: &str) -> Vec<&'a Value> {
    checks.as_array().unwrap().iter().filter(|check| check["what"] == what).collect()
}

#[test]
fn each_check_says_what_was_seen_and_what_is_wrong_says_what_to_do() {
    let output = doctor(&["--json"]).output().unwrap();
    let checks = json(&output);
    let mut what = BTreeSet::new();
    for check in checks.as_array().unwrap() {
        what.insert(check["what"].as_str().unwrap());
        assert!(!check["seen"].as_str().unwrap().is_empty(), "{check}");
        assert_eq!(check["what_to_do"].is_string(), check["state"] == "wrong", "{check}");
    }
    for expected in [
        "bash",
        "cargo",
        "cc",
        "clock",
        "codec-server",
        "disk",
        "git",
        "grafana",
        "key-service",
        "memory",
        "ports",
        "process-compose",
        "prometheus",
        "rustc",
        "scrape",
        "server",
        "temporal",
    ] {
        assert!(what.contains(expected), "{expected}: {what:?}");
    }
    let wrong = checks.as_array().unwrap().iter().any(|check| check["state"] == "wrong");
    assert_eq!(output.status.code(), Some(if wrong { 3 } else { 0 }), "{checks:#}");
    // The same as text.
    let text = stdout(&doctor(&[]).output().unwrap());
    assert!(text.lines().any(|line| line.starts_with("ok     rustc ")), "{text}");
}

#[test]
fn without_the_stack_a_machine_with_cargo_alone_is_well() {
    // Cargo's folder, and the linker: no service is on such a PATH.
    let cargo = PathBuf::from(env!("CARGO"));
    let linker = tempfile::tempdir().unwrap();
    let cc =
        stack::programs::on_path("cc", Path::new("/")).expect("a linker, which built this test");
    std::os::unix::fs::symlink(cc, linker.path().join("cc")).unwrap();
    let path = std::env::join_paths([cargo.parent().unwrap(), linker.path()]).unwrap();
    let output = doctor(&["--no-stack", "--json"])
        .env("PATH", path)
        .env("STACK_WORKER_METRICS_PORT", free_port().to_string())
        .env("STACK_STARTER_METRICS_PORT", free_port().to_string())
        .output()
        .unwrap();
    let checks = json(&output);
    // What other tests run beside it may have taken the memory.
    let wrong = checks.as_array().unwrap().iter().filter(|check| check["state"] == "wrong");
    let wrong: Vec<_> = wrong.filter(|check| check["what"] != "memory").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let lacks_memory = check(&checks, "memory").iter().any(|check| check["state"] == "wrong");
    assert_eq!(output.status.code(), Some(if lacks_memory { 3 } else { 0 }), "{}", stderr(&output));
    for of_the_stack in ["bash", "process-compose", "scrape"] {
        assert!(check(&checks, of_the_stack).is_empty(), "{checks:#}");
    }
    assert_eq!(check(&checks, "git")[0]["state"], "note", "{checks:#}");

    // Without a linker nothing can be built.
    let output = doctor(&["--no-stack", "--json"]).env("PATH", cargo.parent().unwrap()).output();
    let checks = json(&output.unwrap());
    let cc = check(&checks, "cc")[0];
    assert_eq!((&cc["state"], &cc["seen"]), (&"wrong".into(), &"cc is not on PATH".into()));
    assert!(cc["what_to_do"].as_str().unwrap().contains("build-essential"), "{cc}");
}

#[test]
fn a_port_that_is_taken_is_wrong() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    // Closed at once, or each question waits until the client's time is up.
    thread::spawn(move || taken.incoming().for_each(drop));
    for variable in ["STACK_PROMETHEUS_PORT", "STACK_WORKER_METRICS_PORT"] {
        let output = doctor(&["--json"]).env(variable, &port).output().unwrap();
        assert_eq!(output.status.code(), Some(3));
        let checks = json(&output);
        let ports = check(&checks, "ports");
        let wrong = ports.iter().find(|check| {
            check["seen"].as_str().unwrap().starts_with(&format!("port {port} is taken by "))
        });
        let what_to_do = wrong.unwrap_or_else(|| panic!("{checks:#}"))["what_to_do"].as_str();
        assert!(what_to_do.unwrap().contains(&format!("{variable}=")), "{what_to_do:?}");
    }
}

#[test]
fn a_server_that_was_named_must_answer_and_a_worker_is_recognised() {
    let output =
        doctor(&["--json", "--address", &format!("127.0.0.1:{}", free_port())]).output().unwrap();
    let checks = json(&output);
    assert_eq!(check(&checks, "server")[0]["state"], "wrong", "{checks:#}");

    let stage = Stage::new();
    let worker = stage.worker("worker", 3, &[]);
    let address = worker.address();
    worker.wait_for_metric("workshop_worker_start_time_seconds", 1.0);
    let output = doctor(&["--json", "--no-stack", "--address", &stage.address()])
        .env("STACK_WORKER_METRICS_PORT", address.port().to_string())
        .output()
        .unwrap();
    let checks = json(&output);
    assert_eq!(check(&checks, "server")[0]["state"], "ok", "{checks:#}");
    let ports = check(&checks, "ports");
    let serves = format!("a worker serves its metrics at http://{address}/metrics");
    assert!(ports.iter().any(|check| check["seen"] == serves), "{checks:#}");
}

/// The commands of docs/stack.md, typed as they stand there, through cargo's alias.
#[test]
#[ignore = "needs process-compose and prometheus"]
fn the_commands_of_the_texts_start_and_end_the_stack() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("exercises");
    let ports = free_ports();
    let typed = |command: &str| {
        let mut command = typed(command);
        command.current_dir(&here).envs(ports.variables());
        command
    };

    let page = fs::read_to_string(here.join("../docs/stack.md")).unwrap();
    let commands: Vec<_> = page
        .lines()
        .filter_map(|line| line.split(" #").next()?.trim().strip_prefix("cargo workshop stack"))
        .map(|flags| format!("cargo workshop stack{flags}"))
        .collect();
    assert!(commands.len() >= 2, "{commands:?}");
    for command in commands {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut child = typed(&command);
        child.stdout(log.reopen().unwrap()).stderr(log.reopen().unwrap());
        let mut running = Group::start(&mut child);
        let said = || fs::read_to_string(log.path()).unwrap();
        let up = wait_for("the stack to be up, or to say why not", || {
            let said = said();
            let up = said.contains("the stack is up");
            (up || said.contains("error: ")).then_some(up)
        });
        if !up {
            // The page covers machines without Grafana.
            let why = said();
            assert!(why.contains("the stack can't start: grafana is not on PATH"), "{why}");
            assert_eq!(running.wait_until_gone().code(), Some(3), "{why}");
            continue;
        }
        let status = typed("cargo workshop stack status").output().unwrap();
        assert!(status.status.success(), "{}", stderr(&status));
        let down = typed("cargo workshop stack down").output().unwrap();
        assert!(down.status.success(), "{}", stderr(&down));
        assert_eq!(running.wait_until_gone().code(), Some(0), "{}", said());
    }
}
