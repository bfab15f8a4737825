//! The exercises: where their files are, which one is meant, and how its worker is built.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Stdio},
};

use anyhow::Context;
use solutions::Step;
use stack::root;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::{
    exit::{Exit, Failure},
    files,
    interrupt::until_interrupted,
    process_group::ProcessGroup,
    progress::Progress,
};

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

/// What to say of an exercise whose worker could not be built.
pub fn does_not_compile(step: Step) -> Failure {
    Failure::usage(format!(
        "{} does not compile, so there is nothing to run: the compiler's words are above",
        codec(step).display()
    ))
}

/// The flags with which the workshop's programs are built as this one was.
pub(crate) const PROFILE: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };

/// Takes from a command what cargo sets for a program that it runs. The build script of ring watches some
/// of it, and would have half of the SDK built anew.
pub fn without_cargos_variables(command: &mut process::Command) {
    for (name, _) in env::vars_os() {
        let named = name.to_string_lossy();
        if named.starts_with("CARGO_PKG_") || named.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
}

/// Runs cargo in a folder, as somebody would who types it: what it prints for machines, if it was content.
/// Its words for people go to stderr. Dropped, it leaves no compiler behind, which would write over what the
/// next one builds.
///
/// # Errors
/// When it can't be run.
pub(crate) async fn cargo<'a>(
    folder: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<Option<Vec<u8>>> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    without_cargos_variables(cargo.as_std_mut());
    cargo.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let cargo = ProcessGroup::start(&mut cargo).context("cargo can't be run")?;
    let (status, printed) = cargo.output().await?;
    Ok(status.success().then_some(printed))
}

/// Builds the program `worker`, with the attendee's codec of that step and no other: what is half-written
/// in another exercise must not stop this one. `None` if it does not compile: the compiler's words are
/// on stderr.
///
/// # Errors
/// When cargo can't be run.
pub async fn build_worker(step: Step) -> anyhow::Result<Option<PathBuf>> {
    let root = root::require()?;
    let folder = root.join(root::OURS).join("workers");
    fs::create_dir_all(&folder)?;
    // Cargo puts the worker of another exercise in the same place: until ours is copied, nobody builds one.
    // Nothing is said of it: what comes on stderr is the worker's log.
    let _alone = files::lock(&folder.join("lock"), || {}).await?;
    let feature = format!("exercise-{}", step.number());
    let what = ["build", "--quiet", "--package", "exercises", "--bin", "worker"];
    let how = ["--features", &feature, "--message-format", "json-render-diagnostics"];
    let flags = what.into_iter().chain(how).chain(PROFILE.iter().copied());
    let Some(messages) = cargo(&root, flags).await? else { return Ok(None) };
    // Cargo says where it put what it built, one JSON message a line.
    let messages = String::from_utf8_lossy(&messages);
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "worker").then_some(())?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    let executable = executable.context("cargo built the worker but did not say where it is")?;
    let copy = folder.join(step.folder());
    // Whole before it has its name: somebody may be about to start the one of before. One that still runs
    // keeps the file it was started from.
    let part = NamedTempFile::new_in(&folder)?.into_temp_path();
    fs::copy(&executable, &part)
        .and_then(|_| Ok(part.persist(&copy)?))
        .with_context(|| format!("can't copy the worker to {}", copy.display()))?;
    Ok(Some(copy))
}

/// Builds the worker of that exercise and becomes it, with the same flags: what is half-written in
/// another exercise does not matter.
///
/// # Errors
/// When it does not compile, or can't be started.
pub fn become_worker(step: Step) -> anyhow::Result<Exit> {
    let work = async {
        let program = build_worker(step).await?.ok_or_else(|| does_not_compile(step))?;
        let flags: Vec<_> = env::args_os().skip(1).collect();
        let mut worker = process::Command::new(&program);
        if !flags.iter().any(|flag| flag.as_encoded_bytes().starts_with(b"--exercise")) {
            worker.arg("--exercise").arg(step.number().to_string());
        }
        let error = worker.args(flags).exec();
        Err(error).with_context(|| format!("{} can't be started", program.display()))
    };
    until_interrupted(work, "no worker was started")
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
