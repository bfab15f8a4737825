//! Which programs are needed, in which version, and how to get them.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cli_kit::{root, settings};
use semver::Version;

/// A program that the workshop needs.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name on `PATH`.
    pub name: &'static str,
    /// The arguments that make it print its version.
    version: &'static str,
    /// The oldest version that works: major, minor, patch.
    oldest: [u64; 3],
    /// How to get it; `None` for a program of this workspace, which the stack builds.
    get: Option<&'static str>,
}

/// The Temporal CLI, which is the dev server as well. 1.0 has all the flags that are used.
pub const TEMPORAL: Program = Program {
    name: "temporal",
    version: "--version",
    oldest: [1, 0, 0],
    get: Some(
        "`cargo workshop compare` installs it into .workshop/, and https://docs.temporal.io/cli \
          lists other ways",
    ),
};

/// The codec server, of this workspace.
pub const CODEC_SERVER: Program =
    Program { name: "codec-server", version: "--version", oldest: [0, 1, 0], get: None };

/// The key service, of this workspace.
pub const KEY_SERVICE: Program =
    Program { name: "key-service", version: "--version", oldest: [0, 1, 0], get: None };

/// Prometheus. 2.42 is the oldest that was tried.
pub const PROMETHEUS: Program = Program {
    name: "prometheus",
    version: "--version",
    oldest: [2, 42, 0],
    get: Some("the package `prometheus` of Debian and Homebrew, or https://prometheus.io/download"),
};

/// Grafana. The dashboards and settings were written for 13.
pub const GRAFANA: Program = Program {
    name: "grafana",
    version: "--version",
    oldest: [13, 0, 0],
    get: Some(
        "https://grafana.com/grafana/download or Homebrew's package `grafana`; --without grafana \
          skips it",
    ),
};

/// process-compose. 1.94 is the oldest that was tried.
pub const PROCESS_COMPOSE: Program = Program {
    name: "process-compose",
    version: "version",
    oldest: [1, 94, 0],
    get: Some("https://f1bonacc1.github.io/process-compose/installation"),
};

/// The shell that process-compose runs each service's command with. Any version works: macOS has 3.2.
pub const BASH: Program = Program {
    name: "bash",
    version: "--version",
    oldest: [3, 0, 0],
    get: Some("your system's package `bash`"),
};

/// The linker of Rust programs, which is the C compiler.
pub const CC: Program = Program {
    name: "cc",
    version: "--version",
    oldest: [1, 0, 0],
    get: Some(
        "`apt install build-essential`, `dnf install gcc`, `apk add build-base`, or on macOS \
          `xcode-select --install`",
    ),
};

/// Git.
pub const GIT: Program = Program {
    name: "git",
    version: "--version",
    oldest: [2, 0, 0],
    get: Some("your system's package `git`"),
};

/// Rust's compiler. The oldest is the one that the Temporal SDK needs.
pub const RUSTC: Program = Program {
    name: "rustc",
    version: "--version",
    oldest: [1, 92, 0],
    get: Some("`rustup update` or https://rustup.rs"),
};

/// Cargo.
pub const CARGO: Program = Program { name: "cargo", ..RUSTC };

/// A program that was found and can be used.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
}

/// Why a program or a port can't be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{seen}: {what_to_do}")]
pub struct Unfit {
    /// What was seen.
    pub seen: String,
    /// What to do about it.
    pub what_to_do: String,
}

impl Program {
    /// Finds the program on `PATH`, or where the workshop in that folder installs programs, and checks its
    /// version.
    ///
    /// # Errors
    /// When it is missing, too old, or says nothing.
    pub fn find(self, root: &Path) -> Result<Found, Unfit> {
        let path = on_path(self.name, root)
            .ok_or_else(|| self.unfit(format!("{} is not on PATH", self.name)))?;
        let output = Command::new(&path).arg(self.version).stdin(Stdio::null()).output();
        let version = output.ok().filter(|output| output.status.success()).and_then(|output| {
            // Prometheus 2 wrote it to stderr before 2.28; others never do.
            version_in(&String::from_utf8_lossy(&output.stdout))
        });
        let version = version
            .ok_or_else(|| self.unfit(format!("{} does not report its version", path.display())))?;
        let [major, minor, patch] = self.oldest;
        let oldest = Version::new(major, minor, patch);
        if version < oldest {
            let path = path.display();
            return Err(self.unfit(format!("{path} is {version}, which is older than {oldest}")));
        }
        Ok(Found { path, version })
    }

