//! `workshop verify` with a file that is no codec, and with harmful codecs: it survives, names the cause,
//! ends in time and leaves nothing running.
//!
//! All of it happens in a copy of the workshop.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use solutions::Step;
use tempfile::NamedTempFile;

use crate::support::{
    Group, PATIENCE, Process, WORKSHOP, checkout::Checkout, json, stderr, stdout, wait_for,
};

/// The limit of a verification is 45 s. The rest is for cargo, which may have to wait until it has built the other
/// copies.
const IN_TIME: Duration = PATIENCE;
/// Bytes that `verify` may print, whatever a codec does.
const SANE: usize = 16 << 10;
/// Bytes of a codec's output that it may keep in a file.
const KEPT: u64 = 17 << 20;
/// What was killed needs a moment to be gone.
const KILL_GRACE: Duration = Duration::from_secs(30);

/// Solves exercise 1, unless the variable `MISBEHAVES` says otherwise.
const MISBEHAVING: &str = include_str!("misbehaving_codec.rs");

/// What these tests do in the copy.
impl Checkout {
    fn verify(&self, flags: &[&str]) -> Command {
        let mut command = self.program(WORKSHOP);
        command.args(["verify", "--quick"]).args(flags);
        command
    }

    /// Runs it to its end, and sees to it that it ends in time and leaves nothing running.
    fn run(&self, what: &str, mut command: Command) -> Output {
        let [printed, said] = [(); 2].map(|()| NamedTempFile::new().unwrap());
        command.stdout(printed.reopen().unwrap()).stderr(said.reopen().unwrap());
        let began = Instant::now();
        let status = Group::start(&mut command).wait_until_gone();
        let took = began.elapsed();
        println!("{what}: {} s", took.as_secs());
        self.nothing_is_left(what);
        assert!(took < IN_TIME, "{what}: {took:?}");
        Output { status, stdout: fs::read(printed).unwrap(), stderr: fs::read(said).unwrap() }
    }

    /// `verify 1 --quick --json`, with a codec that misbehaves as told. A busy machine stays busy for a
    /// while, so it is asked again.
    fn judges(&self, misbehaves: &str) -> (Output, Value) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "{misbehaves}: the machine stays too busy");
            let mut verify = self.verify(&["1", "--json"]);
            verify.env("MISBEHAVES", misbehaves);
            let output = self.run(misbehaves, verify);
            if stderr(&output).contains("too busy to judge") {
                continue;
            }
            let length = output.stdout.len() + output.stderr.len();
            assert!(length < SANE, "{misbehaves}: {length} bytes were printed");
            let kept = fs::metadata(self.root.join(".workshop/verify/output.log")).unwrap().len();
            assert!(kept < KEPT, "{misbehaves}: {kept} bytes are kept");
            let report = json(&output);
            return (output, report);
        }
    }

    /// No process whose program is one of the copy's, or which was started in its folder.
    fn nothing_is_left(&self, what: &str) {
        let began = Instant::now();
        let mut left = self.processes();
        while !left.is_empty() && began.elapsed() < KILL_GRACE {
            thread::sleep(Duration::from_millis(20));
            left = self.processes();
        }
        for (pid, _) in &left {
            kill_process(*pid, Signal::KILL).ok();
        }
        assert!(left.is_empty(), "{what}: these were left running: {left:?}");
    }
}

