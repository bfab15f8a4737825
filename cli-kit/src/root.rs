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

/// The workshop's folder, as an absolute path: the nearest one above the current folder, else the one
/// that this program was built in.
pub fn find() -> Option<PathBuf> {
    let here = env::current_dir().ok();
    let above = here.iter().flat_map(|here| here.ancestors());
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    above.chain(built_in).find(|folder| folder.join(MARK).is_file()).map(Path::to_owned)
}

/// The workshop's folder, as an absolute path.
///
/// # Errors
/// When there is none.
pub fn require() -> Result<PathBuf, Failure> {
    find().ok_or_else(|| {
        Failure::usage(format!(
            "this is not the workshop's folder, nor a folder in it: no {MARK} here or above. Change \
             to where you cloned the workshop"
        ))
    })
}
