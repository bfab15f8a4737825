//! Reads a `codec.rs`: an attendee's, whatever is in its place, or the reference codec of a step.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use cli_kit::exit::Failure;
use solutions::Step;

/// What the file holds. A device or a pipe is not read: it might never end.
///
/// # Errors
/// Why it can't be read, as a phrase to follow the file's name.
pub fn read(codec: &Path) -> Result<Vec<u8>, String> {
    let not_read = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => format!("can't be read: {error}"),
    };
    if !fs::metadata(codec).map_err(not_read)?.is_file() {
        return Err("is not a file".to_owned());
    }
    fs::read(codec).map_err(not_read)
}

/// The same, if it is text and not empty.
///
/// # Errors
/// Why it is not, as a phrase to follow the file's name.
pub fn source(codec: &Path) -> Result<Vec<u8>, String> {
    let content = read(codec)?;
    match std::str::from_utf8(&content) {
        Err(error) => {
            Err(format!("is not text: its byte {} is not valid UTF-8", error.valid_up_to() + 1))
        }
        Ok(text) if text.trim().is_empty() => Err("is empty".to_owned()),
        Ok(_) => Ok(content),
    }
}

/// The exercise's starting code.
///
/// # Errors
/// When it can't be read.
pub fn start(root: &Path, step: Step) -> Result<Vec<u8>, Failure> {
    let start = step.start();
    fs::read(root.join(reference(start))).map_err(|error| no_reference(start, &error))
}

/// The reference codec of that step, from the workshop's folder.
pub fn reference(step: Step) -> PathBuf {
    Path::new("solutions").join(step.folder()).join("codec.rs")
}

/// The error for a reference codec that can't be read.
pub fn no_reference(step: Step, error: &io::Error) -> Failure {
    Failure::environment(format!(
        "{} can't be read: {error}. `git status` shows whether it was moved, and `git checkout -- \
         solutions` restores it",
        reference(step).display()
    ))
}
