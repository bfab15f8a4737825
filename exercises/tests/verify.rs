//! What `workshop verify` asks of the worker: the reference codec of each step keeps the step's
//! promises, and the one before it, with which its exercise starts, breaks the one that the exercise is
//! about.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::{fs, process::Command, thread};

use solutions::{Step, judge::Promise};
use workshop::verify::examine::Line;

/// The promises of that step that the reference codec of `solution` broke, as the worker wrote them
/// down.
fn broken(solution: Step, step: Step) -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("judged.jsonl");
    let output = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args(["--solution", &solution.number().to_string()])
        .args(["--as-step", &step.number().to_string(), "--judge"])
        .arg(&file)
        .output()
        .unwrap();
    let lines: Vec<Line> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(output.status.success(), "{lines:#?}");
    assert_eq!(lines.last(), Some(&Line::Done));
    let checks = lines.into_iter().filter_map(|line| match line {
        Line::Judged(check) => Some(check),
        _ => None,
    });
    checks.filter(|check| !check.is_kept()).map(|check| check.promise).collect()
}

/// Judges for each exercise at the same time: most of it is waiting.
fn for_each_exercise(judge: impl Fn(Step) + Sync) {
    thread::scope(|scope| {
        for step in Step::EXERCISES {
            let judge = &judge;
            scope.spawn(move || judge(step));
        }
    });
}

#[test]
fn the_reference_codecs_keep_their_promises() {
    for_each_exercise(|step| assert_eq!(broken(step, step), [], "{step:?}"));
}

#[test]
fn every_exercise_starts_with_the_symptom_that_it_is_about() {
    for_each_exercise(|step| {
        let broken = broken(step.start(), step);
        let first = broken.first().copied();
        match step {
            Step::Start => unreachable!("no exercise"),
            // Encrypted and correct from the beginning: nothing else is wrong with it.
            Step::Blocking => assert_eq!(broken, [Promise::IsObserved]),
            Step::SpawnBlocking => assert_eq!(first, Some(Promise::ReleasesThread)),
            Step::Async => assert_eq!(first, Some(Promise::NeedsNoThread)),
            Step::BeyondAsync => assert_eq!(first, Some(Promise::KeepsKeys)),
        }
    });
}
