//! The program `worker`: which codec it runs, by flag, by folder and by `exercises/current`.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use solutions::Step;
use workshop::exercise;

fn room() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the worker where no server is: its first line is told before it looks for one.
fn worker(folder: &Path, flags: &[&str]) -> Output {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Command::new(env!("CARGO_BIN_EXE_worker"))
        .current_dir(folder)
        .args(["--address", &format!("127.0.0.1:{port}"), "--metrics-address", "127.0.0.1:0"])
        .args(flags)
        .env_remove("RUST_LOG")
        .env_remove("CODEC_KEYS")
        .env_remove("CODEC_KEY_FILE")
        .output()
        .unwrap()
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_first_line_of_the_log_says_which_codec_of_which_step_runs() {
    for (flags, codec) in [
        (&["--exercise", "2"][..], "exercises/02-spawn-blocking/codec.rs"),
        (&["--solution", "3"], "solutions/03-async-codec/codec.rs"),
        (&["--solution", "0"], "solutions/00-start/codec.rs"),
    ] {
        let output = worker(room(), flags);
        assert_eq!(output.status.code(), Some(3), "{}", says(&output));
        let log = says(&output);
        assert!(log.lines().next().unwrap().contains(codec), "{flags:?}: {log}");
    }
}

#[test]
fn inside_an_exercise_the_worker_runs_that_one() {
    let log = says(&worker(&room().join("03-async-codec"), &[]));
    assert!(log.contains("exercises/03-async-codec/codec.rs"), "{log}");
}

/// Each has cargo build its own worker, in the same place: while one does, it holds the lock.
#[test]
fn several_at_once_run_each_its_own_codec() {
    let folder = room().parent().unwrap().join(".workshop/workers");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    let held = thread::scope(|scope| {
        let all = Step::EXERCISES.into_iter().chain(Step::EXERCISES).map(|step| {
            scope.spawn(move || {
                let log = says(&worker(room(), &["--exercise", &step.number().to_string()]));
                assert!(log.contains(&format!("codec=exercises/{}/", step.folder())), "{log}");
            })
        });
        let all: Vec<_> = all.collect();
        let mut held = 0;
        while !all.iter().all(ScopedJoinHandle::is_finished) {
            match lock.try_lock() {
                Ok(()) => lock.unlock().unwrap(),
                Err(_) => held += 1,
            }
            thread::sleep(Duration::from_millis(5));
        }
        held
    });
    // Eight builds, and each takes cargo longer than many of these looks.
    assert!(held > 20, "the lock was seen held {held} times");
}

#[test]
fn elsewhere_it_runs_the_current_one() {
    let root = room().parent().unwrap();
    let folder = exercise::current(root).unwrap().folder();
    let log = says(&worker(root, &[]));
    assert!(log.contains(&format!("exercises/{folder}/codec.rs")), "{log}");
}

#[test]
fn json_logs_are_one_object_a_line() {
    let log = says(&worker(room(), &["--exercise", "1", "--log-format", "json"]));
    let first = log.lines().next().unwrap();
    assert!(first.starts_with('{') && first.contains("\"codec\":\"exercises/01"), "{log}");
}

#[test]
fn a_wrong_number_is_a_clear_error() {
    for (flags, sentence) in [
        (["--exercise", "5"], "there is no exercise 5: they are 1 to 4"),
        (["--exercise", "0"], "there is no exercise 0: they are 1 to 4"),
        (["--solution", "9"], "there is no solution 9: they are 0 to 4"),
    ] {
        let output = worker(room(), &flags);
        assert_eq!(output.status.code(), Some(2));
        assert!(says(&output).contains(sentence), "{}", says(&output));
    }
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args(["--exercise", "1", "--metrics-address", &address])
        .env_remove("TEMPORAL_ADDRESS")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = says(&output);
    assert!(said.contains(&address) && said.contains("--metrics-address"), "{said}");
}

/// Solution N is the start of exercise N+1. In your own copy this fails once you have edited an
/// exercise, as you should: it watches over the workshop, not over you.
#[test]
fn every_exercise_starts_where_the_step_before_ended() {
    let solutions = room().join("../solutions");
    let codec = |room: &Path, step: Step| -> (PathBuf, String) {
        let path = room.join(step.folder()).join("codec.rs");
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    for step in Step::EXERCISES {
        let (solution, expected) = codec(&solutions, step.start());
        let (exercise, text) = codec(room(), step);
        assert!(
            text == expected,
            "{} is not {}: if you have begun to work on it, all is well",
            exercise.display(),
            solution.display()
        );
    }
}
