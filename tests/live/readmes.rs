//! Runs the commands of the exercises' READMEs and of docs/by-hand.md, and compares what they print with what the
//! READMEs show.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use cli_kit::settings::{self, Settings};
use rustix::process::Signal;
use solutions::Step;

use crate::support::{Group, Stage, free_ports, stderr, stdout, typed, wait_for};

/// A part of a page, from one heading to the next.
struct Section {
    heading: String,
    /// The lines of its `sh` blocks.
    commands: Vec<String>,
    /// Its `text` blocks.
    shown: Vec<String>,
    /// Code within its sentences.
    inline: Vec<String>,
}

fn sections(page: &Path) -> Vec<Section> {
    let text = fs::read_to_string(page).unwrap();
    let parts = text.split("\n## ").skip(1).map(|part| {
        let (heading, body) = part.split_once('\n').unwrap();
        let (mut commands, mut shown, mut prose) = (Vec::new(), Vec::new(), String::new());
        for (number, block) in body.split("```").enumerate() {
            if number % 2 == 0 {
                prose += block;
            } else if let Some(lines) = block.strip_prefix("sh\n") {
                let lines = lines.lines().map(|line| line.split(" #").next().unwrap().trim());
                commands.extend(lines.map(str::to_owned));
            } else if let Some(text) = block.strip_prefix("text\n") {
                shown.push(text.to_owned());
            } else {
                panic!("{}: a block that is neither sh nor text", page.display());
            }
        }
        // A command may go on in the next line.
        let prose = prose.split_whitespace().collect::<Vec<_>>().join(" ");
        let inline = prose.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Section { heading: heading.to_owned(), commands, shown, inline }
    });
    parts.collect()
}

/// A text without its numbers, and without how they are aligned.
fn numbers_aside(text: &str) -> String {
    let mut masked = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            '.' if masked.ends_with('#') => {}
            _ => masked.push(c),
        }
    }
    masked.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An attendee at the keyboard, with a server and ports of their own.
struct Attendee {
    stage: Stage,
    root: PathBuf,
    folder: PathBuf,
    ports: Settings,
}

impl Attendee {
    fn of(step: Step) -> Self {
        let stage = Stage::new();
        let mut ports = free_ports();
        let address = stage.address();
        let port = address.rsplit(':').next().unwrap();
        ports.set(settings::TEMPORAL_PORT, port);
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        Self { stage, folder: root.join("exercises").join(step.folder()), root, ports }
    }

    fn types(&self, command: &str, folder: &Path) -> std::process::Command {
        let mut command = typed(command);
        command.current_dir(folder).envs(self.ports.variables());
        command
    }

    /// The worker, once it serves its metrics.
    fn worker(&self, command: &str) -> Group {
        let log = self.stage.folder.path().join("worker.log");
        let mut command = self.types(command, &self.folder);
        command
            .stdout(File::create(&log).unwrap())
            .stderr(File::options().append(true).open(&log).unwrap());
        let worker = Group::start(&mut command);
        wait_for("the worker to poll", || {
            fs::read_to_string(&log).unwrap().contains("worker polls").then_some(())
        });
        worker
    }

    fn runs(&self, command: &str, folder: &Path, may_end_with: &[i32]) -> String {
        let output = self.types(command, folder).output().unwrap();
        let ended = output.status.code().unwrap_or(-1);
        assert!(may_end_with.contains(&ended), "{command}: {ended}\n{}", stderr(&output));
        stdout(&output)
    }

    /// A load like the README's, and small.
    fn starter(&self, command: &str) -> String {
        let words: Vec<_> = command.split(' ').collect();
        let workflows = words.iter().position(|word| *word == "--workflows").unwrap() + 1;
        let small =
            words.iter().enumerate().map(|(at, word)| if at == workflows { "4" } else { word });
        self.runs(&small.collect::<Vec<_>>().join(" "), &self.root, &[0])
    }
}

fn is_worker(command: &str) -> bool {
    command.starts_with("cargo run --bin worker")
}

/// The commands of an exercise's "By hand", and what the starter prints there.
fn by_hand(sections: &[Section]) -> (&str, &str, &str) {
    let section = sections.iter().find(|section| section.heading == "By hand").unwrap();
    let [worker, starter] = &section.commands[..] else { panic!("{:?}", section.commands) };
    let [shown] = &section.shown[..] else { panic!("{:?}", section.shown) };
    (worker, starter, shown)
}

/// How the metrics are read without Grafana.
fn curl(root: &Path) -> String {
    let page = sections(&root.join("docs/by-hand.md"));
    let mut commands = page.into_iter().flat_map(|section| section.commands);
    commands.find(|command| command.starts_with("curl ")).unwrap()
}

/// Without an address, it checks the worker that runs here.
const CHECK: &str = "cargo workshop check-worker";

