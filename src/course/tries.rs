//! What an attendee guessed and measured: each `cargo workshop try` appends one line of JSON to a file. No
//! verdict depends on it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::Path,
};

use cli_kit::root;
use serde::{Deserialize, Serialize};
use solutions::Step;

use super::progress::now;
use crate::atomic_file;

/// Where it is kept, in the workshop's own folder.
const FILE: &str = "tries.jsonl";

/// One try.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Try {
    /// The number of the exercise.
    pub exercise: u8,
    /// When, in UTC.
    pub at: String,
    /// SHA-256 of the `codec.rs` that ran, in hexadecimal.
    pub codec_sha256: String,
    /// What the attendee expected, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guess_seconds: Option<f64>,
    /// What it took, in seconds.
    pub seconds: f64,
    /// How many workflows were started.
    pub workflows: usize,
    /// How many of them completed.
    pub completed: usize,
}

impl Try {
    /// One that was made now, with this codec.
    pub fn now(step: Step, codec: &[u8]) -> Self {
        Self {
            exercise: step.number(),
            at: now(),
            codec_sha256: atomic_file::sha256(codec),
            guess_seconds: None,
            seconds: 0.0,
            workflows: 0,
            completed: 0,
        }
    }

    /// Whether that `codec.rs` ran.
    pub fn ran(&self, codec: &[u8]) -> bool {
        atomic_file::sha256(codec) == self.codec_sha256
    }

    /// Whether every workflow completed.
    pub fn is_complete(&self) -> bool {
        self.completed == self.workflows
    }

    /// Adds it to the file.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn note(&self, root: &Path) -> io::Result<()> {
        let folder = root.join(root::OURS);
        fs::create_dir_all(&folder)?;
        let line = serde_json::to_string(self)? + "\n";
        let mut file = OpenOptions::new().create(true).append(true).open(folder.join(FILE))?;
        file.write_all(line.as_bytes())
    }

    /// All tries of that exercise, the earliest first. A line that can't be read as a try is skipped: another
    /// version of the workshop may have written it.
    pub fn all(root: &Path, step: Step) -> Vec<Self> {
        let text = fs::read_to_string(root.join(root::OURS).join(FILE)).unwrap_or_default();
        let tries = text.lines().filter_map(|line| serde_json::from_str::<Self>(line).ok());
        tries.filter(|one| one.exercise == step.number()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_read_back_and_other_lines_are_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(Try::all(root, Step::Blocking), []);
        let guessed = Try {
            guess_seconds: Some(8.0),
            seconds: 50.4,
            workflows: 50,
            completed: 50,
            ..Try::now(Step::Blocking, b"fn codec() {}")
        };
        guessed.note(root).unwrap();
        let file = root.join(root::OURS).join(FILE);
        fs::write(&file, fs::read_to_string(&file).unwrap() + "half a li\n").unwrap();
        let other = Try::now(Step::Async, b"");
        other.note(root).unwrap();
        assert_eq!(Try::all(root, Step::Blocking), std::slice::from_ref(&guessed));
        assert_eq!(Try::all(root, Step::Async), [other]);
        assert!(guessed.is_complete());
        assert!(guessed.ran(b"fn codec() {}") && !guessed.ran(b""));
    }
}
