//! A reader that has read enough, as `head -1`: no command panics at a pipe that is closed.

use std::{
    fs,
    io::pipe,
    process::{Command, Stdio},
};

use solutions::Step;

use crate::{
    guide::{Desk, codec},
    support::{STARTER, WORKSHOP, program},
};

/// How a program ended whose stdout was closed, and what it wrote to stderr.
fn ended(mut command: Command) -> (Option<i32>, String) {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn no_command_panics_at_a_closed_pipe() {
    let desk = Desk::new();
    desk.writes("exercises/01-blocking-codec/hints.md", "## 1\n\nA nudge.\n");
    let git = ["init -q", "add .", "-c user.name=a -c user.email=a@b.c commit -qm a"];
    for words in git {
        let mut git = program("git");
        git.args(words.split(' ')).current_dir(desk.path(""));
        assert!(git.status().unwrap().success());
    }
    desk.writes(codec(Step::Blocking), "// Mine.\n");
    // Nothing for a compiler to see: each of these is reported at once.
    for step in [Step::SpawnBlocking, Step::Async, Step::BeyondAsync] {
        desk.writes(codec(step), "");
    }
    let cases: &[(&str, &[i32])] = &[
        ("", &[0]),
        ("status", &[0]),
        ("status --json", &[0]),
        ("next", &[0]),
        ("hint 1", &[0]),
        ("diff 1", &[0]),
        ("solve 1 --yes", &[0]),
        ("reset 1", &[0]),
        ("restore 1", &[0]),
        ("restore 1 --list", &[0]),
        ("reset --all", &[0]),
        ("verify 2 --quick", &[1]),
        ("verify 2 --json", &[1]),
        ("branches", &[0]),
        ("branches --check", &[0]),
        ("doctor --no-stack", &[0, 1, 3]),
        ("doctor --json", &[0, 1, 3]),
        ("stack status", &[0, 1, 3]),
        ("completions bash", &[0]),
        ("completions fish", &[0]),
        ("man", &[0]),
        ("man verify", &[0]),
        ("check-worker 127.0.0.1:1 --for 1s", &[3]),
        ("try --help", &[0]),
        ("--help", &[0]),
        ("verify --help", &[0]),
        ("--version", &[0]),
    ];
    for (words, codes) in cases {
        if words.starts_with("verify 2") {
            desk.writes(codec(Step::SpawnBlocking), "");
        }
        let words: Vec<_> = words.split_whitespace().collect();
        let (code, said) = ended(desk.command(&words));
        assert!(code.is_some_and(|code| codes.contains(&code)), "{words:?}: {code:?}: {said}");
        assert!(!said.contains("panicked") && !said.contains("Broken pipe"), "{words:?}: {said}");
    }
    for step in Step::EXERCISES {
        desk.writes(codec(step), "");
    }
    for words in [&["verify", "--all", "--quick"][..], &["verify", "--all", "--json"]] {
        let (code, said) = ended(desk.command(words));
        assert!(code == Some(1) && said.is_empty(), "{words:?}: {code:?}: {said}");
    }
    let mut starter = program(STARTER);
    starter.arg("--help");
    assert_eq!(ended(starter), (Some(0), String::new()));
    let mut worker = program(WORKSHOP);
    worker.args(["worker", "--help"]);
    assert_eq!(ended(worker), (Some(0), String::new()));
    assert!(fs::exists(desk.path(".workshop/kept")).unwrap());
}
