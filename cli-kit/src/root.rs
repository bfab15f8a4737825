//! The workshop's folder.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// A file that identifies the workshop's folder.
const MARK: &str = "stack/process-compose.yaml";

/// The folder for generated files, in the workshop's folder.
pub const OURS: &str = ".workshop";

/// The workshop's folder, as an absolute path: the current folder or the nearest one above it. Never the
/// folder that this program was built in: that could silently change another clone.
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
            "this is not a folder of the workshop: there is no {MARK} here or above. Change to \
             the folder of your clone, and try again"
        ))
    })
}
