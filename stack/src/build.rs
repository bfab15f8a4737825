//! Builds the workshop's own programs, where `PATH` has none.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;
use cargo_metadata::Message;
use cli_kit::{cargo::without_cargos_variables, errln, exit::Failure};

use crate::programs::{self, Unfit};

/// The same profile as this program's, so that one folder has all programs.
const PROFILE: &[&str] = if cfg!(debug_assertions) { &[] } else { &["--release"] };

/// Why nothing can be built; `None` if there is a cargo. The one that runs this program counts, too.
pub fn unfit(root: &Path) -> Option<Unfit> {
    match env::var_os("CARGO") {
        Some(_) => None,
        None => programs::CARGO.find(root).err(),
    }
}

/// Builds the programs of these names from the checkout in the folder `root`. Returns where each of them is. What
/// cargo prints for people goes to stderr.
///
/// # Errors
/// When cargo can't be run, or does not build them.
pub fn build(names: &[&'static str], root: &Path) -> anyhow::Result<Vec<(&'static str, PathBuf)>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let all = names.join(" and ");
    errln!(
        "building {all} from this checkout, because PATH has none that can be used; the first build takes minutes"
    );
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    without_cargos_variables(&mut cargo);
    // No package is named: for cargo's default ones, what they share with the worker is built already.
    cargo.args(["build", "--message-format", "json-render-diagnostics"]).args(PROFILE);
    cargo.args(names.iter().flat_map(|name| ["--bin", name])).current_dir(root);
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo can't be run")?;
    if !output.status.success() {
        let without: Vec<_> = names.iter().map(|name| format!("--without {name}")).collect();
        return Err(Failure::environment(format!(
            "{all} could not be built: cargo's messages are above; {} starts the stack all the same",
            without.join(" ")
        ))
        .into());
    }
    let files = executables(&output.stdout)?;
    names
        .iter()
        .map(|name| {
            let file = files.iter().find(|(built, _)| built == name);
            let (_, file) =
                file.with_context(|| format!("cargo built {name} but did not say where it is"))?;
            Ok((*name, file.clone()))
        })
        .collect()
}

/// The programs that cargo built or found built, by name.
fn executables(printed: &[u8]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for message in Message::parse_stream(printed) {
        if let Message::CompilerArtifact(artifact) =
            message.context("can't read what cargo prints")?
            && let Some(file) = artifact.executable
        {
            files.push((artifact.target.name, file.into()));
        }
    }
    Ok(files)
}