    /// Whether it is a program of this workspace, which cargo builds where `PATH` has none.
    pub fn is_built_here(self) -> bool {
        self.get.is_none()
    }

    fn unfit(self, seen: String) -> Unfit {
        let what_to_do = match self.get {
            Some(get) => format!("get it: {get}. `nix develop` has it, too"),
            None => "the stack builds it from the checkout".to_owned(),
        };
        Unfit { seen, what_to_do }
    }
}

/// Where that program is, on `PATH` or where the workshop in the folder `root` installs programs.
pub fn on_path(name: &str, root: &Path) -> Option<PathBuf> {
    which::which_in_global(name, Some(search_path(root))).ok()?.next()
}

/// `PATH`, and after it where the workshop in the folder `root` installs programs.
pub fn search_path(root: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = root.join(root::OURS).join("bin");
    // Fails only for a folder with a separator in its name; then PATH alone is used.
    env::join_paths(env::split_paths(&path).chain([installed])).unwrap_or(path)
}

/// The first version number in what a program says: `temporal version 1.9.1 (Server …)`,
/// `prometheus, version 2.42.0+ds (branch …`, `Version:        v1.122.0`.
fn version_in(text: &str) -> Option<Version> {
    text.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches('v');
        let number =
            word.find(|c: char| !c.is_ascii_digit() && c != '.').map_or(word, |end| &word[..end]);
        Version::parse(number).ok()
    })
}

/// The folder with Grafana's own files, which its program does not know by itself: in Nix and
/// Homebrew, in a tarball, in a Debian package.
///
/// # Errors
/// When none of these has them.
pub fn grafana_home(grafana: &Path) -> Result<PathBuf, Unfit> {
    let program = grafana.canonicalize().unwrap_or_else(|_| grafana.to_owned());
    let above = program.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    [above.join("share/grafana"), above.to_owned(), PathBuf::from("/usr/share/grafana")]
        .into_iter()
        .find(|folder| folder.join("conf/defaults.ini").is_file())
        .ok_or_else(|| Unfit {
            seen: format!(
                "{} is there, its own files (conf/defaults.ini) are not",
                grafana.display()
            ),
            what_to_do: format!(
                "set their folder in {}, or use --without grafana",
                settings::GRAFANA_HOME
            ),
        })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_say() {
        for (says, expected) in [
            ("temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)", "1.9.1"),
            ("prometheus, version 2.42.0+ds (branch: debian/sid)", "2.42.0"),
            ("Process Compose\nVersion:        v1.122.0\nCommit:  undefined", "1.122.0"),
            ("grafana version 13.0.7", "13.0.7"),
            ("GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)", "5.2.15"),
            ("cc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022", "12.2.0"),
            ("Apple clang version 15.0.0 (clang-1500.3.9.4)", "15.0.0"),
            ("git version 2.39.5 (Apple Git-154)", "2.39.5"),
            ("rustc 1.95.0 (59807616e 2026-04-14)", "1.95.0"),
            ("rustc 1.97.0-nightly (abc 2026-05-01)", "1.97.0"),
        ] {
            assert_eq!(version_in(says).unwrap().to_string(), expected);
        }
        assert_eq!(version_in("command not found"), None);
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let root = Path::new("/no/such/folder");
        let unfit = Program { name: "no-such-program", ..TEMPORAL }.find(root).unwrap_err();
        assert_eq!(unfit.seen, "no-such-program is not on PATH");
        assert!(unfit.what_to_do.contains("https://docs.temporal.io/cli"));
        let unfit = Program { oldest: [999, 0, 0], ..CARGO }.find(root).unwrap_err();
        assert!(unfit.seen.ends_with("which is older than 999.0.0"), "{unfit}");
    }

    #[test]
    fn grafanas_files_are_found_as_nix_and_as_a_tarball_have_them() {
        for home in ["share/grafana", "."] {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join(home);
            fs::create_dir_all(home.join("conf")).unwrap();
            fs::write(home.join("conf/defaults.ini"), "").unwrap();
            fs::create_dir_all(folder.path().join("bin")).unwrap();
            let program = folder.path().join("bin/grafana");
            fs::write(&program, "").unwrap();
            let found = grafana_home(&program).unwrap();
            assert_eq!(found.canonicalize().unwrap(), home.canonicalize().unwrap());
        }
        let unfit = grafana_home(Path::new("/no/such/bin/grafana")).unwrap_err();
        assert!(unfit.what_to_do.contains("STACK_GRAFANA_HOME"), "{}", unfit.what_to_do);
    }
}
