//! `workshop hint N`: a nudge, then a larger one.

use std::{fs, path::Path};

use clap::Args;
use cli_kit::{
    exit::{Exit, Failure},
    root,
    term::print,
};
use solutions::Step;

use crate::course;

/// The flags of `workshop hint`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop hint        # a nudge, for the exercise of this folder
  cargo workshop hint 1 2    # the next one goes further")]
pub struct HintArgs {
    /// The number of the exercise [default: that of the folder you are in, else the next one]
    #[arg(value_name = "N", value_parser = course::number)]
    exercise: Option<u8>,
    /// Which hint: 1 is the smallest
    #[arg(default_value_t = 1, value_parser = level)]
    level: usize,
}

/// As it is typed. Whether there is such a hint is asked later.
fn level(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "the level of a hint is a number, from 1 on".to_owned())
}

/// Prints the hint.
///
/// # Errors
/// When there is no such exercise or hint, or its file can't be read.
pub fn run(args: &HintArgs) -> anyhow::Result<Exit> {
    let root = root::require()?;
    let step = course::chosen(args.exercise, &root)?;
    let hints = Hints::of(step, &root)?;
    let next = format!("cargo workshop hint {} {}", step.number(), args.level.saturating_add(1));
    print(format!("{}\n", hints.level(args.level, &next)?));
    Ok(Exit::Done)
}

/// The hints of an exercise.
#[derive(Debug)]
pub struct Hints {
    step: Step,
    /// Each goes further than the one before it.
    levels: Vec<String>,
}

impl Hints {
    /// Reads them from the exercise's `hints.md`, where each level is a section, `## 1` and so on.
    ///
    /// # Errors
    /// When there is no such file, or no level in it: a broken environment.
    pub fn of(step: Step, root: &Path) -> Result<Self, Failure> {
        let file = course::folder(step).join("hints.md");
        let text = fs::read_to_string(root.join(&file)).map_err(|error| {
            Failure::environment(format!(
                "there are no hints for exercise {}: {} can't be read ({error}). `git status` \
                 shows whether it was moved. The exercise's README has links that may help, too",
                step.number(),
                file.display()
            ))
        })?;
        let levels = levels(&text);
        if levels.is_empty() {
            return Err(Failure::environment(format!(
                "there are no hints for exercise {}: {} has no section `## 1`. `git diff` shows \
                 whether it was changed",
                step.number(),
                file.display()
            )));
        }
        Ok(Self { step, levels })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.levels.len()
    }

    /// The hint of that level, from 1 on. `next` is what to do for the one after it.
    ///
    /// # Errors
    /// When there is no such level: wrong usage.
    pub fn level(&self, level: usize, next: &str) -> Result<String, Failure> {
        let (number, count) = (self.step.number(), self.count());
        let text = level.checked_sub(1).and_then(|at| self.levels.get(at)).ok_or_else(|| {
            Failure::usage(format!(
                "there is no hint {level} for exercise {number}; choose 1 to {count}"
            ))
        })?;
        let next = if level < count {
            format!("The next one goes further: {next}")
        } else {
            format!(
                "This was the last hint. The reference codec is solutions/{}/codec.rs",
                self.step.folder()
            )
        };
        Ok(format!("Hint {level} of {count} for exercise {number}:\n\n{text}\n\n{next}"))
    }
}

/// The sections whose headings are the numbers from 1 on.
fn levels(text: &str) -> Vec<String> {
    let mut levels: Vec<String> = Vec::new();
    for line in text.lines() {
        let heading = line.strip_prefix("## ").and_then(|heading| heading.trim().parse().ok());
        if heading == Some(levels.len() + 1) {
            levels.push(String::new());
        } else if let Some(level) = levels.last_mut() {
            level.push_str(line);
            level.push('\n');
        }
    }
    levels.iter().map(|level| level.trim_matches('\n').to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn each_exercise_has_three_levels() {
        for step in Step::EXERCISES {
            let hints = Hints::of(step, root()).unwrap();
            assert_eq!(hints.count(), 3, "{step:?}");
            assert!(hints.levels.iter().all(|level| !level.is_empty()), "{hints:#?}");
            for line in hints.levels.iter().flat_map(|level| level.lines()) {
                // Hints are printed as they are, so their lines must fit.
                assert!(line.len() <= 80, "{line}");
            }
        }
    }

    /// A hint is no solution: none has a line that the solution has and the start has not.
    #[test]
    fn no_hint_has_a_line_of_the_solution() {
        let codec = |step: Step| {
            fs::read_to_string(root().join("solutions").join(step.folder()).join("codec.rs"))
                .unwrap()
        };
        let mut start = codec(Step::Start);
        for step in Step::EXERCISES {
            let solution = codec(step);
            let hints = Hints::of(step, root()).unwrap().levels.join("\n");
            for line in solution.lines().filter(|line| !start.contains(line)) {
                assert!(!hints.contains(line.trim()), "{step:?}: {line}");
            }
            start = solution;
        }
    }

    #[test]
    fn a_level_is_its_section() {
        let text = "# Hints\nabout\n## 1\n\na\n\n    b\n\n## Not a level\nc\n## 2\nd\n";
        assert_eq!(levels(text), ["a\n\n    b\n\n## Not a level\nc", "d"]);
        assert!(levels("# Hints\n").is_empty());
    }

    #[test]
    fn missing_files_and_levels_are_said() {
        let empty = tempfile::tempdir().unwrap();
        let error = Hints::of(Step::Async, empty.path()).unwrap_err().to_string();
        assert!(error.contains("03-async-codec/hints.md can't be read"), "{error}");
        let hints = Hints { step: Step::Async, levels: vec!["a".into(), "b".into()] };
        for level in [0, 3] {
            let error = hints.level(level, "").unwrap_err().to_string();
            assert_eq!(error, format!("there is no hint {level} for exercise 3; choose 1 to 2"));
        }
        assert!(hints.level(1, "press h").unwrap().ends_with("press h"));
    }
}
