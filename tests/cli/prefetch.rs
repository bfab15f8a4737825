//! `workshop prefetch`: bundles, and a day with the network cut.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{ROOT, WORKSHOP, program, script, stderr, stdout, typed};

const SCRIPT: &str = "src/prefetch/install.sh";

/// A shell command in that folder.
fn shell(script: &str, folder: &Path) -> Command {
    let mut shell = typed(script);
    shell.current_dir(folder);
    shell
}

/// What the command prints on stdout; it has to succeed.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// A clone and a bundle for it, as small as they can be.
struct Small {
    folder: TempDir,
}

impl Small {
    fn new() -> Self {
        let small = Self { folder: tempfile::tempdir().unwrap() };
        let system = format!("{}-{}", env::consts::OS, env::consts::ARCH);
        for (name, text) in [
            ("clone/stack/process-compose.yaml", ""),
            ("clone/.cargo/config.toml", "[alias]\n"),
            ("clone/Cargo.lock", "version = 4\n"),
            ("stage/Cargo.lock", "version = 4\n"),
            ("stage/vendor/one-1.0.0/lib.rs", "one\n"),
            (&format!("stage/temporal/{system}/temporal"), "#!/bin/sh\n"),
            ("stage/temporal/other-system/temporal", "#!/bin/sh\n"),
        ] {
            let path = small.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir(small.path("bundle")).unwrap();
        fs::copy(Path::new(ROOT).join(SCRIPT), small.path("bundle/install.sh")).unwrap();
        small.pack("Cargo.lock vendor temporal");
        small
    }

    /// Packs these files of the stage, by the system's own programs.
    fn pack(&self, files: &str) {
        let pack = format!(
            "tar -czf ../bundle/dependencies.tar.gz {files} && cd ../bundle
            sum=sha256sum; command -v sha256sum >/dev/null || sum='shasum -a 256'
            $sum dependencies.tar.gz > CHECKSUM"
        );
        succeeds(&mut shell(&pack, &self.path("stage")));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Both ways to install: for a laptop with nothing built, and for one with the workshop built.
    fn ways(&self) -> [Command; 2] {
        let mut script = program("sh");
        script.arg(self.path("bundle/install.sh"));
        let mut built = program(WORKSHOP);
        built.args(["prefetch", "--from", "../bundle"]);
        for command in [&mut script, &mut built] {
            command.current_dir(self.path("clone"));
        }
        [script, built]
    }

    /// Neither way installs anything of it, and each says this.
    fn is_refused(&self, says: &[&str]) {
        let settings = fs::read_to_string(self.path("clone/.cargo/config.toml")).unwrap();
        for mut command in self.ways() {
            let output = command.output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{command:?}: {said}");
            for says in says.iter().chain(&["Nothing was installed"]) {
                assert!(said.contains(says), "{command:?} does not say {says:?}: {said}");
            }
            for name in ["vendor", "bin/temporal", "bundle.part"] {
                let path = self.path("clone/.workshop").join(name);
                assert!(!path.exists(), "{command:?}: {} exists", path.display());
            }
            let now = fs::read_to_string(self.path("clone/.cargo/config.toml")).unwrap();
            assert_eq!(now, settings, "{command:?}");
        }
    }
}

#[test]
fn crates_cli_and_settings_are_installed_once() {
    for way in 0..2 {
        let small = Small::new();
        // What an interrupted installation left.
        fs::create_dir_all(small.path("clone/.workshop/bundle.part/vendor/left")).unwrap();
        for _ in 0..2 {
            succeeds(&mut small.ways()[way]);
            let files = succeeds(&mut shell("find .workshop -type f | sort", &small.path("clone")));
            assert_eq!(files, ".workshop/bin/temporal\n.workshop/vendor/one-1.0.0/lib.rs\n");
            let cli = fs::metadata(small.path("clone/.workshop/bin/temporal")).unwrap();
            assert_eq!(cli.permissions().mode() & 0o777, 0o755);
            // Newer than what was built before, it would be built again.
            let source = small.path("clone/.workshop/vendor/one-1.0.0/lib.rs");
            let age = fs::metadata(source).unwrap().modified().unwrap().elapsed().unwrap();
            assert!(age > Duration::from_hours(24 * 365), "{age:?}");
            let settings = fs::read_to_string(small.path("clone/.cargo/config.toml")).unwrap();
            assert!(settings.starts_with("[alias]\n"), "{settings}");
            assert_eq!(
                settings.matches("directory = \".workshop/vendor\"").count(),
                1,
                "{settings}"
            );
        }
    }
}

#[test]
fn a_damaged_bundle_is_refused() {
    let small = Small::new();
    let archive = small.path("bundle/dependencies.tar.gz");
    let whole = fs::read(&archive).unwrap();
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for content in [&damaged, &whole[..whole.len() - 1], &[]] {
        fs::write(&archive, content).unwrap();
        small.is_refused(&["is damaged", "does not match CHECKSUM"]);
    }
    fs::remove_file(&archive).unwrap();
    small.is_refused(&["is damaged", "does not match CHECKSUM"]);
}

#[test]
fn a_bundle_that_is_not_complete_is_refused() {
    let small = Small::new();
    let checksum = small.path("bundle/CHECKSUM");
    let whole = fs::read_to_string(&checksum).unwrap();
    for length in [0, 30, 64, whole.len() - 2] {
        fs::write(&checksum, &whole[..length]).unwrap();
        small.is_refused(&["is damaged", "does not match CHECKSUM"]);
    }
    fs::remove_file(&checksum).unwrap();
    small.is_refused(&["there is no complete bundle in", "CHECKSUM is missing"]);
}

#[test]
fn a_bundle_of_another_version_or_of_something_else_is_refused() {
    let small = Small::new();
    fs::write(small.path("clone/Cargo.lock"), "version = 3\n").unwrap();
    small.is_refused(&["belongs to another version of the workshop", "git clone"]);
    let small = Small::new();
    small.pack("vendor temporal");
    small.is_refused(&["belongs to another version of the workshop", "git clone"]);
    // Its checksum is right, and yet it can't be unpacked.
    small.pack("Cargo.lock temporal");
    small.is_refused(&["could not be unpacked"]);
}

#[test]
fn a_source_of_crates_in_the_settings_is_left_alone() {
    let small = Small::new();
    fs::write(small.path("clone/.cargo/config.toml"), "[source.crates-io]\n").unwrap();
    small.is_refused(&["names a source of crates already"]);
}

#[test]
fn a_folder_that_does_not_exist_is_wrong_usage() {
    let small = Small::new();
    fs::remove_dir_all(small.path("bundle")).unwrap();
    let output = small.ways()[1].output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("error: there is no folder /"), "{}", stderr(&output));
}

#[test]
fn a_bundle_is_not_written_over_other_things() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.odt"), "mine").unwrap();
    let refused = |folder: &Path, says: &str| {
        let mut command = program(WORKSHOP);
        let output = command.args(["prefetch", "--bundle"]).arg(folder).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    };
    refused(folder.path(), "holds thesis.odt, which is not part of a bundle");
    refused(Path::new(ROOT), "is in the workshop's own folder");
    refused(&Path::new(ROOT).join("no-such-folder"), "is in the workshop's own folder");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_script_is_plain_shell() {
    for shell in ["sh", "dash"] {
        // Not every system has dash.
        if let Ok(status) = Command::new(shell).args(["-n", SCRIPT]).current_dir(ROOT).status() {
            assert!(status.success(), "{shell}");
        }
    }
    if let Ok(output) = Command::new("shellcheck").arg(SCRIPT).current_dir(ROOT).output() {
        assert!(output.status.success(), "{}", stdout(&output));
    }
}

/// The script, in a network namespace of its own: of the network, nothing is there but the machine
/// itself. Each try to reach anything else fails at once, and is counted by the system: the count is
/// the last line that is printed.
fn without_network(script: &str, folder: &Path) -> (Output, u64) {
    let counted = format!(
        r#"ip link set lo up || exit 99
        ({script})
        code=$?
        awk '/^Ip:/ {{ if (column) count = $column
                      else for (i = 1; i <= NF; i++) if ($i == "OutNoRoutes") column = i }}
             /^Ip6OutNoRoutes/ {{ count += $2 }}
             END {{ print count + 0 }}' /proc/net/snmp /proc/net/snmp6
        exit $code"#
    );
    let alone = |flags: &[&str]| {
        let mut unshare = program("unshare");
        unshare.args(flags).env_remove("CARGO_NET_OFFLINE").current_dir(folder);
        unshare
    };
    // Root may do it; others may in a namespace of users of their own, where the system lets them.
    let root: &[&str] = &["--net"];
    let user: &[&str] = &["--map-root-user", "--net"];
    let may = |flags: &&&[&str]| alone(flags).arg("true").status().is_ok_and(|s| s.success());
    let flags = [root, user].iter().find(may).copied().expect("unshare makes no network namespace");
    let output = alone(flags).args(["sh", "-c", &counted]).output().unwrap();
    let printed = stdout(&output);
    let tries = printed.trim_end().lines().last().unwrap_or_default().parse();
    let tries = tries.unwrap_or_else(|_| panic!("{printed}{}", stderr(&output)));
    (output, tries)
}

