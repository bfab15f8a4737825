//! `workshop`, `workshop status`, `workshop next`: which exercise an attendee is at, and what to do next.

use std::{fs, path::Path};

use clap::Args;
use cli_kit::{
    exit::{Exit, Failure},
    root, term,
};
use console::{measure_text_width, style};
use serde::Serialize;
use solutions::Step;

use crate::course::{self, Progress, Solved, Try};

/// The flags of `workshop status`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop status
  cargo workshop status --json    # for a program")]
pub struct StatusArgs {
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

/// The state of an exercise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ExerciseState {
    Solved,
    SolvedAndChanged,
    Started,
    NotStarted,
    /// Its codec can't be read, whatever was solved before.
    Broken,
}

/// One exercise. `--json` prints it as it is.
#[derive(Debug, Serialize)]
struct Status {
    exercise: u8,
    #[serde(skip)]
    step: Step,
    title: String,
    folder: String,
    state: ExerciseState,
    #[serde(skip_serializing_if = "Option::is_none")]
    solved_at: Option<String>,
    /// Why its codec.rs can't even be given to a compiler.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// The first guess and measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_try: Option<Try>,
    /// The last guess and measurement.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_try: Option<Try>,
}

impl Status {
    fn of(step: Step, root: &Path, progress: &Progress) -> Result<Self, Failure> {
        let codec = root.join(course::codec(step));
        let (content, fault) = match course::source(&codec) {
            Ok(content) => (Some(content), None),
            Err(fault) => (None, Some(fault)),
        };
        let is_start = content.as_deref() == Some(&course::start(root, step)?[..]);
        // An exercise whose codec is gone or reset has to be done again.
        let solved = progress.of(step).filter(|_| course::is_solved(step, root, progress));
        let as_solved =
            |solved: &Solved| content.as_deref().is_some_and(|content| solved.is(content));
        let state = match solved {
            Some(solved) if as_solved(solved) => ExerciseState::Solved,
            Some(_) => ExerciseState::SolvedAndChanged,
            None if fault.is_some() => ExerciseState::Broken,
            None if is_start => ExerciseState::NotStarted,
            None => ExerciseState::Started,
        };
        let mut tries = Try::all(root, step).into_iter();
        let first_try = tries.next();
        Ok(Self {
            exercise: step.number(),
            step,
            title: title(step, root),
            folder: course::folder(step).display().to_string(),
            state,
            solved_at: solved.map(|solved| solved.at.clone()),
            fault,
            last_try: tries.last().or_else(|| first_try.clone()),
            first_try,
        })
    }

    /// The last guess and measurement as text: "last try 8.1 s (guess: 9.0 s)".
    fn last_try(&self) -> Option<String> {
        self.last_try.as_ref().map(|last| format!("last try {}", measured(last)))
    }

    /// Its first and its last measurement, if there are two.
    fn before_and_after(&self) -> Option<[String; 2]> {
        let (first, last) = (self.first_try.as_ref()?, self.last_try.as_ref()?);
        (first != last).then(|| [measured(first), measured(last)])
    }

    fn is_solved(&self) -> bool {
        matches!(self.state, ExerciseState::Solved | ExerciseState::SolvedAndChanged)
    }

    /// In words.
    fn state(&self) -> String {
        // To the minute: 2026-11-24T10:19:01Z.
        let at = self.solved_at.as_deref().map(|at| at.replace('T', " "));
        let at = at.as_deref().map_or("", |at| at.get(..16).unwrap_or(at));
        match (self.state, &self.fault) {
            (ExerciseState::Solved, _) => format!("solved {at} UTC"),
            (ExerciseState::SolvedAndChanged, _) => "solved, and changed since".to_owned(),
            (ExerciseState::Broken, fault) => {
                format!("its codec.rs {}", fault.as_deref().unwrap_or("can't be read"))
            }
            (ExerciseState::Started, _) => "started".to_owned(),
            (ExerciseState::NotStarted, _) if self.last_try.is_some() => {
                "measured, its codec.rs not changed yet".to_owned()
            }
            (ExerciseState::NotStarted, _) => "not started".to_owned(),
        }
    }

