//! The exercises: where their files are, and which one is the current one.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use cli_kit::exit::Failure;
use solutions::Step;

use super::{codec as file, progress::Progress};

/// The exercise that comes after this one.
pub fn after(step: Step) -> Option<Step> {
    Step::EXERCISES.into_iter().find(|other| *other > step)
}

/// The number of an exercise, as it is typed. Whether there is one of that number is asked later.
///
/// # Errors
/// When it is no number.
pub fn number(text: &str) -> Result<u8, String> {
    let last = Step::EXERCISES.len();
    text.parse().map_err(|_| format!("an exercise is a number from 1 to {last}"))
}

/// Its folder, relative to the repository root, as messages print it.
pub fn folder(step: Step) -> PathBuf {
    Path::new("exercises").join(step.folder())
}

/// Its codec, relative to the repository root.
pub fn codec(step: Step) -> PathBuf {
    folder(step).join("codec.rs")
}

/// The content of the file `current` on a branch that belongs to no step.
const NEXT: &str = "next";
/// That file, relative to the repository root.
const CURRENT: &str = "exercises/current";

/// The exercise of that number; without one, the [`current`] one.
///
/// # Errors
/// When there is no such exercise, or those of [`current`].
pub fn chosen(number: Option<u8>, root: &Path) -> anyhow::Result<Step> {
    match number {
        Some(number) => Ok(Step::exercise(number).map_err(Failure::usage)?),
        None => current(root),
    }
}

/// The exercise whose folder the current one is, else what `exercises/current` says: a number, as on the
/// branches of the steps, or `next`, which is the first that is not solved, and the last when all are.
///
/// # Errors
/// When that file names no exercise: wrong usage, because the user can name one. When the progress can't be
/// read.
fn current(root: &Path) -> anyhow::Result<Step> {
    if let Some(step) = of_folder(root)? {
        return Ok(step);
    }
    let path = root.join(CURRENT);
    let text = fs::read_to_string(&path).unwrap_or_default();
    if text.trim() == NEXT {
        let [.., last] = Step::EXERCISES;
        let progress = Progress::read(root)?;
        return Ok(first_unsolved(root, &progress).unwrap_or(last));
    }
    numbered(&text).ok_or_else(|| {
        Failure::usage(format!(
            "{} holds neither the number of an exercise nor `{NEXT}`. Give the number of the exercise",
            path.display()
        ))
        .into()
    })
}

/// The exercise whose folder the current one is.
///
/// # Errors
/// When there is no current folder.
pub fn of_folder(root: &Path) -> io::Result<Option<Step>> {
    let here = env::current_dir()?;
    Ok(Step::EXERCISES.into_iter().find(|step| here.starts_with(root.join(folder(*step)))))
}

/// The exercise of the branch, on the branches of the steps.
fn of_branch(root: &Path) -> Option<Step> {
    numbered(&fs::read_to_string(root.join(CURRENT)).ok()?)
}

fn numbered(text: &str) -> Option<Step> {
    Step::exercise(text.trim().parse().ok()?).ok()
}

/// The exercise to do next. On the branch of a step it is that step's, until it is solved in its current
/// form; elsewhere it is the first unsolved one.
pub fn next(root: &Path, progress: &Progress) -> Option<Step> {
    let as_it_is = |step: &Step| {
        let codec = file::read(&root.join(codec(*step)));
        progress.of(*step).is_some_and(|solved| codec.is_ok_and(|codec| solved.is(&codec)))
    };
    of_branch(root).filter(|step| !as_it_is(step)).or_else(|| first_unsolved(root, progress))
}

fn first_unsolved(root: &Path, progress: &Progress) -> Option<Step> {
    Step::EXERCISES.into_iter().find(|step| !is_solved(*step, root, progress))
}

/// Whether the exercise was solved, and its codec has not been reset since.
pub fn is_solved(step: Step, root: &Path, progress: &Progress) -> bool {
    progress.of(step).is_some()
        && file::source(&root.join(codec(step)))
            .is_ok_and(|content| file::start(root, step).is_ok_and(|start| start != content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::atomic_file;

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
        let writes = |path: PathBuf, content: &str| {
            fs::create_dir_all(root.join(&path).parent().unwrap()).unwrap();
            fs::write(root.join(path), content).unwrap();
        };
        for step in Step::ALL {
            writes(file::reference(step), "the start");
        }
        let next = || next(root, &Progress::read(root).unwrap());
        for step in Step::EXERCISES {
            writes(codec(step), "mine");
            assert_eq!((current(root).unwrap(), next()), (step, Some(step)));
            Progress::note(root, step, atomic_file::sha256(b"mine")).unwrap();
        }
        assert_eq!((current(root).unwrap(), next()), (Step::BeyondAsync, None), "all are solved");
        says("2\n");
        assert_eq!(current(root).unwrap(), Step::SpawnBlocking, "a branch has its own");
        assert_eq!(next(), None, "which is solved");
        writes(codec(Step::SpawnBlocking), "changed on this branch");
        assert_eq!(next(), Some(Step::SpawnBlocking));

        // An exercise whose codec is gone or reset has to be done again.
        says("next\n");
        assert_eq!(next(), None);
        writes(codec(Step::Async), "the start");
        assert_eq!(next(), Some(Step::Async));
        fs::remove_file(root.join(codec(Step::SpawnBlocking))).unwrap();
        assert_eq!(next(), Some(Step::SpawnBlocking));
        Progress::forget(root, &[Step::Blocking]).unwrap();
        assert_eq!((current(root).unwrap(), next()), (Step::Blocking, Some(Step::Blocking)));
    }
}