/// The same; it has to do its work, and nothing may try to reach anything.
fn does_without_network(script: &str, folder: &Path) -> Output {
    let (output, tries) = without_network(script, folder);
    let said = format!("{script}\n{}{}", stdout(&output), stderr(&output));
    assert!(output.status.success(), "{said}");
    assert_eq!(tries, 0, "something tried to reach out: {said}");
    for word in ["Updating", "Downloading", "Downloaded", "esolve host", "etrying", "installing"] {
        assert!(!said.contains(word), "{word}: {said}");
    }
    output
}

/// The counter counts: without this, a count of 0 would prove nothing.
#[test]
#[ignore = "needs a network namespace"]
fn an_attempt_to_reach_the_network_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let (output, tries) = without_network(
        "for family in 192.0.2.1 2001:db8::1; do bash -c \": </dev/tcp/$family/443\"; done",
        home.path(),
    );
    assert!(!output.status.success() && tries >= 1, "{tries} {}", stderr(&output));
    let (output, _) = without_network(
        &format!("CARGO_HOME={} cargo fetch --locked", home.path().display()),
        Path::new(ROOT),
    );
    assert!(!output.status.success(), "{}", stderr(&output));
}

#[test]
#[ignore = "needs the network first, and then a network namespace"]
fn after_prefetch_the_day_needs_no_network() {
    let said = succeeds(&mut shell("cargo workshop prefetch --no-nix", Path::new(ROOT)));
    for line in ["crates ", "built ", "Temporal CLI ", "Everything is ready"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    println!("{said}");

    let root = Path::new(ROOT);
    // Plain commands, as they are typed in the room.
    does_without_network("cargo build", root);
    does_without_network("cargo workshop prefetch --no-nix", root);
    does_without_network("cargo test --workspace --lib", root);
    does_without_network("cargo test --test live -- worker:: server::", root);
    let made = env!("CARGO_TARGET_TMPDIR");
    let compare = format!(
        "cargo workshop compare --workflows 12 --activities 2 --limit 60 \
         --json {made}/prefetch.json --report {made}/prefetch.html"
    );
    does_without_network(&compare, root);
    for exercise in 1..=4 {
        // The codecs are not solved: that is 1. A broken environment would be 3.
        let verify = format!("cargo workshop verify {exercise} --quick; [ $? -le 1 ]");
        // A busy machine is refused, and tried again.
        let judged = (0..20).any(|_| {
            let (output, tries) = without_network(&verify, root);
            let said = stderr(&output);
            assert_eq!(tries, 0, "something tried to reach out: {said}");
            let busy = said.contains("too busy to judge");
            assert!(busy || output.status.success(), "{said}");
            !busy
        });
        assert!(judged, "this machine is too busy for exercise {exercise}");
    }
    does_without_network("cargo workshop doctor --no-stack; cargo workshop hint 1", root);
    let has = |name| shell(&format!("command -v {name}"), root).output().unwrap().status.success();
    if has("process-compose") && has("prometheus") {
        does_without_network(
            "cargo workshop stack --without grafana --detach && cargo workshop stack status \
             && cargo workshop stack down",
            root,
        );
    } else {
        println!("NOT RUN: the stack with the network cut: no process-compose, or no prometheus");
    }
}

#[test]
#[ignore = "needs the network first, and then a network namespace"]
fn a_laptop_with_rust_alone_builds_from_the_stick() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let stick = path("stick");
    // The second time over the first.
    for _ in 0..2 {
        println!("{}", succeeds(program(WORKSHOP).args(["prefetch", "--bundle"]).arg(&stick)));
    }
    let names = succeeds(&mut shell("ls", &stick));
    assert_eq!(names, "CHECKSUM\nREADME.txt\ndependencies.tar.gz\ninstall.sh\nworkshop.bundle\n");
    // The checkout as it is, not as it was committed; but without what was built or installed in it.
    let copy = format!(
        "mkdir {0} && git ls-files -z | xargs -0 cp --parents -t {0} && git checkout-index --force \
         --prefix={0}/ .cargo/config.toml",
        path("clone").display()
    );
    succeeds(&mut shell(&copy, Path::new(ROOT)));

    // With an empty home of cargo and a target folder of its own. The SDK would take too long to build.
    let variables = format!(
        "export CARGO_HOME={0}/home CARGO_TARGET_DIR={0}/target CARGO_INCREMENTAL=0",
        folder.path().display()
    );
    let script = format!(
        "{variables}
         sh {0}/stick/install.sh && cargo fetch --quiet --locked \
         && cargo check --quiet --locked --package stack && .workshop/bin/temporal --version \
         && git clone --quiet {0}/stick/workshop.bundle {0}/cloned && ls {0}/cloned/Cargo.lock",
        folder.path().display()
    );
    let output = does_without_network(&script, &path("clone"));
    assert!(stdout(&output).contains("temporal version"), "{}", stdout(&output));
    // The other way installs over it, and nothing has to be built again.
    let mut from = program(WORKSHOP);
    succeeds(from.args(["prefetch", "--from"]).arg(&stick).current_dir(path("clone")));
    let again = format!("{variables}; cargo check --locked --package stack");
    let said = stderr(&does_without_network(&again, &path("clone")));
    assert!(!said.contains("Compiling") && !said.contains("Checking"), "{said}");
}

