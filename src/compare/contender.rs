//! Who is compared: the reference codecs, one that never stalls, the attendee's own.

use std::{fs, path::PathBuf, process::Stdio};

use anyhow::Context;
use clap::ValueEnum;
use solutions::Step;
use stack::root;
use tokio::process::Command;

use crate::{exit::Failure, process_group::ProcessGroup};

/// A reference codec, by the name it has in flags, tables and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contender {
    /// Waits for its key on the worker's thread
    #[value(name = "blocking")]
    Blocking,
    /// Waits on a thread of tokio's blocking pool
    #[value(name = "spawn_blocking")]
    SpawnBlocking,
    /// Waits without a thread
    #[value(name = "async")]
    Async,
    /// Keeps keys, and seldom waits
    #[value(name = "beyond_async")]
    BeyondAsync,
    /// The async codec with a key service that always answers at once: what there is to reach
    #[value(name = "never_stalls")]
    NeverStalls,
}

impl Contender {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::SpawnBlocking => "spawn_blocking",
            Self::Async => "async",
            Self::BeyondAsync => "beyond_async",
            Self::NeverStalls => "never_stalls",
        }
    }

    fn step(self) -> Step {
        match self {
            Self::Blocking => Step::Blocking,
            Self::SpawnBlocking => Step::SpawnBlocking,
            Self::Async | Self::NeverStalls => Step::Async,
            Self::BeyondAsync => Step::BeyondAsync,
        }
    }
}

/// One codec to be measured, and the program that runs a worker with it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the table calls it.
    pub name: String,
    /// Whether its key service stalls at all.
    pub stalls: bool,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Entry {
    /// A reference codec. This program runs its worker itself, as a process of its own.
    ///
    /// # Errors
    /// When the system can't say where this program is.
    pub fn reference(contender: Contender) -> anyhow::Result<Self> {
        Ok(Self {
            name: contender.name().to_owned(),
            stalls: contender != Contender::NeverStalls,
            program: std::env::current_exe()?,
            arguments: vec![
                "worker".into(),
                "--solution".into(),
                contender.step().number().to_string(),
            ],
        })
    }

    /// The attendee's codec of exercise `number`. Builds the program `worker`, which this one does
    /// not link, so that half-written code stops nothing else.
    ///
    /// # Errors
    /// When there is no such exercise, or it does not compile: the compiler's words are on stderr.
    pub async fn mine(number: u8) -> anyhow::Result<Self> {
        let step = Step::exercise(number).map_err(Failure::usage)?;
        let program = build_worker(step).await?.ok_or_else(|| {
            Failure::usage(format!(
                "the worker does not compile, so there is nothing to measure: the compiler's words \
                 are above; your codec is exercises/{}/codec.rs",
                step.folder()
            ))
        })?;
        Ok(Self::exercise(step, program))
    }

    /// The attendee's codec of that step, in a worker that is built.
    pub fn exercise(step: Step, program: PathBuf) -> Self {
        Self {
            name: format!("mine_{}", step.number()),
            stalls: true,
            program,
            arguments: vec!["--exercise".into(), step.number().to_string()],
        }
    }

    /// The command that runs a worker with this codec, without the worker's own flags.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// Builds the program `worker`, with the attendee's codec of that step and no other: what is half-written
/// in another exercise must not stop this one. `None` if it does not compile: the compiler's words are
/// on stderr.
///
/// # Errors
/// When cargo can't be run.
pub async fn build_worker(step: Step) -> anyhow::Result<Option<PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = root::require()?;
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--package", "exercises", "--bin", "worker"])
        .args(["--no-default-features", "--features", &format!("exercise-{}", step.number())])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(&root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    // Set by `cargo run` for this program. The build script of ring watches them, and would have
    // half of the SDK built anew.
    for (name, _) in std::env::vars_os() {
        let named = name.to_string_lossy();
        if named.starts_with("CARGO_PKG_") || named.starts_with("CARGO_MANIFEST_") {
            build.env_remove(&name);
        }
    }
    // A build that is given up must not leave a compiler behind, which would write over the next one's.
    let cargo =
        ProcessGroup::start(&mut build).context("cargo can't be run to build the worker")?;
    let (status, messages) = cargo.output().await?;
    if !status.success() {
        return Ok(None);
    }
    // Cargo says where it put what it built, one JSON message a line.
    let messages = String::from_utf8_lossy(&messages);
    let executable = messages.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "worker").then_some(())?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    let executable = executable.context("cargo built the worker but did not say where it is")?;
    // A copy: cargo puts the worker of another exercise in the same place.
    let folder = root.join(root::OURS).join("workers");
    fs::create_dir_all(&folder)?;
    let copy = folder.join(step.folder());
    // A worker that still runs keeps the file it was started from.
    if copy.exists() {
        fs::remove_file(&copy)?;
    }
    fs::copy(&executable, &copy)
        .with_context(|| format!("can't copy the worker to {}", copy.display()))?;
    Ok(Some(copy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flag() {
        for contender in Contender::value_variants() {
            let flag = contender.to_possible_value().unwrap();
            assert_eq!(flag.get_name(), contender.name());
        }
    }
}
