//! `workshop watch`, and `verify --all` beside code that does not compile, in a copy of the workspace: an
//! attendee's own files are never touched.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use solutions::Step;
use sysinfo::{ProcessStatus, ProcessesToUpdate, System};

use crate::support::{
    Group, WORKSHOP,
    checkout::{Checkout, solution, start},
    stderr, stdout,
    terminal::{Screen, Terminal},
    wait_for,
};

/// As many editors do it: a new file takes the old one's name.
fn save(checkout: &Checkout, step: Step, content: &str) {
    let new = checkout.codec(step).with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, checkout.codec(step)).unwrap();
}

fn workshop(checkout: &Checkout, arguments: &[&str]) -> Command {
    let mut command = checkout.program(WORKSHOP);
    command.args(arguments);
    command
}

impl Terminal {
    /// Waits until the program waits itself, for a key or a save.
    fn expect_bar(&mut self, step: Step) -> String {
        let live = if step == Step::Blocking { "" } else { "[l] live run  " };
        let bar = format!("watching exercise {}  [c] check now  {live}[h] hint", step.number());
        let before = self.screen.expect(&bar);
        self.screen.expect("[q] quit");
        before
    }

    fn expect_heading(&mut self, step: Step) -> String {
        let codec = Path::new("exercises").join(step.folder()).join("codec.rs");
        self.screen.expect(&format!("Exercise {}, {}", step.number(), codec.display()))
    }

    /// What it started and still runs.
    fn children(&self) -> Vec<String> {
        let mut system = System::new();
        system.refresh_processes(ProcessesToUpdate::All, true);
        let pid = sysinfo::Pid::from_u32(self.program.pid().as_raw_nonzero().get().cast_unsigned());
        let children = system.processes().values().filter(|process| {
            // A thread is one of them there, and a dead one that was not waited for yet is not.
            process.parent() == Some(pid)
                && process.thread_kind().is_none()
                && process.status() != ProcessStatus::Zombie
        });
        children.map(|process| process.name().to_string_lossy().into_owned()).collect()
    }
}

#[test]
fn a_save_is_judged_and_each_key_does_what_the_bar_says() {
    let checkout = Checkout::take();
    let [first, second, third] = [Step::Blocking, Step::SpawnBlocking, Step::Async];
    let mut terminal = Terminal::start(workshop(&checkout, &["watch", "2"]));
    terminal.expect_heading(second);
    let verdict = terminal.expect_bar(second);
    assert!(verdict.contains("Not solved"), "{verdict}");
    assert!(!terminal.is_as_it_was());
    let long = verdict.lines().find(|line| console::measure_text_width(line) > 80);
    assert_eq!(long, None);

    for level in 1..=2 {
        terminal.press("h");
        terminal.screen.expect(&format!("Hint {level} of 3 for exercise 2:"));
        terminal.expect_bar(second);
    }

    // A save cancels the check of the version before it, even if that was correct.
    save(&checkout, second, &solution(second));
    terminal.expect_heading(second);
    save(&checkout, second, &start(second));
    terminal.screen.expect("Saved meanwhile");
    let verdict = terminal.expect_bar(second);
    assert!(verdict.contains("Not solved") && !verdict.contains("Solved:"), "{verdict}");

    terminal.press("n");
    terminal.screen.expect("Exercise 2 is not solved yet");
    terminal.screen.expect("exercises/03-async-codec/README.md");
    terminal.expect_heading(third);

    // Saving another exercise's codec switches to it, even during a judgement.
    save(&checkout, first, &solution(first));
    terminal.screen.expect("Saved meanwhile");
    terminal.expect_heading(first);
    let verdict = terminal.expect_bar(first);
    assert!(verdict.contains("Solved: exercise 1."), "{verdict}");
    terminal.press("l");
    terminal.screen.expect("Exercise 1 has no live run");
    terminal.press("c");
    terminal.expect_heading(first);
    terminal.expect_bar(first);
    terminal.press("n");
    let said = terminal.expect_heading(second);
    assert!(!said.contains("not solved yet"), "{said}");
    assert!(said.contains("exercises/02-spawn-blocking/README.md"), "{said}");

    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0), "{}", terminal.screen.rest());
    assert!(terminal.is_as_it_was());

    // Ctrl-C is as good: no error.
    let mut terminal = Terminal::start(workshop(&checkout, &["watch", "1"]));
    terminal.expect_heading(first);
    terminal.program.signal(Signal::INT);
    terminal.screen.expect("Stopped.");
    assert_eq!(terminal.end().code(), Some(0), "{}", terminal.screen.rest());
    assert!(!terminal.screen.rest().contains("error"), "{}", terminal.screen.rest());
    assert!(terminal.is_as_it_was());
    wait_for("all workers to be gone", || (!checkout.has_workers()).then_some(()));
}