/// Nix's part is asked for where there is a Nix, and missed where it did not come.
#[test]
fn what_nix_could_not_fetch_is_missing() {
    let small = Small::new();
    let programs = small.path("programs");
    fs::create_dir(&programs).unwrap();
    for (name, code) in [("nix", 1), ("cargo", 0)] {
        script(&programs.join(name), &format!("exit {code}"));
    }
    // One that says what the CLI says: none is fetched.
    script(&programs.join("temporal"), "echo temporal version 1.9.1");
    let path = env::var_os("PATH").unwrap();
    let path =
        env::join_paths([programs.clone()].into_iter().chain(env::split_paths(&path))).unwrap();
    let prefetch = |flags: &[&str]| {
        let mut command = program(WORKSHOP);
        command.args(["prefetch", "--no-build"]).args(flags).current_dir(small.path("clone"));
        command.env("PATH", &path).env("CARGO", programs.join("cargo"));
        command.env_remove("IN_NIX_SHELL").output().unwrap()
    };
    let output = prefetch(&[]);
    let printed = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{printed}{}", stderr(&output));
    assert!(!printed.contains("Everything"), "{printed}");
    assert!(printed.contains("What is missing:\n  Nix's shell and stack\n"), "{printed}");
    assert!(printed.contains("--no-nix"), "{printed}");
    let output = prefetch(&["--no-nix"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Everything is fetched."), "{}", stdout(&output));
}