/// Types all commands of the exercise's README.
fn follow(step: Step) {
    let attendee = Attendee::of(step);
    let sections = sections(&attendee.folder.join("README.md"));
    let (worker, starter, shown) = by_hand(&sections);

    // With the codec as it is.
    let mut running = attendee.worker(worker);
    let printed = attendee.starter(starter);
    assert_eq!(numbers_aside(&printed), numbers_aside(shown));
    running.signal(Signal::TERM);
    running.wait_until_gone();

    // The task is done, with the same flags.
    let flags = worker.split_once(" -- ").map_or("", |(_, flags)| flags);
    let solved = format!("cargo run --bin worker -- --solution {} {flags}", step.number());
    let mut running = attendee.worker(&solved);
    assert_eq!(numbers_aside(&attendee.starter(starter)), numbers_aside(shown));
    let port = attendee.ports.get(settings::WORKER_METRICS_PORT);
    let printed = attendee.runs(&curl(&attendee.root).replace("8086", port), &attendee.root, &[0]);
    for metric in ["codec_longest_poll_seconds", "codec_call_seconds_sum", "codec_poll_seconds_sum"]
    {
        assert!(printed.contains(metric), "{metric}: {printed}");
    }
    let inline = || sections.iter().flat_map(|section| &section.inline);
    for command in inline().filter(|command| *command == CHECK) {
        // So few tasks are not enough for a verdict; but the worker is found, and read.
        let printed = attendee.runs(&format!("{command} --for 3s"), &attendee.folder, &[0, 3]);
        assert!(printed.contains("Pages:") && !printed.contains("no answer"), "{printed}");
    }
    running.signal(Signal::TERM);
    running.wait_until_gone();

    for command in inline() {
        if is_worker(command) {
            let mut running = attendee.worker(command);
            running.signal(Signal::TERM);
            running.wait_until_gone();
        } else if command.starts_with("cargo workshop verify ") {
            // Solved or not: that is the attendee's.
            let printed = attendee.runs(command, &attendee.folder, &[0, 1]);
            assert!(
                printed.contains("Not solved yet: ") || printed.contains("Solved"),
                "{printed}"
            );
        } else if command.starts_with("cargo workshop hint ") {
            let printed = attendee.runs(command, &attendee.folder, &[0]);
            assert!(printed.contains("cargo workshop hint"), "{printed}");
        } else if command.starts_with("cargo workshop compare ") {
            let small = format!("{command} --workflows 4 --activities 1 --limit 60");
            let printed = attendee.runs(&small, &attendee.folder, &[0]);
            assert!(printed.contains("mine_") && printed.contains("workflows done"), "{printed}");
        } else if command == "cargo workshop server" {
            // tests/live/server.rs
        } else if command == CHECK {
            // Beside a worker, above.
        } else if command.starts_with("cargo workshop try ") {
            // tests/verify/attempt.rs
        } else if command.starts_with("cargo ") || command.starts_with("nix ") {
            panic!("{command}: this test does not know how to run it");
        }
    }
}

#[test]
#[ignore = "takes some minutes, and builds the worker with the exercises as they are"]
fn exercise_1() {
    follow(Step::Blocking);
}

#[test]
#[ignore = "takes some minutes, and builds the worker with the exercises as they are"]
fn exercise_2() {
    follow(Step::SpawnBlocking);
}

#[test]
#[ignore = "takes some minutes, and builds the worker with the exercises as they are"]
fn exercise_3() {
    follow(Step::Async);
}

#[test]
#[ignore = "takes some minutes, and builds the worker with the exercises as they are"]
fn exercise_4() {
    follow(Step::BeyondAsync);
}

/// The headings of every exercise's README, in this order.
const PARTS: [&str; 7] = [
    "Think first",
    "See it run",
    "Your task",
    "When you are stuck",
    "By hand",
    "What you see",
    "What this does not fix",
];

#[test]
fn every_exercise_has_a_readme_with_all_its_parts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for step in Step::EXERCISES {
        let readme = root.join("exercises").join(step.folder()).join("README.md");
        let text = fs::read_to_string(&readme).unwrap();
        assert!(text.contains("**You will learn to** "), "{}", readme.display());
        let sections = sections(&readme);
        let headings: Vec<_> = sections.iter().map(|part| &part.heading[..]).collect();
        assert_eq!(headings, PARTS, "{}", readme.display());
        for command in ["try", "verify"] {
            let command = format!("cargo workshop {command} {}", step.number());
            assert!(text.contains(&command), "{}: {command}", readme.display());
        }
        for scheme in ["light", "dark"] {
            let picture = format!("exercise-{}.{scheme}.png", step.number());
            assert!(text.contains(&picture), "{}: {picture}", readme.display());
        }
        // A picture is not read line by line.
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('<')).count();
        assert!(lines <= 80, "{}: {lines} lines are more than two screens", readme.display());
    }
}

/// docs/by-hand.md repeats the flags of each exercise.
#[test]
fn by_hand_has_the_commands_of_every_exercise() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/by-hand.md")).unwrap();
    for step in Step::EXERCISES {
        let sections = sections(&root.join("exercises").join(step.folder()).join("README.md"));
        let (worker, starter, _) = by_hand(&sections);
        for command in [worker, starter] {
            let row = page.lines().find(|line| line.ends_with(&format!("| `{command}` |")));
            let row = row.unwrap_or_else(|| panic!("docs/by-hand.md has no row for {command}"));
            assert!(row.contains(&step.number().to_string()), "{step:?}: {row}");
        }
    }
}