    /// The same in its colour, on a terminal that allows colours.
    fn coloured(&self) -> String {
        let text = style(self.state());
        match self.state {
            ExerciseState::Solved => text.green(),
            ExerciseState::SolvedAndChanged | ExerciseState::Started => text.yellow(),
            ExerciseState::Broken => text.red(),
            ExerciseState::NotStarted => text,
        }
        .to_string()
    }

    /// As in "exercise 2, Give the wait to another thread".
    fn name(&self) -> String {
        format!("exercise {}, {}", self.exercise, style(&self.title).bold())
    }
}

/// As in "8.1 s (guess: 9.0 s)".
fn measured(one: &Try) -> String {
    let guess = one.guess_seconds.map(|guess| format!(" (guess: {guess:.1} s)"));
    format!("{:.1} s{}", one.seconds, guess.unwrap_or_default())
}

/// All of them.
#[derive(Debug, Serialize)]
struct Overview {
    exercises: Vec<Status>,
    /// The first one that is not solved; on the branch of a step, that one.
    next: Option<u8>,
}

impl Overview {
    fn of(root: &Path) -> Result<Self, Failure> {
        let progress = Progress::read(root)?;
        let statuses = Step::EXERCISES.into_iter().map(|step| Status::of(step, root, &progress));
        let exercises = statuses.collect::<Result<Vec<_>, _>>()?;
        let next = course::next(root, &progress).map(Step::number);
        Ok(Self { exercises, next })
    }

    fn next(&self) -> Option<&Status> {
        self.exercises.iter().find(|exercise| Some(exercise.exercise) == self.next)
    }

    /// As in "1 of 4 exercises is solved".
    fn count(&self) -> String {
        let (solved, all) = (
            self.exercises.iter().filter(|exercise| exercise.is_solved()).count(),
            self.exercises.len(),
        );
        match solved {
            0 => format!("None of the {all} exercises is solved yet."),
            1 => format!("1 of {all} exercises is solved."),
            _ if solved == all => format!("All {all} exercises are solved."),
            _ => format!("{solved} of {all} exercises are solved."),
        }
    }
}

/// `cargo workshop` without a command: a few lines for newcomers, and for people who return.
///
/// # Errors
/// When this is not the workshop's folder, or its files can't be read.
pub fn greet() -> anyhow::Result<Exit> {
    let root = root::require()?;
    let overview = Overview::of(&root)?;
    let mut lines = vec![
        "Unblock: what a blocking codec does to a Temporal worker, and how to fix it.".to_owned(),
        String::new(),
        overview.count(),
    ];
    let here = course::of_folder(&root)?;
    let in_folder = overview.exercises.iter().find(|exercise| Some(exercise.step) == here);
    match in_folder.or(overview.next()) {
        Some(exercise) => {
            lines.push(format!("You are at {}: {}.", exercise.name(), exercise.coloured()));
            lines.push(String::new());
            lines.extend(now(exercise));
        }
        None => lines.extend(afterwards(&overview)),
    }
    lines.push(String::new());
    lines.extend(table(&[
        ("cargo workshop next", "the next exercise, and its commands"),
        ("cargo workshop status", "all exercises"),
        ("cargo workshop --help", "all commands"),
    ]));
    print(&lines)
}