#[test]
#[ignore = "takes some minutes: loads on a real server"]
fn a_live_run_comes_on_request_and_a_save_ends_it() {
    let checkout = Checkout::take();
    let second = Step::SpawnBlocking;
    save(&checkout, second, &solution(second));
    let mut terminal = Terminal::start(workshop(&checkout, &["watch", "2"]));
    let verdict = terminal.expect_bar(second);
    let passed = "Exercise 2: quick checks passed; the live run decides.";
    assert!(verdict.contains(passed) && verdict.contains("press l"), "{verdict}");
    assert!(!verdict.contains("Solved"), "{verdict}");

    terminal.press("l");
    terminal.screen.expect("live run, blocking");
    wait_for("a server and a worker", || (terminal.children().len() >= 2).then_some(()));
    save(&checkout, second, &format!("{}\n// Saved again.\n", solution(second)));
    terminal.screen.expect("Saved meanwhile");
    let verdict = terminal.expect_bar(second);
    assert!(verdict.contains(passed), "{verdict}");
    wait_for("server and workers to be gone", || terminal.children().is_empty().then_some(()));

    terminal.press("l");
    let verdict = terminal.expect_bar(second);
    let of_the_server = verdict.lines().find(|line| line.contains("on a real server: "));
    // Its result depends on the machine, too; but it must have been run.
    assert!(of_the_server.is_some_and(|line| line.contains("of 22 workflows")), "{verdict}");

    // However it ends, the terminal is as it was.
    terminal.program.signal(Signal::TERM);
    assert_eq!(terminal.end().code(), Some(130), "{}", terminal.screen.rest());
    assert!(terminal.is_as_it_was());
}

#[test]
fn without_a_terminal_it_watches_until_a_signal() {
    let checkout = Checkout::take();
    let first = Step::Blocking;
    let mut command = workshop(&checkout, &["watch", "1"]);
    command.stdin(Stdio::null());
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut watch = Group::start(&mut command);
    let mut screen = Screen::of(reader);
    screen.expect("Not a terminal, so keys are off");
    let verdict = screen.expect("watching exercise 1\n");
    assert!(verdict.contains("Not solved") && !verdict.contains("[q]"), "{verdict}");
    assert!(!verdict.contains('\x1b'), "{verdict}");

    // Written again as it was, then changed: one verdict more.
    save(&checkout, first, &start(first));
    fs::write(checkout.codec(first), start(first)).unwrap();
    save(&checkout, first, &solution(first));
    let verdict = screen.expect("watching exercise 1\n");
    assert_eq!(verdict.matches("Exercise 1, ").count(), 1, "{verdict}");
    assert!(verdict.contains("Solved: exercise 1."), "{verdict}");

    // What does not compile is shown, and watched on.
    save(&checkout, first, "pub fn codec() { half }");
    let verdict = screen.expect("watching exercise 1\n");
    assert!(verdict.contains("cannot find value `half`"), "{verdict}");
    assert!(verdict.contains("does not compile"), "{verdict}");

    save(&checkout, first, &solution(first));
    screen.expect("Exercise 1, ");
    wait_for("the judge to be at work", || checkout.has_workers().then_some(()));
    watch.signal(Signal::TERM);
    assert_eq!(watch.wait_until_gone().code(), Some(130));
    screen.expect("terminated (SIGTERM); no longer watching");
    wait_for("all workers to be gone", || (!checkout.has_workers()).then_some(()));
}

#[test]
fn what_does_not_compile_stops_only_its_own_exercise() {
    let checkout = Checkout::take();
    save(&checkout, Step::Blocking, &solution(Step::Blocking));
    save(&checkout, Step::SpawnBlocking, "pub fn codec() { half }");
    let output = workshop(&checkout, &["verify", "--all", "--quick"]).output().unwrap();
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{}", stderr(&output));
    assert!(stderr(&output).contains("cannot find value `half`"), "{}", stderr(&output));
    for step in Step::EXERCISES {
        let number = step.number();
        let codec = Path::new("exercises").join(step.folder()).join("codec.rs");
        assert!(said.contains(&format!("Exercise {number}, {}\n", codec.display())), "{said}");
        let expected = match step {
            Step::Blocking => "solved",
            Step::SpawnBlocking => "does not compile",
            _ => "not solved",
        };
        assert!(said.contains(&format!("\nexercise {number}: {expected}\n")), "{said}");
    }

    let output = workshop(&checkout, &["verify", "2", "--quick", "--json"]).output().unwrap();
    assert_eq!(crate::support::json(&output)["compiles"], false);

    // It was this copy's codec that was judged, and no other's.
    let worker = checkout.root.join("target/debug/exercise-1");
    let version = Command::new(worker).arg("--version").output().unwrap();
    assert!(stdout(&version).contains(&checkout.version()), "{}", stdout(&version));
}
