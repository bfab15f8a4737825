//! The workshop's folder.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// What tells the workshop's folder from any other.
const MARK: &str = "stack/process-compose.yaml";

/// The folder for all that the workshop makes for itself, in its own.
pub const OURS: &str = ".workshop";

/// The workshop's folder, as an absolute path: the current folder, or the nearest above it. Never the one that
/// this program was built in: another clone would be changed without a word.
pub fn find() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    here.ancestors().find(|folder| folder.join(MARK).is_file()).map(Path::to_owned)
}

/// The workshop's folder, as an absolute path.
///
/// # Errors
/// When there is none.
pub fn require() -> Result<PathBuf, Failure> {
    find().ok_or_else(|| {
        Failure::usage(format!(
            "this is not a folder of the workshop: there is no {MARK} here or above. Change to the \
             folder into which you cloned it, and try again"
        ))
    })
}
