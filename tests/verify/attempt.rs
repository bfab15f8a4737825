//! `workshop try`: an exercise's load with the attendee's codec.

use std::fs;

use rustix::process::Signal;
use solutions::Step;

use crate::support::{
    Group, WORKSHOP,
    checkout::{Checkout, solution},
    json, program, stderr, stdout, wait_for,
};

const TRIES: &str = ".workshop/tries.jsonl";

#[test]
fn what_cannot_be_tried_is_a_clear_error() {
    let output = program(WORKSHOP).args(["try", "5"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("there is no exercise 5"), "{}", stderr(&output));
    let output = program(WORKSHOP).args(["try", "1", "--predict", "soon"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("not a number of seconds"), "{}", stderr(&output));

    let checkout = Checkout::take();
    checkout.writes(Step::Blocking, "pub fn codec() { half }");
    let output = checkout.program(WORKSHOP).args(["try", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot find value `half`"), "{}", stderr(&output));
    checkout.removes(Step::Blocking);
    let output = checkout.program(WORKSHOP).args(["try", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let file = "exercises/01-blocking-codec/codec.rs is not there";
    assert!(stderr(&output).contains(file), "{}", stderr(&output));
}

#[test]
#[ignore = "takes some minutes: the exercises' loads on a real server"]
fn each_solution_shows_its_lesson() {
    let checkout = Checkout::take();
    fs::remove_file(checkout.root.join(TRIES)).ok();
    for step in Step::EXERCISES {
        checkout.writes(step, solution(step));
        let number = step.number().to_string();
        let arguments = ["try", &number, "--predict", "10"];
        let output = checkout.program(WORKSHOP).args(arguments).output().unwrap();
        let said = stdout(&output);
        println!("{said}");
        assert_eq!(output.status.code(), Some(0), "{said}{}", stderr(&output));
        for line in ["your guess          10.0 s", "measured", "in the README", "Why: "] {
            assert!(said.contains(line), "{line}: {said}");
        }
        // Of encode's line: "45.3 s blocking the thread (100%)".
        let encode = said.lines().find(|line| line.starts_with("encode: ")).unwrap();
        let (seconds, share) = encode.split_once(" s blocking the thread (").unwrap();
        let seconds: f64 = seconds.rsplit_once(' ').unwrap().1.parse().unwrap();
        let share: f64 = share.trim_end_matches("%)").parse().unwrap();
        match step {
            Step::Blocking => assert!(seconds > 20.0 && share > 80.0, "{said}"),
            // Of calls that take no time, encrypting is a large share.
            _ => assert!(seconds < 5.0, "{said}"),
        }
    }
    let status = json(&checkout.program(WORKSHOP).args(["status", "--json"]).output().unwrap());
    let last = &status["exercises"][1]["last_try"];
    assert_eq!(
        (&last["guess_seconds"], &last["completed"]),
        (&10.0.into(), &50.into()),
        "{status}"
    );
    let status = stdout(&checkout.program(WORKSHOP).arg("status").output().unwrap());
    assert!(status.contains("(guess: 10.0 s)"), "{status}");
}

#[test]
#[ignore = "takes a minute: an exercise's load on a real server"]
fn a_key_service_that_goes_away_is_part_of_the_result_and_the_try_is_not_recorded() {
    let checkout = Checkout::take();
    fs::remove_file(checkout.root.join(TRIES)).ok();
    checkout.writes(Step::SpawnBlocking, solution(Step::SpawnBlocking));
    let arguments = ["try", "2", "--fault", "outage", "--fault-seconds", "3"];
    let output = checkout.program(WORKSHOP).args(arguments).output().unwrap();
    let (shown, said) = (stdout(&output), stderr(&output));
    println!("{shown}");
    assert_eq!(output.status.code(), Some(0), "{shown}{said}");
    for line in ["The key service refuses connections for 3 s.", "The key service works again."] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // Folded at words.
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "The key service refuses connections from 2 s to 5 s. 50 of 50 workflows completed in ",
        " s after the key service had recovered.",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    // The codec did not get its keys meanwhile.
    let logs = fs::read_dir(checkout.root.join(".workshop/try")).unwrap();
    let logs = logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap());
    let log = logs.collect::<String>();
    assert!(log.contains("got no answer from http://127.0.0.1"), "{log}");
    assert!(!checkout.root.join(TRIES).exists());
}

#[test]
#[ignore = "starts a real server"]
fn one_that_is_interrupted_leaves_nothing_behind() {
    let checkout = Checkout::take();
    fs::remove_file(checkout.root.join(TRIES)).ok();
    let mut attempt = checkout.program(WORKSHOP);
    let mut attempt = Group::start(attempt.args(["try", "1"]));
    wait_for("a worker", || checkout.has_workers().then_some(()));
    attempt.signal(Signal::INT);
    assert_eq!(attempt.wait_until_gone().code(), Some(130));
    wait_for("the worker to be gone", || (!checkout.has_workers()).then_some(()));
    assert!(!checkout.root.join(TRIES).exists());
}
