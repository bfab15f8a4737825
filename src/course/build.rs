//! Builds an exercise's worker, by cargo: a program of its own for each, which this one does not link, so
//! that half-written code stops nothing but its own exercise.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use cargo_metadata::Message;
use cli_kit::{cargo::without_cargos_variables, exit::Failure, root};
use solutions::Step;
use tokio::process::Command;

use super::exercise;
use crate::process::ProcessGroup;

/// What to say of an exercise whose worker could not be built.
pub fn does_not_compile(step: Step) -> Failure {
    Failure::usage(format!(
        "{} does not compile, so there is nothing to run: the compiler's words are above",
        exercise::codec(step).display()
    ))
}

/// The flags with which the workshop's programs are built as this one was.
pub const PROFILE: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };

/// Runs cargo in a folder, as somebody would who types it: what it prints for machines, if it was content.
/// Its words for people go to stderr. Dropped, it leaves no compiler behind, which would write over what the
/// next one builds.
///
/// # Errors
/// When it can't be run.
pub async fn cargo<'a>(
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

/// The worker of that exercise, as `cargo build` is asked for it.
pub fn worker_target(step: Step) -> [String; 6] {
    let program = format!("exercise-{}", step.number());
    ["--package", "workshop", "--features", "exercises", "--bin", &program].map(str::to_owned)
}

/// Builds the worker with the attendee's codec of that step. `None` if it does not compile: the compiler's
/// words are on stderr.
///
/// # Errors
/// When cargo can't be run.
pub async fn build_worker(step: Step) -> anyhow::Result<Option<PathBuf>> {
    let root = root::require()?;
    let target = worker_target(step);
    let how = ["build", "--quiet", "--message-format", "json-render-diagnostics"];
    let flags = how.into_iter().chain(PROFILE.iter().copied());
    let Some(messages) = cargo(&root, flags.chain(target.iter().map(String::as_str))).await? else {
        return Ok(None);
    };
    let built = Message::parse_stream(&messages[..]).find_map(|message| match message {
        Ok(Message::CompilerArtifact(built)) if built.target.name == target[5] => built.executable,
        _ => None,
    });
    let what = || format!("cargo built {} but did not say where it is", target[5]);
    Ok(Some(built.with_context(what)?.into()))
}
