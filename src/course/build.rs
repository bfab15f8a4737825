//! Builds an exercise's worker with cargo. Each exercise has its own program, which this one does not link,
//! so half-written code affects only its own exercise.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use cargo_metadata::{Message, diagnostic::DiagnosticLevel};
use cli_kit::{
    cargo::{self, PROFILE},
    exit::Failure,
    root,
    term::pass_on,
};
use console::colors_enabled_stderr;
use solutions::Step;
use stack::programs;
use tokio::process::Command;

use super::exercise;
use crate::process::ProcessGroup;

/// The error for an exercise whose worker could not be built.
pub fn does_not_compile(step: Step) -> Failure {
    Failure::usage(format!(
        "{} does not compile, so there is nothing to run: the compiler's messages are above, and `cargo workshop \
         hint {}` gives a nudge",
        exercise::codec(step).display(),
        step.number()
    ))
}

/// Runs cargo in a folder, as if typed there. Returns its machine-readable output if it succeeded; its
/// messages for people go to stderr. Dropping the future also kills the compiler, which would otherwise
/// overwrite what the next build writes.
///
/// # Errors
/// When it can't be run.
pub async fn cargo<'a>(
    folder: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<Option<Vec<u8>>> {
    let (status, printed) = start(folder, arguments)?.output().await?;
    Ok(status.success().then_some(printed))
}

fn start<'a>(
    folder: &Path,
    arguments: impl IntoIterator<Item = &'a str>,
) -> anyhow::Result<ProcessGroup> {
    let mut cargo = Command::from(cargo::command());
    cargo.args(arguments).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    ProcessGroup::start(&mut cargo).context("cargo can't be run")
}

/// The arguments of `cargo build` for the worker of that exercise.
pub fn worker_target(step: Step) -> [String; 6] {
    let program = format!("exercise-{}", step.number());
    ["--package", "workshop", "--features", "exercises", "--bin", &program].map(str::to_owned)
}

/// Builds the worker with the attendee's codec of that step. `None` if it does not compile: the compiler's
/// messages are on stderr.
///
/// # Errors
/// When cargo can't be run, or the build fails for a reason that is not in the codec: no linker, a full disk,
/// a package that does not compile.
pub async fn build_worker(step: Step) -> anyhow::Result<Option<PathBuf>> {
    let root = root::require()?;
    let target = worker_target(step);
    let format = if colors_enabled_stderr() { "json-diagnostic-rendered-ansi" } else { "json" };
    let how = ["build", "--quiet", "--message-format", format];
    let flags = how.into_iter().chain(PROFILE.iter().copied());
    let cargo = start(&root, flags.chain(target.iter().map(String::as_str)))?;
    let mut built = None;
    let mut errors = Vec::new();
    let status = cargo
        .lines(|line| match serde_json::from_str(line) {
            Ok(Message::CompilerMessage(said)) => {
                if let Some(rendered) = &said.message.rendered {
                    pass_on(rendered.trim_end_matches('\n'));
                }
                if matches!(said.message.level, DiagnosticLevel::Error | DiagnosticLevel::Ice) {
                    let in_codec = said.target.name == target[5] && !said.message.spans.is_empty();
                    errors.push((in_codec, said.message.message));
                }
            }
            Ok(Message::CompilerArtifact(done)) if done.target.name == target[5] => {
                built = done.executable;
            }
            _ => {}
        })
        .await?;
    if status.success() {
        let what = || format!("cargo built {} but did not say where it is", target[5]);
        return Ok(Some(built.with_context(what)?.into()));
    }
    // A compiler message about the codec names a place in its file.
    if errors.iter().any(|(in_codec, _)| *in_codec) {
        return Ok(None);
    }
    let has_cc = env::var_os("CC").is_some() || programs::on_path("cc", &root).is_some();
    let errors: Vec<_> = errors.into_iter().map(|(_, message)| message).collect();
    Err(Failure::environment(not_built(step, &errors, has_cc)).into())
}

/// Why a worker could not be built, when the codec is not the reason; what cargo printed is above.
fn not_built(step: Step, errors: &[String], has_cc: bool) -> String {
    let says = |words: &str| errors.iter().any(|error| error.contains(words));
    let why = if says("linker `") && says("not found") || !has_cc {
        "there is no C compiler (`cc`), which links Rust programs. Install one: `sudo apt install \
         build-essential`, `sudo dnf install gcc`, on macOS `xcode-select --install`"
    } else if says("No space left on device") {
        "the disk is full. `cargo workshop doctor` shows how much is free, and where"
    } else if says("linking with `") {
        "the linker failed. Its output is above; `cargo workshop doctor` checks disk and memory"
    } else {
        "cargo failed. Its output is above; `cargo workshop doctor` checks compiler, disk and memory"
    };
    format!(
        "the worker of exercise {} could not be built, and your codec is not the reason: {why}",
        step.number()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_machine_is_named() {
        let said = |errors: &[&str], has_cc| {
            let errors: Vec<_> = errors.iter().map(|error| (*error).to_owned()).collect();
            not_built(Step::Async, &errors, has_cc)
        };
        for no_linker in [said(&["linker `cc` not found"], true), said(&[], false)] {
            assert!(no_linker.contains("no C compiler (`cc`)"), "{no_linker}");
            assert!(no_linker.contains("your codec is not the reason"), "{no_linker}");
        }
        let full =
            said(&["failed to write lib.rmeta: No space left on device (os error 28)"], true);
        assert!(full.contains("the disk is full"), "{full}");
        assert!(
            said(&["linking with `cc` failed: exit status: 1"], true).contains("linker failed")
        );
        assert!(said(&[], true).contains("cargo failed"));
    }
}