fn diagnosis(report: &Value) -> String {
    let lines = report["diagnosis"].as_array().unwrap();
    assert!(lines.len() <= 6, "{report:#}");
    lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_file_that_is_no_codec_is_told() {
    let checkout = Checkout::take();
    let path = checkout.codec(Step::Blocking);
    let elsewhere = |to: &str| {
        checkout.removes(Step::Blocking);
        symlink(to, &path).unwrap();
    };
    let cases: [(&str, &dyn Fn()); 9] = [
        ("codec.rs is not there", &|| checkout.removes(Step::Blocking)),
        ("codec.rs is not there", &|| elsewhere("no/such/file.rs")),
        ("codec.rs is not a file", &|| {
            checkout.removes(Step::Blocking);
            fs::create_dir(&path).unwrap();
        }),
        ("codec.rs is not a file", &|| elsewhere("/dev/zero")),
        ("codec.rs is empty", &|| checkout.writes(Step::Blocking, "")),
        ("codec.rs is empty", &|| checkout.writes(Step::Blocking, "\n \n")),
        ("codec.rs is not text", &|| checkout.writes(Step::Blocking, b"fn codec\xff\xfe() {}")),
        ("codec.rs does not compile", &|| {
            checkout.writes(Step::Blocking, "This is no Rust. { ( [")
        }),
        ("pub fn codec(keys: KeyService)", &|| {
            checkout.writes(Step::Blocking, "pub fn other() {}")
        }),
    ];
    for (told, attendee) in cases {
        attendee();
        let output = checkout.run(told, checkout.verify(&["1", "--json"]));
        let report = json(&output);
        let said = diagnosis(&report);
        assert_eq!(output.status.code(), Some(1), "{told}: {said}{}", stderr(&output));
        assert!(said.contains(told), "{told}: {said}");
        assert!(said.contains("exercises/01-blocking-codec/codec.rs"), "{told}: {said}");
        assert!(output.stderr.len() < SANE, "{told}: {}", stderr(&output));
        // The same as text.
        let text = stdout(&checkout.run(told, checkout.verify(&["1"])));
        assert_eq!(text.trim(), said.trim(), "{told}");
    }
    checkout.removes(Step::Blocking);
}

#[test]
fn a_link_to_a_codec_in_a_folder_that_is_read_only_is_judged() {
    let checkout = Checkout::take();
    let kept = checkout.root.join("exercises/kept-elsewhere.rs");
    fs::write(&kept, MISBEHAVING).unwrap();
    checkout.removes(Step::Blocking);
    symlink("../kept-elsewhere.rs", checkout.codec(Step::Blocking)).unwrap();
    let folder = checkout.root.join("exercises/01-blocking-codec");
    fs::set_permissions(&folder, Permissions::from_mode(0o555)).unwrap();
    let output = checkout.run("a link", checkout.verify(&["1", "--json"]));
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(json(&output)["solved"], true);
}

/// A codec that misbehaves so, and what `verify` says of it.
type Harm = (&'static str, &'static str);

/// One of each way to end early.
const HARM: [Harm; 5] = [
    ("panics polled", "the codec panicked: enough of this"),
    ("loops called", "did not finish within"),
    ("eats polled", "takes more than 1 GiB of memory"),
    ("prints-a-gigabyte polled", "prints more than 16 MiB"),
    ("starts-a-program-and-exits polled", "the codec ended the whole program"),
];

const MORE_HARM: [Harm; 13] = [
    ("panics made", "the codec panicked: enough of this"),
    ("panics called", "the codec panicked: enough of this"),
    ("panics-at-length polled", "the codec panicked: word word"),
    ("overflows polled", "the codec ended the whole program"),
    ("loops made", "making the codec: it did not finish"),
    ("loops polled", "did not finish within"),
    ("asks-for-memory polled", "takes more than 1 GiB of memory"),
    // A panic, or an abort: whatever the system makes of the last thread that it can't start.
    ("starts-threads polled", "Seen: "),
    ("exits-0 polled", "the codec ended the whole program.\nSeen:  exit status: 0,"),
    ("exits-7 polled", "the codec ended the whole program.\nSeen:  exit status: 7,"),
    ("exits-0 made", "the codec ended the whole program.\nSeen:  exit status: 0,"),
    ("aborts polled", "the codec ended the whole program.\nSeen:  signal: 6"),
    ("complains-for-a-gigabyte polled", "prints more than 16 MiB"),
];

fn is_survived(harm: &[Harm]) {
    Checkout::side_by_side(harm, |checkout, (misbehaves, told)| {
        checkout.writes(Step::Blocking, MISBEHAVING);
        let (output, report) = checkout.judges(misbehaves);
        let said = diagnosis(&report);
        assert_eq!(output.status.code(), Some(1), "{misbehaves}: {said}");
        assert!(
            said.starts_with("Not solved yet: ") && said.contains(told),
            "{misbehaves}: {said}"
        );
        assert!(said.lines().all(|line| line.len() < 600), "{misbehaves}: {said}");
    });
}

#[test]
fn a_codec_that_does_harm_is_survived() {
    is_survived(&HARM);
}

#[test]
#[ignore = "takes minutes: every other way to do harm"]
fn other_codecs_that_do_harm_are_survived() {
    is_survived(&MORE_HARM);
}

/// One that does no harm is judged as always, and what it has started ends with it.
#[test]
fn a_program_that_a_codec_starts_ends_with_it() {
    let checkout = Checkout::take();
    checkout.writes(Step::Blocking, MISBEHAVING);
    for misbehaves in ["", "starts-a-program polled"] {
        let (output, report) = checkout.judges(misbehaves);
        assert_eq!(output.status.code(), Some(0), "{misbehaves}: {report:#}");
        assert_eq!(report["solved"], true, "{misbehaves}: {report:#}");
    }
}

#[test]
fn a_verify_that_is_killed_takes_the_codec_with_it() {
    let checkout = Checkout::take();
    checkout.writes(Step::Blocking, MISBEHAVING);
    let mut verify = checkout.verify(&["1"]);
    let mut verify = Process::new(verify.env("MISBEHAVES", "loops made").spawn().unwrap());
    wait_for("the codec to be judged", || checkout.has_workers().then_some(()));
    verify.signal(Signal::KILL);
    verify.wait();
    checkout.nothing_is_left("killed");

    // It may be killed before the codec's process has looked for it.
    let mut late = checkout.program("target/debug/exercise-1");
    late.args(["--for", &verify.pid().to_string()]);
    let mut late = Process::new(late.env("MISBEHAVES", "loops made").spawn().unwrap());
    assert_eq!(late.wait().code(), Some(130));
}

/// A codec that misbehaves so, what it leaks, and in which form.
type Leaks = (&'static str, &'static str, &'static str);

const LEAKS: [Leaks; 2] = [
    // As the SDK prints it, which is not in full.
    ("prints-payloads polled", "a payload", "base64"),
    ("prints-the-key made", "the data key", "numbers"),
];

const MORE_LEAKS: [Leaks; 4] = [
    ("prints-bytes polled", "a payload", "numbers"),
    ("prints-text polled", "a payload", "text"),
    ("prints-hex polled", "a payload", "hexadecimal"),
    ("logs-payloads polled", "a payload", "base64"),
];

/// Otherwise, each of them solves exercise 1.
fn are_not_solved(leaks: &[Leaks]) {
    Checkout::side_by_side(leaks, |checkout, (misbehaves, what, form)| {
        checkout.writes(Step::Blocking, MISBEHAVING);
        let (output, report) = checkout.judges(misbehaves);
        let said = diagnosis(&report);
        assert_eq!(output.status.code(), Some(1), "{misbehaves}: {report:#}");
        assert_eq!(report["leak"]["what"], *what, "{misbehaves}: {report:#}");
        assert_eq!(report["leak"]["form"], *form, "{misbehaves}: {report:#}");
        let sentence = "Not solved yet: the codec leaks a payload or a key.";
        assert!(said.starts_with(sentence) && said.contains(what), "{misbehaves}: {said}");
    });
}

#[test]
fn a_codec_that_prints_what_it_encrypts_is_not_solved() {
    are_not_solved(&LEAKS);
}

#[test]
#[ignore = "takes minutes: every other form of a leak"]
fn what_a_codec_prints_in_other_forms_is_found() {
    are_not_solved(&MORE_LEAKS);
    let checkout = Checkout::take();
    checkout.writes(Step::Blocking, MISBEHAVING);
    let (output, report) = checkout.judges("logs-decently polled");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    assert!(report["leak"].is_null(), "{report:#}");
}

#[test]
fn code_that_does_not_compile_stops_its_own_exercise_only() {
    let checkout = Checkout::take_first();
    checkout.writes(Step::SpawnBlocking, "pub fn codec(");
    checkout.writes(Step::Blocking, MISBEHAVING);
    let (output, report) = checkout.judges("");
    assert_eq!(output.status.code(), Some(0), "{report:#}");

    // Through cargo's alias: the program `workshop` is built, too.
    let cargo = |flags: &str| {
        let mut command = checkout.program(env!("CARGO"));
        // What is not built yet takes its time.
        let output = command.args(flags.split(' ')).output().unwrap();
        checkout.nothing_is_left(flags);
        output
    };
    let doctor = cargo("workshop doctor --no-stack --json");
    assert!(json(&doctor).is_array(), "{}", stderr(&doctor));
    let output = cargo("workshop verify 2 --quick --json");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = diagnosis(&json(&output));
    assert!(said.contains("exercises/02-spawn-blocking/codec.rs does not compile"), "{said}");
    assert!(said.contains("cargo workshop hint 2"), "{said}");
    let compiler = stderr(&output);
    assert!(compiler.contains("exercises/02-spawn-blocking/codec.rs:1:"), "{compiler}");

    // And the worker: where no server is, it tells its codec before it looks for one.
    let worker = |exercise: u8| {
        cargo(&format!(
            "run --bin worker -- --exercise {exercise} --address 127.0.0.1:1 --metrics-address \
             127.0.0.1:0"
        ))
    };
    let output = worker(1);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("exercises/01-blocking-codec/codec.rs"),
        "{}",
        stderr(&output)
    );
    let output = worker(2);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("02-spawn-blocking/codec.rs does not compile"), "{said}");
    assert!(said.contains("cargo workshop hint 2"), "{said}");
}
