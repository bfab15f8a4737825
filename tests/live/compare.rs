//! `workshop compare` in a small form: its table, its JSON and its HTML read back, and nothing left
//! running on any way out.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use cli_kit::http::Http;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Group, Stage, WORKSHOP, json, program, stderr, stdout, temporal, wait_for};

/// Small, and still with more stalls than a blocking codec can hide.
const SMALL: [&str; 10] = [
    "compare",
    "--workflows",
    "6",
    "--activities",
    "2",
    "--activity-seconds",
    "0.1",
    "--stall-probability",
    "0.5",
    "--workflow-task-timeout=10",
];

fn compare(flags: &[&str]) -> Command {
    // Found or installed once, and not by two tests at a time.
    temporal();
    let mut command = program(WORKSHOP);
    command.args(SMALL).args(flags);
    command
}

#[test]
fn json_and_report_hold_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let mut command = compare(&["--json", "-", "--report", report.to_str().unwrap()]);
    command.args(["--seed", "9"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let all = json(&output);
    assert_eq!((&all["seed"], &all["scenario"]["workflows"]), (&9.into(), &6.into()));
    assert_eq!(all["versions"]["crates"]["temporalio-sdk"], "1.1.1");
    let codecs: Vec<_> = all["runs"].as_array().unwrap().iter().map(|r| &r["codec"]).collect();
    assert_eq!(codecs, ["blocking", "spawn_blocking", "async"]);
    for run in all["runs"].as_array().unwrap() {
        assert_eq!(run["workflows"]["completed"], 6, "{run:#}");
        assert_eq!((&run["cut_off"], &run["threads"]), (&false.into(), &0.into()));
        for latencies in [
            "end_to_end_seconds",
            "workflow_task_schedule_to_start_seconds",
            "activity_schedule_to_start_seconds",
        ] {
            for quantile in ["p50", "p95", "p99", "max"] {
                assert!(run[latencies][quantile].is_f64(), "{latencies} {quantile}: {run:#}");
            }
        }
        for figure in [
            "workflow_task_not_found",
            "workflow_task_timeouts",
            "peak_threads",
            "peak_memory_bytes",
        ] {
            assert!(run[figure].is_u64(), "{figure}: {run:#}");
        }
        assert!(run["lag_seconds"]["beside"].is_f64() && run["wall_seconds"].is_f64(), "{run:#}");
    }
    // A stall is 0.4 s: the blocking codec blocks the thread for it, the others for none of it.
    let poll = |run: usize| all["runs"][run]["longest_poll_seconds"].as_f64().unwrap();
    let blocking = |run: usize| {
        let totals = all["runs"][run]["codec_totals"].as_array().unwrap();
        totals.iter().map(|of| of["blocking_seconds"].as_f64().unwrap()).sum::<f64>()
    };
    assert!(poll(0) >= 0.4 && poll(0) > poll(1).max(poll(2)), "{all:#}");
    assert!(blocking(0) > 3.0 * blocking(1).max(blocking(2)), "{all:#}");
    assert!(all["ratios"]["blocking"]["end_to_end_p95"].as_f64().unwrap() > 1.5, "{all:#}");

    let html = fs::read_to_string(report).unwrap();
    assert_eq!(html.matches("<svg").count(), 4 * 3);
    // One dot for each workflow of each codec, at least.
    assert!(html.matches("<circle").count() >= 6 * 3, "too few dots");
    // As in "412 ms", or "1.05 s" on a busy machine.
    let held = match poll(0) {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1000.0),
        seconds => format!("{seconds:.2} s"),
    };
    let held = format!("blocking held the worker&#39;s thread for {held}");
    assert!(html.contains(&held), "{held}");
    for outside in ["http://", "https://", "src=", "@import"] {
        let allowed = html.matches("http://www.w3.org").count();
        let found = html.matches(outside).count();
        assert_eq!(found, if outside == "http://" { allowed } else { 0 }, "{outside}");
    }
}

#[test]
fn the_live_page_shows_a_run_while_it_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let mut command = compare(&["--codec=blocking", "--report", report.to_str().unwrap()]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut comparison = Group::start(&mut command);
    let mut lines = BufReader::new(comparison.stderr()).lines().map(Result::unwrap);
    let url = lines.find_map(|line| Some(line.strip_prefix("Live page: ")?.to_owned())).unwrap();
    let http = Http::default();
    assert!(http.page(&url).unwrap().contains("<html"));
    // A stall that the codec sits through is 0.4 s of the thread's timeline.
    wait_for("a stall on the page", || {
        let data: Value =
            serde_json::from_str(&http.page(&format!("{url}data.json")).ok()?).unwrap();
        let run = &data["runs"][0];
        assert!(run.is_null() || run["name"] == "blocking", "{data:#}");
        let thread = run["thread"].as_array()?;
        let is_stall = |held: &&Value| {
            held[1].as_f64().unwrap() - held[0].as_f64().unwrap() > 0.35 && held[2] == "encode"
        };
        thread.iter().find(is_stall).map(drop)
    });
    // All else it says must be read, or the program could not go on.
    let rest: Vec<_> = lines.collect();
    assert!(comparison.wait_until_gone().success(), "{rest:#?}");
    assert!(http.page(&url).is_err(), "the page ends with the command");
}

