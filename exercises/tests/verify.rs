//! What `workshop verify` asks of the worker: the reference codec of each step keeps the step's
//! promises, and the one before it does not.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::{fs, process::Command};

use solutions::{Step, judge::Promise};
use workshop::verify::examine::Line;

/// The promises that the codec broke, as the worker wrote them down.
fn broken(solution: u8) -> Vec<Promise> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("judged.jsonl");
    let output = Command::new(env!("CARGO_BIN_EXE_worker"))
        .args(["--solution", &solution.to_string(), "--judge"])
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

#[test]
fn the_reference_codecs_keep_their_promises() {
    for step in Step::EXERCISES {
        assert_eq!(broken(step.number()), [], "solution {}", step.folder());
    }
}