/// What to do in an exercise.
fn now(exercise: &Status) -> Vec<String> {
    let number = exercise.exercise;
    let readme = ("read", format!("{}/README.md", exercise.folder));
    let then = match exercise.state {
        _ if exercise.fault.is_some() => {
            vec![("do", format!("cargo workshop reset {number}    # restores its starting code"))]
        }
        ExerciseState::NotStarted => vec![
            readme,
            (
                "run",
                format!("cargo workshop try {number}      # asks for your guess, then measures"),
            ),
            ("edit", course::codec(exercise.step).display().to_string()),
            ("type", format!("cargo workshop watch {number}    # checks it at each save")),
        ],
        ExerciseState::Started | ExerciseState::Broken => vec![
            ("type", format!("cargo workshop verify {number}    # shows what is left to do")),
            ("stuck?", format!("cargo workshop hint {number}")),
        ],
        ExerciseState::SolvedAndChanged => {
            vec![("type", format!("cargo workshop verify {number}    # you changed it since"))]
        }
        ExerciseState::Solved => vec![("type", "cargo workshop next".to_owned())],
    };
    let rows: Vec<_> = then.iter().map(|(what, how)| (*what, how.as_str())).collect();
    table(&rows)
}

/// What the attendee has measured, and what to do when all are solved.
fn afterwards(overview: &Overview) -> Vec<String> {
    let last = Step::EXERCISES.len();
    let mut lines = Vec::new();
    let numbers: Vec<_> = overview
        .exercises
        .iter()
        .filter_map(|exercise| {
            let [before, after] = exercise.before_and_after()?;
            Some((format!("exercise {}", exercise.exercise), format!("{before:<24}  {after}")))
        })
        .collect();
    if !numbers.is_empty() {
        lines.extend([String::new(), "Your first and your last try of each exercise:".to_owned()]);
        lines.push(String::new());
        let rows: Vec<_> =
            numbers.iter().map(|(what, how)| (what.as_str(), how.as_str())).collect();
        lines.extend(table(&rows));
    }
    lines.push(String::new());
    lines.extend(table(&[
        (&format!("cargo workshop compare --mine {last}"), "yours next to the reference codecs"),
        ("cargo workshop puzzle", "eight codecs: find what is wrong with each"),
        ("solutions/NN-…/README.md", "why each works, and what else would"),
        ("docs/recipes.md", "your own worker, in Rust, Python or Go"),
        ("cargo workshop reset --all", "starts over; your codecs are saved"),
    ]));
    lines
}

/// Prints how far each exercise is.
///
/// # Errors
/// When this is not the workshop's folder, or its files can't be read.
pub fn status(args: &StatusArgs) -> anyhow::Result<Exit> {
    let overview = Overview::of(&root::require()?)?;
    if args.json {
        term::print(serde_json::to_string_pretty(&overview)? + "\n");
        return Ok(Exit::Done);
    }
    let widest =
        overview.exercises.iter().map(|exercise| measure_text_width(&exercise.title)).max();
    let mut lines: Vec<_> = overview
        .exercises
        .iter()
        .map(|exercise| {
            let mark = if Some(exercise.exercise) == overview.next { ">" } else { " " };
            let gap = widest.unwrap_or(0) - measure_text_width(&exercise.title);
            let gap = " ".repeat(gap + 2);
            let tried = exercise.last_try().map_or_else(String::new, |tried| format!("; {tried}"));
            format!(
                "{mark} {}. {}{gap}{}{tried}",
                exercise.exercise,
                exercise.title,
                exercise.coloured()
            )
        })
        .collect();
    lines.push(String::new());
    lines.push(match overview.next() {
        Some(_) => format!("{} Continue: cargo workshop next", overview.count()),
        None => overview.count(),
    });
    print(&lines)
}

