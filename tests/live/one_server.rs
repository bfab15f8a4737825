//! A class on one server: many workers and starters at once, each pair in its own namespace. It only
//! measures, and fails for no figure: docs/instructor.md has its output.
//!
//! ```sh
//! cargo test --test live one_server -- --ignored --nocapture
//! ```

use std::process::{self, Command, Stdio};

use sysinfo::{ProcessesToUpdate, System};

use crate::support::{Process, Stage, json, temporal, wait_for};

/// The load of one person: that of the exercises.
const LOAD: [&str; 7] =
    ["--workflows", "50", "--activities", "10", "--activity-seconds", "0.5", "--json"];

/// What the server, and what all workers and starters together have used so far.
struct Used {
    server_cpu_seconds: f64,
    server_mebibytes: u64,
}

/// Of the server that this process has started.
fn used() -> Used {
    let mut system = System::new();
    system.refresh_processes(ProcessesToUpdate::All, true);
    let mine = Some(sysinfo::Pid::from_u32(process::id()));
    let server = system.processes().values().find(|process| {
        let name = process.name().to_string_lossy();
        process.parent() == mine && name.starts_with("temporal")
    });
    let server = server.unwrap();
    Used {
        server_cpu_seconds: server.accumulated_cpu_time() as f64 / 1000.0,
        server_mebibytes: server.memory() >> 20,
    }
}

fn has_namespace(stage: &Stage, name: &str) -> bool {
    let asked = Command::new(temporal())
        .args(["operator", "namespace", "describe", "--address", &stage.address(), "-n", name])
        .output();
    asked.unwrap().status.success()
}

#[test]
#[ignore = "it measures, for two minutes"]
fn one_server_for_a_room() {
    println!("| people | all done, s | end to end, p95, s | server: processors | server: MiB |");
    println!("| --- | --- | --- | --- | --- |");
    for people in [1, 2, 5, 10] {
        let stage = Stage::new();
        let namespaces: Vec<_> = (0..people).map(|person| format!("person-{person}")).collect();
        for name in &namespaces {
            let created = Command::new(temporal())
                .args(["operator", "namespace", "create", "--address", &stage.address()])
                .args(["-n", name])
                .output()
                .unwrap();
            assert!(created.status.success(), "{}", crate::support::stderr(&created));
            wait_for("a namespace", || has_namespace(&stage, name).then_some(()));
        }
        let workers: Vec<_> =
            namespaces.iter().map(|name| stage.worker(name, 3, &["--namespace", name])).collect();
        for worker in &workers {
            worker.wait_for_metric("workshop_worker_start_time_seconds", 1.0);
        }
        let before = used();
        let starters: Vec<_> = namespaces
            .iter()
            .map(|name| {
                let mut starter = stage.starter(&LOAD);
                starter.args(["--namespace", name]).stdout(Stdio::piped()).stderr(Stdio::piped());
                Process::new(starter.spawn().unwrap())
            })
            .collect();
        let reports: Vec<_> = starters.into_iter().map(|starter| json(&starter.output())).collect();
        let after = used();
        for report in &reports {
            assert_eq!(report["workflows"]["completed"], 50, "{report:#}");
        }
        let worst =
            |of: &dyn Fn(&serde_json::Value) -> f64| reports.iter().map(of).fold(0.0, f64::max);
        let wall = worst(&|report| report["wall_seconds"].as_f64().unwrap());
        let p95 = worst(&|report| report["end_to_end_seconds"]["p95"].as_f64().unwrap());
        println!(
            "| {people} | {wall:.1} | {p95:.1} | {:.2} | {} |",
            (after.server_cpu_seconds - before.server_cpu_seconds) / wall,
            after.server_mebibytes
        );
    }
}
