//! The puzzles in `exercises/find-the-fault/`: codecs that look right and are wrong. Each is a Markdown file whose
//! sections are shown one at a time.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Their folder, relative to the repository root.
const FOLDER: &str = "exercises/find-the-fault";
/// How many there are: they are `1.md`, `2.md` and so on.
pub const COUNT: u8 = 8;
/// The sections of a puzzle, in this order. What follows the last one is for readers of the file.
const SECTIONS: [&str; 5] = ["Question", "Symptom", "Where to look", "Explanation", "The fix"];
/// The heading after them.
const SOURCES: &str = "Sources";

/// A puzzle, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puzzle {
    /// As in "6. The considerate one".
    pub title: String,
    /// What it looks like, its code, and the question about it.
    pub question: String,
    /// What `verify` reports, where to look, and the explanation with the fix: each goes further than the one before
    /// it.
    pub answers: [String; 3],
}

/// Why a puzzle can't be shown.
#[derive(Debug)]
pub enum PuzzleError {
    /// No puzzle has this number: wrong usage.
    NoSuch(u8),
    /// Its file can't be read: a broken environment.
    Unreadable(PathBuf, io::Error),
    /// Its file lacks a title or a section: a broken environment.
    Incomplete(PathBuf, &'static str),
}

impl fmt::Display for PuzzleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuch(number) => {
                write!(f, "there is no puzzle {number}; choose 1 to {COUNT}")
            }
            Self::Unreadable(file, error) => write!(
                f,
                "{} can't be read: {error}. `git status` shows whether it was moved",
                file.display()
            ),
            Self::Incomplete(file, lacks) => write!(
                f,
                "{} has no {lacks} in its place. `git diff` shows whether it was changed",
                file.display()
            ),
        }
    }
}

impl std::error::Error for PuzzleError {}

impl Puzzle {
    /// The puzzle of that number.
    ///
    /// # Errors
    /// When no puzzle has that number, or its file can't be read or lacks a section.
    pub fn read(number: u8, root: &Path) -> Result<Self, PuzzleError> {
        if !(1..=COUNT).contains(&number) {
            return Err(PuzzleError::NoSuch(number));
        }
        let file = Path::new(FOLDER).join(format!("{number}.md"));
        match fs::read_to_string(root.join(&file)) {
            Ok(text) => Self::parse(&text).map_err(|lacks| PuzzleError::Incomplete(file, lacks)),
            Err(error) => Err(PuzzleError::Unreadable(file, error)),
        }
    }

    /// The text without Markdown's marks, or what it lacks.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (intro, mut rest) = split(text, SECTIONS[0])?;
        let mut sections = [""; SECTIONS.len()];
        for (section, next) in
            sections.iter_mut().zip(SECTIONS.into_iter().skip(1).chain([SOURCES]))
        {
            (*section, rest) = split(rest, next)?;
        }
        let [question, symptom, look, explanation, fix] = sections.map(plain);
        let (title, intro) = intro.split_once('\n').unwrap_or((intro, ""));
        Ok(Self {
            title: title.strip_prefix("# ").ok_or("title")?.to_owned(),
            question: format!("{}\n\n{question}", plain(intro)),
            answers: [symptom, look, format!("{explanation}\n\n{fix}")],
        })
    }
}

/// What stands before the heading and what stands after it.
fn split<'a>(text: &'a str, heading: &'static str) -> Result<(&'a str, &'a str), &'static str> {
    text.split_once(&format!("\n## {heading}\n")).ok_or(heading)
}

