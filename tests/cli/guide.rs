//! Where an attendee is and what to do: `workshop`, `status`, `next`, `reset`, `solve`, `diff`; and
//! `completions` and `man`. Whatever goes wrong, nothing of the attendee's is lost.

use std::{
    env, fs,
    fs::Permissions,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use ring::digest::{SHA256, digest};
use serde_json::json;
use solutions::Step;
use tempfile::TempDir;

use crate::support::{
    STARTER, WORKSHOP,
    checkout::{solution, start},
    json, program, stderr, stdout,
    terminal::Terminal,
};

/// A folder that passes for the workshop's, as far as nothing is built in it.
pub struct Desk(TempDir);

impl Desk {
    pub fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        let original = Path::new(env!("CARGO_MANIFEST_DIR"));
        desk.writes("stack/process-compose.yaml", "");
        desk.writes("exercises/current", "next\n");
        for step in Step::ALL {
            desk.writes(reference(step), solution(step));
        }
        for step in Step::EXERCISES {
            desk.writes(codec(step), start(step));
            let readme = folder(step).join("README.md");
            desk.writes(&readme, fs::read(original.join(&readme)).unwrap());
        }
        desk
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn writes(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn reads(&self, name: impl AsRef<Path>) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = program(WORKSHOP);
        command.args(words).current_dir(self.0.path());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs it; it must succeed.
    fn prints(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Runs it; it must fail with that code and say that.
    fn fails(&self, words: &[&str], code: i32, said: &str) {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{words:?}: {}", stderr(&output));
    }

    /// What a shell does with that.
    fn shell(&self, shell: &str, line: &str) -> Output {
        let mut command = program(shell);
        command.args(["-c", line]).current_dir(self.0.path()).output().unwrap()
    }

    /// What is kept.
    fn kept(&self) -> Vec<Vec<u8>> {
        let folder = fs::read_dir(self.path(".workshop/kept"));
        folder.into_iter().flatten().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    /// The state of each exercise.
    fn states(&self) -> Vec<String> {
        let status = json(&self.run(&["status", "--json"]));
        let exercises = status["exercises"].as_array().unwrap().iter();
        exercises.map(|exercise| exercise["state"].as_str().unwrap().to_owned()).collect()
    }
}

fn folder(step: Step) -> PathBuf {
    Path::new("exercises").join(step.folder())
}

pub fn codec(step: Step) -> PathBuf {
    folder(step).join("codec.rs")
}

fn reference(step: Step) -> PathBuf {
    Path::new("solutions").join(step.folder()).join("codec.rs")
}

const FIRST: Step = Step::Blocking;
const SECOND: Step = Step::SpawnBlocking;

#[test]
fn the_bare_command_says_what_to_do_now() {
    let desk = Desk::new();
    let said = desk.prints(&[]);
    assert!(said.lines().count() <= 14 && said.lines().all(|line| line.len() <= 80), "{said}");
    for expected in
        ["exercise 1, Watch the codec block its thread: not started", "01-blocking-codec/README.md"]
    {
        assert!(said.contains(expected), "{said}");
    }
    desk.writes(codec(FIRST), "// Started.");
    let said = desk.prints(&[]);
    assert!(said.contains(": started") && said.contains("cargo workshop verify 1"), "{said}");
    // In the folder of another exercise, that one.
    let here = desk.path(folder(SECOND));
    let said = stdout(&desk.command(&[]).current_dir(here).output().unwrap());
    assert!(said.contains("You are at exercise 2"), "{said}");
    fs::remove_file(desk.path(codec(FIRST))).unwrap();
    let said = desk.prints(&[]);
    assert!(said.contains("cargo workshop reset 1"), "{said}");
}

#[test]
fn status_and_next_follow_what_was_noted_and_the_files() {
    let desk = Desk::new();
    assert_eq!(desk.states(), ["not_started"; 4]);
    let mut solved = serde_json::Map::new();
    let mut noted = |step: Step, codec: &str| {
        let digest = digest(&SHA256, codec.as_bytes());
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let note = json!({ "codec_sha256": digest, "at": "2026-11-24T10:19:01Z" });
        solved.insert(step.number().to_string(), note);
        desk.writes(".workshop/progress.json", json!({ "solved": solved }).to_string());
    };
    desk.writes(codec(FIRST), solution(FIRST));
    // What is right is not solved before it was judged.
    assert_eq!(desk.states()[0], "started");
    noted(FIRST, &solution(FIRST));
    assert_eq!(desk.states()[..2], ["solved", "not_started"]);
    let text = desk.prints(&["status"]);
    assert!(text.contains("  1. Watch the codec block its thread  solved 20"), "{text}");
    assert!(text.contains("> 2. Give the wait to another thread   not started"), "{text}");
    assert!(text.contains("1 of 4 exercises is solved."), "{text}");

    let next = desk.prints(&["next"]);
    for expected in [
        "exercises/02-spawn-blocking/README.md",
        "cargo run --bin worker -- --exercise 2",
        "cargo workshop verify 2",
    ] {
        assert!(next.contains(expected), "{next}");
    }
    desk.writes(codec(FIRST), solution(FIRST) + "\n");
    assert_eq!(desk.states()[0], "solved_and_changed");
    assert!(desk.prints(&["status"]).contains("solved, and changed since"));
    fs::remove_file(desk.path(codec(SECOND))).unwrap();
    assert_eq!(desk.states()[1], "broken");
    assert!(desk.prints(&["status"]).contains("its codec.rs is not there"));
    assert!(desk.prints(&["next"]).contains("cargo workshop reset 2"));
    for step in Step::EXERCISES {
        desk.writes(codec(step), solution(step) + "\n");
        noted(step, "");
    }
    assert_eq!(json(&desk.run(&["status", "--json"]))["next"], serde_json::Value::Null);
    let next = desk.prints(&["next"]);
    assert!(next.contains("All 4 exercises are solved."), "{next}");
    assert!(!next.contains("Your first try"), "{next}");

    // With numbers of one's own: those before and after, and each guess.
    let tried = |exercise: u8, guess_seconds: Option<f64>, seconds: f64| {
        json!({
            "exercise": exercise, "at": "2026-11-24T10:19:01Z", "codec_sha256": "",
            "guess_seconds": guess_seconds, "seconds": seconds, "workflows": 50, "completed": 50,
        })
    };
    let tries = [
        tried(1, Some(9.0), 50.3),
        tried(2, Some(20.0), 76.3),
        tried(2, None, 70.1),
        tried(2, Some(12.0), 9.7),
        tried(3, None, 75.0),
        tried(3, None, 14.1),
    ];
    desk.writes(".workshop/tries.jsonl", tries.map(|one| one.to_string()).join("\n"));
    let next = desk.prints(&["next"]);
    for line in [
        "Your first and your last try of each exercise:",
        "  exercise 2  76.3 s (guess: 20.0 s)    9.7 s (guess: 12.0 s)",
        "  exercise 3  75.0 s                    14.1 s",
        "cargo workshop puzzle",
    ] {
        assert!(next.contains(line), "{line}: {next}");
    }
    assert!(!next.contains("exercise 1"), "{next}");

    // A measured exercise has begun, even if its codec is as it was.
    desk.run(&["reset", "3"]);
    let text = desk.prints(&["status"]);
    assert!(text.contains("measured, its codec.rs not changed yet; last try 14.1 s"), "{text}");
}

#[test]
fn one_can_start_over() {
    let desk = Desk::new();
    let next = || json(&desk.run(&["status", "--json"]))["next"].clone();
    let solve_all = || {
        let mut solved = serde_json::Map::new();
        for step in Step::EXERCISES {
            let mine = format!("// {step:?}, mine.\n");
            let digest = digest(&SHA256, mine.as_bytes());
            let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            let note = json!({ "codec_sha256": digest, "at": "2026-11-24T10:19:01Z" });
            solved.insert(step.number().to_string(), note);
            desk.writes(codec(step), mine);
        }
        desk.writes(".workshop/progress.json", json!({ "solved": solved }).to_string());
        assert_eq!((desk.states(), next()), (vec!["solved".to_owned(); 4], json!(null)));
    };
    solve_all();
    assert!(desk.prints(&["next"]).contains("cargo workshop reset --all"));
    desk.prints(&["reset", "2"]);
    assert_eq!((desk.states()[1].as_str(), next()), ("not_started", json!(2)));
    assert!(desk.prints(&["status"]).contains("3 of 4 exercises are solved."));
    // What is written next is started, and not "solved, and changed since".
    desk.writes(codec(SECOND), "// Once more.\n");
    assert_eq!((desk.states()[1].as_str(), next()), ("started", json!(2)));
    desk.prints(&["reset", "--all"]);
    assert_eq!((desk.states(), next()), (vec!["not_started".to_owned(); 4], json!(1)));
    for step in Step::EXERCISES {
        assert_eq!(desk.reads(codec(step)), start(step));
    }
    // Each as it was, the one of exercise 2 in both its forms.
    assert_eq!(desk.kept().len(), 5);
    desk.fails(&["reset", "1", "--all"], 2, "cannot be used with");

    // Gone, and put back at its start by something else: neither is solved.
    solve_all();
    fs::remove_file(desk.path(codec(SECOND))).unwrap();
    assert_eq!((desk.states()[1].as_str(), next()), ("broken", json!(2)));
    assert!(desk.prints(&["status"]).contains("its codec.rs is not there"));
    solve_all();
    desk.writes(codec(SECOND), start(SECOND));
    assert_eq!((desk.states()[1].as_str(), next()), ("not_started", json!(2)));

    // On the branch of a step, that one is next until it is solved there.
    solve_all();
    desk.writes("exercises/current", "2\n");
    desk.writes(codec(SECOND), "// Of this branch.\n");
    assert_eq!((desk.states()[1].as_str(), next()), ("solved_and_changed", json!(2)));
    assert!(desk.prints(&[]).contains("You are at exercise 2"));
    assert!(desk.prints(&["next"]).contains("Next is exercise 2"));
}

#[test]
fn a_saved_codec_is_restored_from_any_folder() {
    let desk = Desk::new();
    let here = desk.path(folder(SECOND));
    let run = |words: &[&str]| {
        let output = desk.command(words).current_dir(&here).output().unwrap();
        (output.status.code(), stdout(&output) + &stderr(&output))
    };
    let (code, said) = run(&["restore"]);
    assert!(code == Some(2) && said.contains("no codec of exercise 2 is saved"), "{said}");
    for mine in ["// One.\n", "// Two.\n"] {
        desk.writes(codec(SECOND), mine);
        let (code, said) = run(&["reset"]);
        assert!(code == Some(0) && said.contains("cargo workshop restore 2"), "{said}");
        assert!(!said.contains("cp "), "{said}");
    }
    // Of another exercise, and none at all.
    desk.writes(".workshop/kept/01-blocking-codec-29990101T000000Z.rs", "// Of another.\n");
    desk.writes(".workshop/kept/02-spawn-blocking-notes.rs", "// Notes.\n");
    assert_eq!(run(&["restore"]).0, Some(0));
    assert_eq!(desk.reads(codec(SECOND)), "// Two.\n");
    assert!(run(&["restore", "2"]).1.contains("nothing to do"));
    let (_, list) = run(&["restore", "--list"]);
    let list: Vec<_> = list.lines().collect();
    let contents: Vec<_> = list.iter().map(|path| desk.reads(path)).collect();
    assert_eq!(contents, ["// Two.\n", "// One.\n"]);
    // As the list has it, from the workshop's folder; what it replaces is saved, too.
    desk.writes(codec(SECOND), "// Three.\n");
    let (code, said) = run(&["restore", "--file", list[1]]);
    assert!(code == Some(0) && said.contains("What it replaced is saved"), "{said}");
    assert_eq!(desk.reads(codec(SECOND)), "// One.\n");
    assert_eq!(run(&["restore", "2"]).0, Some(0));
    assert_eq!(desk.reads(codec(SECOND)), "// Three.\n");
    // What was replaced last comes back, where the codec was deleted as well.
    fs::remove_file(desk.path(codec(SECOND))).unwrap();
    assert_eq!(run(&["restore", "2"]).0, Some(0));
    assert_eq!(desk.reads(codec(SECOND)), "// One.\n");
    let (code, said) = run(&["restore", "--file", "no-such.rs"]);
    assert!(code == Some(2) && said.contains("no-such.rs can't be read"), "{said}");
}

#[test]
fn each_command_finds_the_exercise_of_the_folder_one_is_in() {
    let desk = Desk::new();
    desk.writes(folder(SECOND).join("hints.md"), "## 1\n\nThe second's.\n");
    desk.writes(codec(SECOND), "// Mine.\n");
    let here = desk.path(folder(SECOND));
    for (words, said) in [
        (&["hint"][..], "Hint 1 of 1 for exercise 2"),
        (&["diff"], "+++ exercises/02-spawn-blocking/codec.rs"),
        (&["solve", "--yes"], "exercises/02-spawn-blocking/codec.rs is the solution now"),
        (&["reset"], "exercises/02-spawn-blocking/codec.rs is reset to its starting code"),
        (&["restore"], "exercises/02-spawn-blocking/codec.rs is the saved codec"),
    ] {
        let output = desk.command(words).current_dir(&here).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}: {}", stderr(&output));
        assert!(stdout(&output).contains(said), "{words:?}: {}", stdout(&output));
    }
    // Elsewhere, the next one.
    desk.writes(codec(FIRST), "// Mine.\n");
    assert!(desk.prints(&["diff"]).contains("+++ exercises/01-blocking-codec/codec.rs"));
}

/// On a real codec: only a whole verification counts.
#[test]
fn reset_and_solve_keep_all_that_was_written() {
    let desk = Desk::new();
    let codec = desk.path(codec(SECOND));
    let mut written = Vec::new();
    for number in 0..3 {
        for words in [&["reset", "2"][..], &["solve", "2", "--yes"]] {
            let own = format!("// {number} {words:?}\n").into_bytes();
            fs::write(&codec, &own).unwrap();
            fs::set_permissions(&codec, Permissions::from_mode(0o640)).unwrap();
            written.push(own);
            let said = desk.prints(words);
            // As it says.
            assert!(said.contains("To get it back:     cargo workshop restore 2\n"), "{said}");
            let expected = if words[0] == "reset" { start(SECOND) } else { solution(SECOND) };
            assert_eq!(fs::read_to_string(&codec).unwrap(), expected);
            assert_eq!(fs::metadata(&codec).unwrap().permissions().mode() & 0o777, 0o640);
            desk.prints(&["restore", "2"]);
            assert_eq!(&fs::read(&codec).unwrap(), written.last().unwrap());
        }
    }
    let kept = desk.kept();
    assert!(written.iter().all(|own| kept.contains(own)), "{kept:?}");
    assert_eq!(kept.len(), written.len());
    // What is there already is neither kept nor written.
    fs::write(&codec, start(SECOND)).unwrap();
    assert!(desk.prints(&["reset", "2"]).contains("is already the starting code"));
    fs::write(&codec, solution(SECOND)).unwrap();
    assert!(desk.prints(&["solve", "2"]).contains("is the solution already"));
    assert_eq!(desk.kept().len(), written.len());
    assert!(desk.path(folder(SECOND)).read_dir().unwrap().count() == 2);
}

#[test]
fn two_at_once_keep_it_once_at_least() {
    let desk = Desk::new();
    for _ in 0..10 {
        desk.writes(codec(FIRST), "// Mine.\n");
        let children = [["reset", "1"], ["reset", "1"]].map(|words| {
            let mut command = desk.command(&words);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        for mut child in children {
            // Done, nothing to do, or it was replaced meanwhile.
            assert!(matches!(child.wait().unwrap().code(), Some(0 | 3)));
        }
        assert_eq!(desk.reads(codec(FIRST)), start(FIRST));
    }
    let mine = desk.kept().into_iter().filter(|kept| kept == b"// Mine.\n").count();
    assert!(mine >= 10, "{mine}");
}

#[test]
fn solve_asks_on_a_terminal_and_nowhere_else() {
    let desk = Desk::new();
    desk.writes(codec(FIRST), "// Mine.\n");
    desk.fails(&["solve", "1"], 2, "Nothing was changed. `cargo workshop solve 1 --yes`");
    for (answer, solved) in [("n\r", false), ("\r", false), ("\x04", false), ("y\r", true)] {
        let mut terminal = Terminal::start(desk.command(&["solve", "1"]));
        terminal.screen.expect("Replace it? [y/N] ");
        terminal.press(answer);
        terminal.screen.expect(if solved { "is the solution now" } else { "Nothing was changed" });
        assert_eq!(terminal.end().code(), Some(0));
        let now = desk.reads(codec(FIRST));
        assert_eq!(now, if solved { solution(FIRST) } else { "// Mine.\n".to_owned() });
    }
    // What an editor saves during a question is kept before it is replaced.
    desk.writes(codec(FIRST), "// Mine.\n");
    let mut terminal = Terminal::start(desk.command(&["solve", "1"]));
    terminal.screen.expect("[y/N] ");
    desk.writes(codec(FIRST), "// Saved meanwhile.\n");
    terminal.press("y\r");
    terminal.screen.expect("was saved meanwhile");
    assert_eq!(terminal.end().code(), Some(3));
    assert_eq!(desk.reads(codec(FIRST)), "// Saved meanwhile.\n");
}

#[test]
fn diff_shows_the_way_from_the_start_over_yours_to_the_solution() {
    let desk = Desk::new();
    let output = desk.run(&["diff", "1"]);
    assert!(stdout(&output).is_empty() && stderr(&output).contains("is the start"));
    let mine = start(FIRST).replace("Encryption { keys }\n", "Encryption { keys } // mine\n");
    desk.writes(codec(FIRST), &mine);
    let text = desk.prints(&["diff", "1"]);
    let names = "--- solutions/00-start/codec.rs\n+++ exercises/01-blocking-codec/codec.rs\n@@ ";
    assert!(text.starts_with(names), "{text}");
    assert!(text.contains("\n+    Encryption { keys } // mine\n"), "{text}");
    let text = desk.prints(&["diff", "1", "--solution"]);
    assert!(text.contains("\n-    Encryption { keys } // mine\n"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");

    // `patch` makes of yours what it shows.
    if which("patch") {
        desk.writes("the.diff", &text);
        assert!(desk.shell("sh", "patch -p0 < the.diff").status.success());
        assert_eq!(desk.reads(codec(FIRST)), solution(FIRST));
        desk.writes(codec(FIRST), &mine);
    }
    // Colours on a terminal, unless NO_COLOR is set.
    let mut terminal = Terminal::start(desk.command(&["diff", "1"]));
    terminal.screen.expect("\x1b[32m+    Encryption { keys } // mine\x1b[0m");
    terminal.end();
    let mut command = Command::new("env");
    command.args(["NO_COLOR=1", WORKSHOP, "diff", "1"]).current_dir(desk.0.path());
    let mut terminal = Terminal::start(command);
    let shown = terminal.screen.expect("\n+    Encryption { keys } // mine");
    assert!(!shown.contains('\x1b'), "{shown}");
    terminal.end();

    desk.writes(codec(FIRST), b"fn\xff");
    desk.fails(&["diff", "1"], 2, "is not text: its byte 3 is not valid UTF-8");
}

#[test]
fn what_is_no_file_is_refused_and_what_is_missing_comes_back() {
    let desk = Desk::new();
    let codec = desk.path(codec(FIRST));
    let all = [&["reset", "1"][..], &["solve", "1", "--yes"], &["diff", "1"]];
    fs::rename(&codec, desk.path("mine.rs")).unwrap();
    symlink(desk.path("mine.rs"), &codec).unwrap();
    for words in all {
        desk.fails(words, 3, "is a symbolic link");
    }
    fs::remove_file(&codec).unwrap();
    fs::create_dir(&codec).unwrap();
    for words in all {
        desk.fails(words, 3, "is a folder");
    }
    fs::remove_dir(&codec).unwrap();
    for words in &all[1..] {
        desk.fails(words, 3, "is not there. `cargo workshop reset 1` restores the starting code");
    }
    desk.prints(&["reset", "1"]);
    assert_eq!(fs::read_to_string(&codec).unwrap(), start(FIRST));
    assert!(desk.kept().is_empty());

    // And what the workshop brings itself.
    fs::remove_dir_all(desk.path(folder(FIRST))).unwrap();
    desk.fails(&["reset", "1"], 3, "`git checkout -- exercises` restores it");
    fs::remove_file(desk.path(reference(Step::Start))).unwrap();
    desk.fails(&["reset", "1"], 3, "`git checkout -- solutions` restores it");
    desk.fails(&["status"], 3, "solutions/00-start/codec.rs can't be read");
    for command in ["reset", "solve", "diff"] {
        desk.fails(&[command, "9"], 2, "there is no exercise 9; choose 1 to 4");
        desk.fails(&[command, "two"], 2, "an exercise is a number from 1 to 4");
    }
    desk.fails(&["hint", "1", "two"], 2, "the level of a hint is a number");
    desk.fails(&["puzzle", "two"], 2, "a puzzle is a number from 1 to 8");
    desk.fails(&["worker", "--solution", "two"], 2, "a solution is a number from 0 to 4");
}

/// Whatever can't be written: it is reported, and what was written before is there.
#[test]
fn a_tree_that_cant_be_written_loses_nothing() {
    let desk = Desk::new();
    let mine = "// Mine.\n".repeat(1000);
    desk.writes(codec(FIRST), &mine);
    let shell =
        |limit: &str, words: &str| desk.shell("sh", &format!("{limit}; exec '{WORKSHOP}' {words}"));
    // A file can't grow any more, as on a full disk: with an error, and with a signal that kills.
    for (limit, code) in [("trap '' XFSZ; ulimit -f 1", Some(3)), ("ulimit -f 1", None)] {
        for words in ["reset 1", "solve 1 --yes"] {
            let output = shell(limit, words);
            assert_eq!(output.status.code(), code, "{limit}: {}", stderr(&output));
            if code.is_some() {
                let said = stderr(&output);
                assert!(said.contains("can't be saved in .workshop/kept"), "{said}");
            }
            assert_eq!(desk.reads(codec(FIRST)), mine);
        }
    }
    // Enough for what is kept, and not for what takes its place.
    desk.writes(reference(FIRST), "// Long.\n".repeat(10_000));
    let output = shell("trap '' XFSZ; ulimit -f 40", "solve 1 --yes");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("can't be written"), "{}", stderr(&output));
    assert_eq!(desk.reads(codec(FIRST)), mine);
    // Not even the results.
    let full = desk.command(&["status"]).stdout(fs::File::create("/dev/full").unwrap()).output();
    if Path::new("/dev/full").exists() {
        let full = full.unwrap();
        assert_eq!(full.status.code(), Some(3));
        assert!(stderr(&full).contains("stdout can't be written"), "{}", stderr(&full));
    }

    // No user may write: neither into the exercise's folder, nor into the workshop's.
    let folders = [desk.path(""), desk.path(".workshop/kept"), desk.path(folder(FIRST))];
    let allow = |mode| {
        for folder in &folders {
            fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
        }
    };
    fs::set_permissions(desk.path(codec(FIRST)), Permissions::from_mode(0o644)).unwrap();
    allow(0o555);
    // Root may write everywhere; another user may not.
    let other_user = |words: &[&str]| {
        let mut command = if fs::File::create(desk.path(".workshop/kept/try")).is_ok() {
            let mut command = program("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", WORKSHOP]);
            command
        } else {
            program(WORKSHOP)
        };
        command.args(words).current_dir(desk.0.path()).output()
    };
    let outputs = [
        other_user(&["reset", "1"]),
        other_user(&["solve", "1", "--yes"]),
        other_user(&["verify", "1", "--quick"]),
        other_user(&["watch", "1"]),
        other_user(&["status"]),
        other_user(&["diff", "1"]),
        other_user(&[]),
    ];
    allow(0o755);
    let codes = outputs.map(|output| {
        let output = output.unwrap();
        (output.status.code(), stderr(&output))
    });
    for (code, said) in &codes[..2] {
        assert_eq!(*code, Some(3), "{said}");
        assert!(said.contains("can't be saved") && said.contains("nothing was changed"), "{said}");
    }
    // The file is named, and nothing is watched that can't be judged.
    for (code, said) in &codes[2..4] {
        assert_eq!(*code, Some(3), "{said}");
        assert!(said.contains("error: .workshop/verify/ can't be written"), "{said}");
    }
    // Who only looks need not write.
    for (code, said) in &codes[4..] {
        assert_eq!(*code, Some(0), "{said}");
    }
    assert_eq!(desk.reads(codec(FIRST)), mine);
}

#[test]
fn a_progress_file_that_is_not_understood_is_set_aside() {
    let desk = Desk::new();
    for garbage in ["", "{\"solved\": {\"1\"", "\0\0\0"] {
        desk.writes(".workshop/progress.json", garbage);
        let output = desk.run(&["status"]);
        assert_eq!(output.status.code(), Some(0));
        let said = stderr(&output);
        let aside = said.split("it is now ").nth(1).unwrap().split(',').next().unwrap();
        assert_eq!(desk.reads(aside), garbage);
        assert!(!desk.path(".workshop/progress.json").exists());
    }
    fs::create_dir(desk.path(".workshop/progress.json")).unwrap();
    desk.fails(&["status"], 3, ".workshop/progress.json can't be read");
}

fn which(name: &str) -> bool {
    let line = format!("command -v {name}");
    let found = Command::new("sh").args(["-c", &line]).output().unwrap();
    found.status.success()
}

#[test]
fn shells_take_the_completions() {
    let desk = Desk::new();
    for (shell, check) in
        [("bash", "bash -n"), ("zsh", "zsh -n"), ("fish", "fish --no-execute"), ("elvish", "")]
    {
        let script = desk.prints(&["completions", shell]);
        for command in ["verify", "solve", "completions"] {
            assert!(script.contains(command), "{shell}");
        }
        let name = format!("completions.{shell}");
        desk.writes(&name, &script);
        if !check.is_empty() && which(shell) {
            let taken = desk.shell("sh", &format!("{check} {name}"));
            assert!(taken.status.success(), "{shell}: {}", stderr(&taken));
        }
    }
    desk.fails(&["completions", "basic"], 2, "possible values: bash");
    if which("bash") {
        let press_tab = "source ./completions.bash; COMP_WORDS=(workshop diff --s); COMP_CWORD=2; \
                         _workshop workshop --s diff; echo \"${COMPREPLY[@]}\"";
        let output = desk.shell("bash", press_tab);
        assert_eq!(stdout(&output).trim(), "--solution");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let desk = Desk::new();
    let page = desk.prints(&["man"]);
    assert!(page.starts_with(".ie ") || page.starts_with(".TH "), "{page}");
    assert!(page.contains(".TH workshop 1") && page.contains("workshop\\-verify(1)"), "{page}");
    assert!(!page.contains("workshop\\-worker"), "what is hidden stays hidden: {page}");
    let page = desk.prints(&["man", "solve"]);
    assert!(page.contains(".TH workshop-solve 1") && page.contains("\\-\\-yes"), "{page}");
    desk.fails(&["man", "cook"], 2, "there is no command cook; choose one of status, next,");
}

/// Each command's `--help` ends with examples; a flag that it does not have is an error before another
/// `--help` is heard.
#[test]
fn every_example_in_every_help_has_valid_flags() {
    let help = |words: &[&str]| {
        let output = program(WORKSHOP).args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", stderr(&output));
        stdout(&output)
    };
    let commands_of = |help: &str| -> Vec<String> {
        let list = help.split("Commands:\n").nth(1).unwrap_or("");
        let list = list.lines().take_while(|line| !line.is_empty());
        let names = list.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        names.filter(|name| name != "help").collect()
    };
    let mut commands: Vec<Vec<String>> =
        commands_of(&help(&[])).into_iter().map(|name| vec![name]).collect();
    let mut tried = 0;
    while let Some(command) = commands.pop() {
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        let text = help(&words);
        commands.extend(commands_of(&text).into_iter().map(|name| {
            let mut command = command.clone();
            command.push(name);
            command
        }));
        let prefix = format!("  cargo workshop {}", words.join(" "));
        let examples = text.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{text}"));
        for example in examples.lines().filter(|line| !line.is_empty()) {
            assert!(example.starts_with(&prefix) && example.len() <= 80, "{example}");
            let typed = example.split([' ', '\n']).skip_while(|word| *word != "workshop").skip(1);
            let typed: Vec<_> = typed
                .take_while(|word| !["#", ">", "|"].contains(word))
                .filter(|word| !word.is_empty())
                .collect();
            help(&typed);
            tried += 1;
        }
    }
    assert!(tried >= 25, "{tried}");
}

/// Each program that listens takes an IP address, and no name: a name may stand for several.
#[test]
fn a_name_to_listen_at_is_refused_with_what_to_write() {
    for (path, words) in [
        (WORKSHOP, "worker --solution 1 --metrics-address localhost:8086"),
        (WORKSHOP, "worker --solution 1 --live localhost:8092"),
        (WORKSHOP, "try 1 --live localhost:8092"),
        (WORKSHOP, "compare --live localhost:8092"),
        (STARTER, "--metrics-address localhost:8087"),
    ] {
        let output = program(path).args(words.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("write an IP address and a port, such as"), "{words}: {said}");
    }
}

/// Not even in the folder that the program was built in.
#[test]
fn outside_of_any_clone_nothing_is_changed_and_it_is_said() {
    let elsewhere = tempfile::tempdir().unwrap();
    for words in [
        &[][..],
        &["status"],
        &["next"],
        &["hint", "1"],
        &["diff", "1"],
        &["reset", "1"],
        &["solve", "1", "--yes"],
        &["restore", "1"],
        &["verify", "1", "--quick"],
        &["watch", "1"],
        &["server"],
    ] {
        let output = program(WORKSHOP).args(words).current_dir(elsewhere.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("not a folder of the workshop"), "{}", stderr(&output));
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

/// A shell's job: the system stops a program that touches the terminal from the background.
#[test]
fn watch_runs_in_the_background() {
    // Without it, no terminal here has jobs.
    if !which("setsid") {
        return;
    }
    let desk = Desk::new();
    desk.writes(codec(FIRST), "");
    let job = format!(
        "set -m; '{WORKSHOP}' watch 1 & job=$!; read line; kill -INT $job; wait $job; echo code $?"
    );
    let mut command = program("setsid");
    command.args(["--ctty", "--wait", "sh", "-c", &job]).current_dir(desk.path(""));
    let mut terminal = Terminal::start(command);
    terminal.screen.expect("Running in the background, so keys are off");
    terminal.screen.expect("watching exercise 1");
    // It still looks.
    desk.writes(codec(FIRST), " ");
    terminal.screen.expect("watching exercise 1");
    terminal.press("\r");
    terminal.screen.expect("Stopped.");
    terminal.screen.expect("code 0");
    terminal.end();
}
