//! The exercises: where their files are, and which one is meant.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use cli_kit::exit::Failure;
use solutions::Step;

use super::progress::Progress;

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

/// What the file `current` says on the branch that is nobody's step.
const NEXT: &str = "next";

/// The exercise whose folder the current one is, else what `exercises/current` says: one's number, as on
/// the branches of the steps, or `next`, which is the first that is not solved, and the last when all are.
///
/// # Errors
/// When that file does not say it: wrong usage, as one can say which. When it can't be read what is solved.
pub fn current(root: &Path) -> anyhow::Result<Step> {
    let room = root.join("exercises");
    let here = env::current_dir()?;
    if let Some(step) =
        Step::EXERCISES.into_iter().find(|step| here.starts_with(room.join(step.folder())))
    {
        return Ok(step);
    }
    let path = room.join("current");
    let text = fs::read_to_string(&path).unwrap_or_default();
    if text.trim() == NEXT {
        let [.., last] = Step::EXERCISES;
        return Ok(Progress::read(root)?.next().unwrap_or(last));
    }
    let number = text.trim().parse().ok();
    number.and_then(|number| Step::exercise(number).ok()).ok_or_else(|| {
        Failure::usage(format!(
            "{} holds neither the number of an exercise nor `{NEXT}`: say which one you mean",
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
    fn the_file_names_the_current_one_or_it_is_the_next() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("exercises")).unwrap();
        let says = |text: &str| fs::write(root.join("exercises/current"), text).unwrap();
        let error = current(root).unwrap_err().to_string();
        assert!(error.contains("current holds neither the number of an exercise"), "{error}");
        says("2\n");
        assert_eq!(current(root).unwrap(), Step::SpawnBlocking);
        says("0\n");
        current(root).unwrap_err();

        says("next\n");
        for step in Step::EXERCISES {
            assert_eq!(current(root).unwrap(), step);
            Progress::note(root, step, String::new()).unwrap();
        }
        assert_eq!(current(root).unwrap(), Step::BeyondAsync, "all are solved");
        says("2\n");
        assert_eq!(current(root).unwrap(), Step::SpawnBlocking, "a branch has its own");
    }
}