/// Prints which exercise is next, and the commands for it.
///
/// # Errors
/// When this is not the workshop's folder, or its files can't be read.
pub fn next() -> anyhow::Result<Exit> {
    let root = root::require()?;
    let overview = Overview::of(&root)?;
    let Some(exercise) = overview.next() else {
        let mut lines = vec![overview.count()];
        lines.extend(afterwards(&overview));
        return print(&lines);
    };
    let number = exercise.exercise;
    let mut lines =
        vec![format!("Next is {}: {}.", exercise.name(), exercise.coloured()), String::new()];
    if exercise.fault.is_some() {
        lines.extend(now(exercise));
        lines.push(String::new());
    }
    let (worker, starter) = commands(exercise.step, &root);
    lines.extend(table(&[
        ("1. read", &format!("{}/README.md", exercise.folder)),
        ("2. measure", &format!("cargo workshop try {number}")),
        ("3. edit", &course::codec(exercise.step).display().to_string()),
        ("4. check", &format!("cargo workshop verify {number}")),
    ]));
    lines.push(String::new());
    lines.push("By hand instead of 2, in three terminals, in the repository root:".to_owned());
    lines.push(String::new());
    lines.extend(table(&[
        ("server", "cargo workshop server    # with Grafana: cargo workshop stack"),
        ("worker", &worker),
        ("starter", &starter),
    ]));
    print(&lines)
}

/// The worker and the load of an exercise: the commands of its README, which are for the exercise's folder,
/// rewritten for the repository root.
fn commands(step: Step, root: &Path) -> (String, String) {
    let readme = readme(step, root);
    let typed = |program: &str| {
        let line = readme.lines().find(|line| line.starts_with(program))?;
        Some(line.split(" #").next().unwrap_or(line).trim())
    };
    let flags = typed("cargo run --bin worker").and_then(|typed| typed.split_once(" -- "));
    let flags = flags.map_or(String::new(), |(_, flags)| format!(" {flags}"));
    let starter = typed("cargo run --bin starter");
    (
        format!("cargo run --bin worker -- --exercise {}{flags}", step.number()),
        starter.unwrap_or("cargo run --bin starter -- --workflows 50").to_owned(),
    )
}

fn readme(step: Step, root: &Path) -> String {
    fs::read_to_string(root.join(course::folder(step)).join("README.md")).unwrap_or_default()
}

/// Two columns.
fn table(rows: &[(&str, &str)]) -> Vec<String> {
    let widest = rows.iter().map(|(left, _)| measure_text_width(left)).max().unwrap_or(0);
    let row = |(left, right): &(&str, &str)| {
        let gap = " ".repeat(widest - measure_text_width(left) + 2);
        format!("  {left}{gap}{right}")
    };
    rows.iter().map(row).collect()
}

fn print(lines: &[String]) -> anyhow::Result<Exit> {
    // Rows of a table are never folded: a command on two lines could not be pasted.
    let row = |line: &str| line.starts_with("  ");
    let lines: String = lines
        .iter()
        .map(|line| if row(line) { line.clone() } else { term::wrap(line, 0) } + "\n")
        .collect();
    term::print(lines);
    Ok(Exit::Done)
}

/// The heading of its README without the number, else the name of its folder.
fn title(step: Step, root: &Path) -> String {
    let readme = readme(step, root);
    let heading = format!("# {}. ", step.number());
    let title = readme.lines().next().and_then(|line| line.strip_prefix(&heading)).map(str::trim);
    title
        .filter(|title| !title.is_empty())
        .map(str::to_owned)
        .unwrap_or_else(|| step.folder().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_those_of_the_readme() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(course::folder(Step::Async));
        fs::create_dir_all(&folder).unwrap();
        let said = |readme: &str| {
            fs::write(folder.join("README.md"), readme).unwrap();
            commands(Step::Async, root.path())
        };
        let (worker, starter) = said(
            "```sh\ncargo run --bin worker -- --blocking-threads 2    # in this folder\n\
             cargo run --bin starter -- --workflows 10             # elsewhere\n```\n",
        );
        assert_eq!(worker, "cargo run --bin worker -- --exercise 3 --blocking-threads 2");
        assert_eq!(starter, "cargo run --bin starter -- --workflows 10");
        let (worker, starter) = said("cargo run --bin worker    # in this folder\n");
        assert_eq!(worker, "cargo run --bin worker -- --exercise 3");
        assert_eq!(starter, "cargo run --bin starter -- --workflows 50");
    }
}