#[test]
fn a_run_that_is_cut_off_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let report = report.to_str().unwrap();
    // Stalls of a minute: no workflow can be done in two seconds.
    let flags = ["--codec=blocking", "--stall-seconds=60", "--stall-probability=1", "--limit=2"];
    let mut command = program(WORKSHOP);
    temporal();
    let output = command
        .args(["compare", "--workflows=3", "--report", report])
        .args(flags)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let table = stdout(&output);
    assert!(table.contains("was cut off after") && table.contains("| ≥ "), "{table}");
}

#[test]
fn an_interrupted_comparison_leaves_nothing_running() {
    temporal();
    let folder = tempfile::tempdir().unwrap();
    // No other test runs this codec, so this log tells of this comparison.
    let codec = "never_stalls";
    let log = format!("{}/.workshop/compare/{codec}.worker.log", env!("CARGO_MANIFEST_DIR"));
    for signal in [Signal::INT, Signal::TERM] {
        fs::remove_file(&log).ok();
        let mut command = program(WORKSHOP);
        command
            .args(["compare", "--codec", codec, "--activity-seconds", "15", "--report"])
            .arg(folder.path().join("report.html"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut comparison = Group::start(&mut command);
        wait_for("the worker to poll", || {
            fs::read_to_string(&log).ok()?.contains("worker polls").then_some(())
        });
        comparison.signal(signal);
        assert_eq!(comparison.wait_until_gone().code(), Some(130), "{signal:?}");
    }
}

#[test]
fn my_codec_is_set_beside_them_on_a_server_that_exists() {
    let stage = Stage::new();
    let address = stage.address();
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let flags = ["--codec", "async", "--mine", "1", "--address", &address, "--json", "-"];
    let output = compare(&flags).arg("--report").arg(report).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let all = json(&output);
    assert_eq!(all["runs"][1]["codec"], "mine_1");
    assert_eq!(all["runs"][1]["workflows"]["completed"], 6, "{all:#}");
    assert!(all["versions"]["temporal"].is_null());
}

/// The same in every shell, whatever is set there.
#[test]
fn what_the_users_shell_sets_does_not_reach_what_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = compare(&["--codec", "spawn_blocking"]);
    // No clone is here: what it makes goes into this folder.
    command.current_dir(folder.path());
    command.envs([
        ("RUST_LOG", "trace"),
        ("CODEC_KEYS", "no=key"),
        ("CODEC_KEY_FILE", "/no/such/file"),
        ("TOKIO_WORKER_THREADS", "nonsense"),
    ]);
    let output = command.stderr(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
    let log = folder.path().join(".workshop/compare/spawn_blocking.worker.log");
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains(" INFO ") && !log.contains(" TRACE "), "{log}");
}

#[test]
fn wrong_usage_is_a_sentence_and_exit_code_2() {
    for (flags, says) in [
        (&["compare", "--mine", "9"][..], "there is no exercise 9"),
        (&["compare", "--mine", "two"], "an exercise is a number from 1 to 4"),
        (&["compare", "--codec", "async", "--codec", "async"], "async is named twice"),
        (&["compare", "--json", "/no/such/folder/x"], "/no/such/folder/x can't be written"),
        (&["compare", "--codec", "fast"], "invalid value 'fast'"),
        (&["compare", "--stall-probability", "2"], "not between 0 and 1"),
        (&["compare", "--threads", "9999"], "not a whole number from 0 to 256"),
    ] {
        let output = program(WORKSHOP).args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{flags:?}: {}", stderr(&output));
    }
}

#[test]
fn a_key_service_that_fails_for_a_while_loses_no_workflow() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    for (fault, says) in [("outage", "refuses connections"), ("hang", "does not answer")] {
        temporal();
        let mut command = program(WORKSHOP);
        command.args(["compare", "--json", "-", "--report"]).arg(&report);
        // It takes longer than the two seconds after which the fault comes.
        command.args(["--codec", "async", "--workflows", "6", "--activities", "8"]);
        command.args(["--activity-seconds", "0.5", "--fault", fault, "--fault-seconds", "2"]);
        let output = command.args(["--limit", "120"]).output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains(&format!("The key service {says} for 2 s.")), "{said}");
        let all = json(&output);
        assert_eq!((&all["key_service"], &all["fault"]["kind"]), (&"local".into(), &fault.into()));
        let run = &all["runs"][0];
        assert_eq!(
            (&run["workflows"]["completed"], &run["failures"]),
            (&6.into(), &Value::Array(vec![]))
        );
        assert!(fs::read_to_string(&report).unwrap().contains(says));
    }
}

#[test]
fn a_fault_needs_a_key_service_and_a_simulation_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let flags =
        ["--report", report.to_str().unwrap(), "--codec", "async", "--key-service", "simulated"];
    let output = compare(&flags).output().unwrap();
    let text = stdout(&output);
    assert!(output.status.success() && text.contains("Key service: simulated"), "{text}");
    let output = compare(&flags).args(["--fault", "hang"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("leave out --key-service simulated"), "{}", stderr(&output));
}