/// Code is indented instead of fenced.
fn plain(markdown: &str) -> String {
    let (mut text, mut code) = (String::new(), false);
    for line in markdown.trim_matches('\n').lines() {
        if line.starts_with("```") {
            code = !code;
            continue;
        }
        if code && !line.is_empty() {
            text.push_str("    ");
        }
        text.push_str(line);
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also when this file is compiled by itself.
    fn root() -> PathBuf {
        let folder = option_env!("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), PathBuf::from);
        assert!(folder.join(FOLDER).is_dir(), "run this in the repository root");
        folder
    }

    fn file(path: impl AsRef<Path>) -> String {
        let path = root().join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn all() -> impl Iterator<Item = (u8, String, Puzzle)> {
        (1..=COUNT).map(|number| {
            let text = file(format!("{FOLDER}/{number}.md"));
            (number, text, Puzzle::read(number, &root()).unwrap())
        })
    }

    /// A row of its last section.
    fn source<'a>(text: &'a str, name: &str) -> &'a str {
        let row = text.lines().find_map(|line| line.strip_prefix(&format!("| {name} | ")));
        row.unwrap_or_else(|| panic!("no {name} in: {text}")).trim_end_matches(" |")
    }

    /// The Rust code in a text.
    fn code(text: &str) -> Vec<&str> {
        let blocks = text.split("```rust\n").skip(1);
        blocks.map(|block| block.split("```").next().unwrap_or_default()).collect()
    }

    /// Without line breaks and indentation, which differ between files.
    fn words(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_has_its_number_a_question_and_three_answers() {
        let mut titles = Vec::new();
        for (number, _, Puzzle { title, question, answers }) in all() {
            assert!(title.starts_with(&format!("{number}. ")), "{title}");
            assert!(question.contains('?'), "{question}");
            for text in answers.iter().chain([&question]) {
                assert!(
                    !text.is_empty() && !text.contains("```") && !text.contains("\n## "),
                    "{text}"
                );
                // Printed as it is, so its lines must fit. rustfmt decides on those of code.
                for line in text.lines().filter(|line| !line.starts_with("    ")) {
                    assert!(line.chars().count() <= 80, "{line}");
                }
            }
            titles.push(title);
        }
        let index = file(format!("{FOLDER}/README.md"));
        for (title, number) in titles.iter().zip(1..) {
            assert!(index.contains(&format!("| [{title}]({number}.md) |")), "{title}");
        }
        assert!(!root().join(FOLDER).join(format!("{}.md", COUNT + 1)).exists());
    }

    #[test]
    fn the_code_stands_in_its_codec_and_the_fix_in_a_solution() {
        for (number, text, _) in all() {
            let (wrong, fix) = text.split_once("\n## The fix\n").unwrap();
            let codec = file(format!("{FOLDER}/{number}.rs"));
            let solution = file(source(&text, "fix").trim_matches('`'));
            assert!(source(&text, "code").starts_with(&format!("`{FOLDER}/{number}.rs`")));
            for (code, whole) in [(code(wrong), &codec), (code(fix), &solution)] {
                assert_eq!(code.len(), 1, "puzzle {number}");
                assert!(words(whole).contains(&words(code[0])), "puzzle {number}: {}", code[0]);
            }
            assert!(!words(&solution).contains(&words(code(wrong)[0])), "puzzle {number}");
        }
    }

    /// Each is one of the codecs with a known verdict, and its symptom is what that verdict says.
    #[test]
    fn the_verdict_of_each_is_tested() {
        let variants =
            ["wrong", "caching"].map(|name| file(format!("judge/tests/variants/{name}.rs")));
        let variants = variants.concat();
        let verdicts = file("docs/evidence/variants.md");
        for (number, text, puzzle) in all() {
            let name = source(&text, "variant");
            let (_, variant) = variants
                .split_once(&format!("name: \"{name}\""))
                .unwrap_or_else(|| panic!("puzzle {number}: there is no variant {name:?}"));
            let expected = variant.split("Variant {").next().unwrap();
            assert!(expected.contains("Wrong(&["), "{expected}");
            // The promise in whose words the symptom starts is the one that the verdict on record names.
            let exercise = source(&text, "code").chars().next_back().unwrap();
            let mut rows =
                verdicts.lines().filter_map(|row| row.strip_prefix(&format!("| {name} | ")));
            let row = rows.find(|row| row.split('|').next().unwrap().contains(exercise));
            let row = row.unwrap_or_else(|| panic!("puzzle {number}: no verdict on {name:?}"));
            let promise = row.split("| wrong | ").nth(1).unwrap().split(':').next().unwrap();
            let promise_file = file(format!("judge/src/promises/{promise}.rs"));
            let says = promise_file.split("says: \"").nth(1).unwrap().split('"').next().unwrap();
            let symptom = words(&puzzle.answers[0]);
            assert!(symptom.starts_with(&format!("FAIL {says}: ")), "puzzle {number}: {says}");
            assert!(expected.contains(&promise.to_uppercase()), "puzzle {number}: {expected}");
            // What it has seen, up to where that is cut.
            let seen = symptom.split(": ").skip(1).collect::<Vec<_>>().join(": ");
            let seen = seen.split(" …").next().unwrap();
            let start: String = seen.chars().take(60).collect();
            assert!(row.contains(&start), "puzzle {number}: {start}");
        }
    }

    #[test]
    fn what_is_missing_is_reported() {
        let none = Puzzle::read(9, &root()).unwrap_err().to_string();
        assert_eq!(none, "there is no puzzle 9; choose 1 to 8");
        let elsewhere = Puzzle::read(1, Path::new("/no/such/folder")).unwrap_err().to_string();
        assert!(
            elsewhere.starts_with("exercises/find-the-fault/1.md can't be read: "),
            "{elsewhere}"
        );
        let whole = file(format!("{FOLDER}/1.md"));
        for heading in SECTIONS.into_iter().chain([SOURCES]) {
            let text = whole.replace(&format!("\n## {heading}\n"), "\n");
            assert_eq!(Puzzle::parse(&text).unwrap_err(), heading);
        }
        assert_eq!(Puzzle::parse(&whole.replacen("# 1.", "1.", 1)).unwrap_err(), "title");
    }

    #[test]
    fn code_is_indented() {
        let text =
            "# 1. T\n\nLooks\nright.\n\n```rust\nlet a;\n\n    b()\n```\n\n## Question\n\nWhy?\n";
        let rest = "\n## Symptom\nS\n\n## Where to look\nW\n\n## Explanation\nE\n\n## The fix\nF\n\n## Sources\nx";
        let puzzle = Puzzle::parse(&format!("{text}{rest}")).unwrap();
        assert_eq!(puzzle.title, "1. T");
        assert_eq!(puzzle.question, "Looks\nright.\n\n    let a;\n\n        b()\n\nWhy?");
        assert_eq!(puzzle.answers, ["S", "W", "E\n\nF"]);
    }
}
