//! The exercises: where their files are, and which one is meant.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use solutions::Step;

use crate::exit::Failure;

/// The exercise that comes after this one.
pub fn after(step: Step) -> Option<Step> {
    Step::EXERCISES.into_iter().find(|other| *other > step)
}

/// Its folder, from the workshop's: as it is written in a message.
pub fn folder(step: Step) -> PathBuf {
    Path::new("exercises").join(step.folder())
}

/// Its codec, from the workshop's folder.
pub fn codec(step: Step) -> PathBuf {
    folder(step).join("codec.rs")
}

/// The exercise whose folder the current one is, else the one that the file `current` names. `room` is
/// the folder of the exercises.
///
/// # Errors
/// When that file does not name one: wrong usage, as one can say which.
pub fn current(room: &Path) -> anyhow::Result<Step> {
    let here = env::current_dir()?;
    if let Some(step) =
        Step::EXERCISES.into_iter().find(|step| here.starts_with(room.join(step.folder())))
    {
        return Ok(step);
    }
    let path = room.join("current");
    let number = fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    number.and_then(|number| Step::exercise(number).ok()).ok_or_else(|| {
        Failure::usage(format!(
            "{} does not hold the number of an exercise: say which one you mean",
            path.display()
        ))
        .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_comes_after_the_other() {
        assert_eq!(after(Step::Blocking), Some(Step::SpawnBlocking));
        assert_eq!(after(Step::BeyondAsync), None);
    }

    #[test]
    fn the_file_names_the_current_one() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("current");
        let error = current(room.path()).unwrap_err().to_string();
        assert!(error.contains("current does not hold the number of an exercise"), "{error}");
        fs::write(&file, "2\n").unwrap();
        assert_eq!(current(room.path()).unwrap(), Step::SpawnBlocking);
        fs::write(&file, "0\n").unwrap();
        current(room.path()).unwrap_err();
    }
}
