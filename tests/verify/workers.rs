//! `cargo run --bin worker`: which codec it runs, by flag, by folder and by `exercises/current`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
    thread,
};

use solutions::Step;

use crate::support::{ROOT, WORKSHOP, checkout::Checkout, free_port, stderr};

/// Runs the worker, as the program `worker` does, where no server is: its first line is told before it
/// looks for one.
fn worker(checkout: &Checkout, folder: impl AsRef<Path>, flags: &[&str]) -> Output {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = checkout.program(WORKSHOP);
    command
        .current_dir(checkout.root.join(folder))
        .args(["worker", "--address", &address, "--metrics-address", "127.0.0.1:0"])
        .args(flags);
    command.output().unwrap()
}

#[test]
fn the_first_line_of_the_log_says_which_codec_of_which_step_runs() {
    let checkout = Checkout::take();
    for (folder, flags, codec) in [
        ("", &["--exercise", "2"][..], "exercises/02-spawn-blocking/codec.rs"),
        ("", &["--exercise=2", "--threads", "2"], "exercises/02-spawn-blocking/codec.rs"),
        ("", &["--solution", "3"], "solutions/03-async-codec/codec.rs"),
        ("", &["--solution", "0"], "solutions/00-start/codec.rs"),
        // Inside an exercise, that one.
        ("exercises/03-async-codec", &[], "exercises/03-async-codec/codec.rs"),
    ] {
        let output = worker(&checkout, folder, flags);
        let log = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{flags:?}: {log}");
        assert!(log.lines().next().unwrap().contains(codec), "{flags:?}: {log}");
    }
}

#[test]
fn elsewhere_it_runs_the_current_one() {
    let checkout = Checkout::take();
    let current = checkout.root.join("exercises/current");
    let before = fs::read(&current).unwrap();
    fs::write(&current, "4\n").unwrap();
    let log = stderr(&worker(&checkout, "", &[]));
    fs::write(&current, before).unwrap();
    assert!(log.contains("exercises/04-beyond-async/codec.rs"), "{log}");
}

/// Each has cargo build its own worker: none takes another one's place.
#[test]
fn several_at_once_run_each_its_own_codec() {
    let checkout = &Checkout::take();
    thread::scope(|scope| {
        for step in Step::EXERCISES.into_iter().chain(Step::EXERCISES) {
            scope.spawn(move || {
                let number = step.number().to_string();
                let log = stderr(&worker(checkout, "", &["--exercise", &number]));
                assert!(log.contains(&format!("codec=exercises/{}/", step.folder())), "{log}");
            });
        }
    });
}

#[test]
fn json_logs_are_one_object_a_line() {
    let checkout = Checkout::take();
    let log = stderr(&worker(&checkout, "", &["--exercise", "1", "--log-format", "json"]));
    let first = log.lines().next().unwrap();
    assert!(first.starts_with('{') && first.contains("\"codec\":\"exercises/01"), "{log}");
}

#[test]
fn a_wrong_number_is_a_clear_error() {
    let checkout = Checkout::take();
    for (flags, sentence) in [
        (["--exercise", "5"], "there is no exercise 5; choose 1 to 4"),
        (["--exercise", "0"], "there is no exercise 0; choose 1 to 4"),
        (["--solution", "9"], "there is no solution 9; choose 0 to 4"),
    ] {
        let output = worker(&checkout, "", &flags);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(sentence), "{}", stderr(&output));
    }
}

#[test]
fn a_port_that_is_taken_is_a_clear_error() {
    let checkout = Checkout::take();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = checkout.program(WORKSHOP);
    let output = command
        .args(["worker", "--exercise", "1", "--metrics-address", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains(&address) && said.contains("--metrics-address"), "{said}");
}

/// Solution N is the start of exercise N+1. In your own copy this fails once you have edited an
/// exercise, as you should: it watches over the workshop, not over you.
#[test]
fn every_exercise_starts_where_the_step_before_ended() {
    let [exercises, solutions] = ["exercises", "solutions"].map(|name| Path::new(ROOT).join(name));
    let codec = |folder: &Path, step: Step| -> (PathBuf, String) {
        let path = folder.join(step.folder()).join("codec.rs");
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    for step in Step::EXERCISES {
        let (solution, expected) = codec(&solutions, step.start());
        let (exercise, text) = codec(&exercises, step);
        assert!(
            text == expected,
            "{} is not {}: if you have begun to work on it, all is well",
            exercise.display(),
            solution.display()
        );
    }
}
