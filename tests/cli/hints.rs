//! `workshop hint`, from the command line.

use std::process::Output;

use crate::support::{WORKSHOP, program, stderr, stdout};

fn hint(words: &[&str]) -> Output {
    program(WORKSHOP).arg("hint").args(words).output().unwrap()
}

#[test]
fn each_hint_says_how_to_get_the_next_one() {
    let mut next = Some("1".to_owned());
    let mut seen = Vec::new();
    while let Some(words) = next {
        let output = hint(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let said = stdout(&output);
        let said_next = said.lines().last().unwrap().split_once("cargo workshop hint ");
        next = said_next.map(|(_, words)| words.to_owned());
        assert!(!seen.contains(&said), "{said}");
        seen.push(said);
    }
    assert_eq!(seen.len(), 3);
    assert!(seen[2].contains("solutions/01-blocking-codec/codec.rs"), "{}", seen[2]);
}

#[test]
fn what_is_no_exercise_and_no_level_is_wrong_usage() {
    for (words, said) in [
        (&["0"][..], "there is no exercise 0"),
        (&["99"], "there is no exercise 99"),
        (&["1", "0"], "there is no hint 0 for exercise 1; choose 1 to 3"),
        (&["1", "4"], "there is no hint 4 for exercise 1; choose 1 to 3"),
        (&["1", "more"], "invalid value"),
    ] {
        let output = hint(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

/// In a folder that passes for the workshop's, and has no exercises.
#[test]
fn a_missing_file_is_said() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("stack")).unwrap();
    std::fs::write(root.path().join("stack/process-compose.yaml"), "").unwrap();
    let output = program(WORKSHOP).args(["hint", "2"]).current_dir(root.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("exercises/02-spawn-blocking/hints.md can't be read"), "{said}");
}
