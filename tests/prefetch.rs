//! `workshop prefetch`: bundles, and a day with the network cut.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::{program, stderr, stdout, typed};
use tempfile::TempDir;
use workshop::exercise::without_cargos_variables;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const SCRIPT: &str = "src/prefetch/install.sh";

/// A clone and a bundle for it, as small as they can be.
struct Small {
    folder: TempDir,
}

impl Small {
    fn new() -> Self {
        let small = Self { folder: tempfile::tempdir().unwrap() };
        let machine = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
        for (name, text) in [
            ("clone/nix/process-compose.yaml", ""),
            ("clone/.cargo/config.toml", "[alias]\n"),
            ("clone/Cargo.lock", "version = 4\n"),
            ("bundle/Cargo.lock", "version = 4\n"),
            ("bundle/crates/one-1.0.0.crate", "one"),
            ("bundle/crates/two-2.0.0+2.crate", "two"),
            ("bundle/crates/index/3/o/one", "{}\n"),
            (&format!("bundle/temporal/{machine}/temporal"), "#!/bin/sh\n"),
        ] {
            let path = small.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for name in ["install.sh", "crates.toml"] {
            let from = Path::new(ROOT).join("src/prefetch").join(name);
            fs::copy(from, small.path("bundle").join(name)).unwrap();
        }
        // By the system's own program, so that neither of ours is held against itself.
        let sums = "sum=sha256sum; command -v sha256sum >/dev/null || sum='shasum -a 256'
            find . -type f ! -name SHA256SUMS | sed 's|^./||' | xargs $sum > SHA256SUMS";
        let bundle = small.path("bundle");
        let made = Command::new("sh").args(["-c", sums]).current_dir(bundle).status();
        assert!(made.unwrap().success());
        small
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Both ways to install: for a laptop with nothing built, and for one with the workshop built.
    fn ways(&self) -> [(&'static str, Command); 2] {
        let bundle = self.path("bundle");
        let mut script = program("sh");
        script.arg(bundle.join("install.sh"));
        let mut built = program(env!("CARGO_BIN_EXE_workshop"));
        built.args(["prefetch", "--from"]).arg(bundle);
        for command in [&mut script, &mut built] {
            command.current_dir(self.path("clone"));
        }
        [("install.sh", script), ("prefetch --from", built)]
    }

    /// Neither way uses anything of it, and each says this.
    fn is_refused(&self, says: &[&str]) {
        for (way, mut command) in self.ways() {
            let output = command.output().unwrap();
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(3), "{way}: {said}");
            for says in says {
                assert!(said.contains(says), "{way} does not say {says:?}: {said}");
            }
            assert!(!self.path("clone/.workshop").exists(), "{way}: {said}");
            let settings = fs::read_to_string(self.path("clone/.cargo/config.toml")).unwrap();
            assert!(!settings.contains("local-registry"), "{way}: {settings}");
        }
    }
}

#[test]
fn both_ways_install_the_same() {
    let installed = |way: usize| {
        let small = Small::new();
        // Once more is no harm.
        for _ in 0..2 {
            let [(name, mut command), ..] = {
                let mut ways = small.ways();
                ways.rotate_left(way);
                ways
            };
            let output = command.output().unwrap();
            assert!(output.status.success(), "{name}: {}", stderr(&output));
        }
        let cli = fs::metadata(small.path("clone/.workshop/bin/temporal")).unwrap();
        assert_eq!(cli.permissions().mode() & 0o777, 0o755);
        let files = |command: &str| {
            let clone = small.path("clone");
            stdout(&Command::new("sh").args(["-c", command]).current_dir(clone).output().unwrap())
        };
        (files("find . | LC_ALL=C sort"), files("cat .cargo/config.toml .workshop/crates/*.crate"))
    };
    let (by_script, by_program) = (installed(0), installed(1));
    assert_eq!(by_script, by_program);
    assert!(by_script.0.contains("./.workshop/crates/index/3/o/one"), "{}", by_script.0);
    assert_eq!(by_script.1.matches("local-registry = \".workshop/crates\"").count(), 1);
}

#[test]
fn of_a_damaged_bundle_nothing_is_used_and_the_files_are_named() {
    let small = Small::new();
    fs::write(small.path("bundle/crates/one-1.0.0.crate"), "0ne").unwrap();
    fs::remove_file(small.path("bundle/crates/index/3/o/one")).unwrap();
    fs::write(small.path("bundle/crates/three-3.0.0.crate"), "three").unwrap();
    small.is_refused(&[
        "changed: crates/one-1.0.0.crate",
        "missing: crates/index/3/o/one",
        "additional: crates/three-3.0.0.crate",
        "was used",
    ]);
}

#[test]
fn a_bundle_that_was_not_written_to_its_end_is_none() {
    let small = Small::new();
    let list = small.path("bundle/SHA256SUMS");
    let whole = fs::read_to_string(&list).unwrap();
    for (length, says) in [
        // In the middle of a sum, of a name, and at the end of a line.
        (30, "SHA256SUMS has a line that is no sum"),
        (whole.lines().next().unwrap().len() - 1, "additional: "),
        (whole.lines().next().unwrap().len() + 1, "additional: "),
        (0, "additional: "),
    ] {
        fs::write(&list, &whole[..length]).unwrap();
        small.is_refused(&[says]);
    }
    fs::remove_file(&list).unwrap();
    small.is_refused(&["SHA256SUMS is missing: the bundle was not written to its end"]);
}

#[test]
fn a_bundle_of_another_version_is_not_used() {
    let small = Small::new();
    fs::write(small.path("clone/Cargo.lock"), "version = 3\n").unwrap();
    small.is_refused(&["belongs to another version of the workshop", "git clone"]);
    let small = Small::new();
    fs::write(small.path("clone/.cargo/config.toml"), "[source.crates-io]\n").unwrap();
    small.is_refused(&["names a source of crates already"]);
}

#[test]
fn a_bundle_is_not_written_over_other_things() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.odt"), "mine").unwrap();
    let refused = |folder: &Path, says: &str| {
        let mut command = program(env!("CARGO_BIN_EXE_workshop"));
        let output = command.args(["prefetch", "--bundle"]).arg(folder).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    };
    refused(folder.path(), "holds thesis.odt, which is not a bundle's");
    refused(Path::new(ROOT), "and other things that are not a bundle's");
    refused(&Path::new(ROOT).join("no-such-folder"), "is in the workshop's own folder");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Without a name of their own these would be run by no test: the plain shell of a laptop in the room.
#[test]
fn the_script_is_plain_shell() {
    let dash = Command::new("sh").args(["-n", SCRIPT]).current_dir(ROOT).status().unwrap();
    assert!(dash.success());
    // Where it is at hand, it is asked, too.
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
        without_cargos_variables(&mut unshare);
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

/// What the counter is worth: whoever asks for a crate is counted.
#[test]
#[ignore = "needs a network namespace"]
fn who_reaches_out_is_counted() {
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
    let prefetch = typed("cargo workshop prefetch --no-nix").output().unwrap();
    let said = stdout(&prefetch);
    assert!(prefetch.status.success(), "{said}{}", stderr(&prefetch));
    for line in ["crates ", "built ", "Temporal CLI ", "All of it is here"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    println!("{said}");

    let root = Path::new(ROOT);
    // Plain commands, as they are typed in the room.
    does_without_network("cargo build", root);
    does_without_network("cargo workshop prefetch --no-nix", root);
    does_without_network("cargo test --workspace --lib", root);
    does_without_network("cargo test --workspace --test worker --test server", root);
    // Where cargo's target folder is, not everybody has it in the workshop's.
    let made = env!("CARGO_TARGET_TMPDIR");
    let compare = format!(
        "cargo workshop compare --workflows 12 --activities 2 --limit 60 \
         --json {made}/prefetch.json --report {made}/prefetch.html"
    );
    does_without_network(&compare, root);
    for exercise in 1..=4 {
        // Not solved by whoever begins: that is 1, and a broken environment would be 3.
        let verify = format!("cargo workshop verify {exercise} --quick; [ $? -le 1 ]");
        // Nor is it judged while others use the machine: then it says so, and is asked again.
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
    let has = |name| typed(&format!("command -v {name}")).output().unwrap().status.success();
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
        let mut command = program(env!("CARGO_BIN_EXE_workshop"));
        without_cargos_variables(&mut command);
        let output = command.args(["prefetch", "--bundle"]).arg(&stick).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        println!("{}", stdout(&output));
    }
    for part in ["install.sh", "crates/index/ri/ng/ring", "README.txt", "SHA256SUMS"] {
        assert!(stick.join(part).is_file(), "{part}");
    }
    // The checkout as it is, not as it was committed; but none of what was built, and nobody's settings.
    let mut copied = typed(&format!(
        "mkdir {0} && git ls-files -z | xargs -0 cp --parents -t {0} && git checkout-index --force \
         --prefix={0}/ .cargo/config.toml",
        path("clone").display()
    ));
    assert!(copied.status().unwrap().success());
    let settings = fs::read_to_string(path("clone/.cargo/config.toml")).unwrap();
    assert!(!settings.contains("local-registry"), "{settings}");

    // An empty home of cargo's, and a target folder of its own: all crates are unpacked, and some that
    // many others need are built. The SDK would take too long.
    let script = format!(
        "export CARGO_HOME={0}/home CARGO_TARGET_DIR={0}/target CARGO_INCREMENTAL=0
         sh {0}/stick/install.sh && cargo fetch --quiet --locked \
         && cargo check --quiet --locked --package stack && .workshop/bin/temporal --version \
         && git clone --quiet {0}/stick/workshop.bundle {0}/cloned && ls {0}/cloned/Cargo.lock",
        folder.path().display()
    );
    let output = does_without_network(&script, &path("clone"));
    assert!(stdout(&output).contains("temporal version"), "{}", stdout(&output));
    // The other way installs over it.
    let mut from = program(env!("CARGO_BIN_EXE_workshop"));
    from.args(["prefetch", "--from"]).arg(&stick).current_dir(path("clone"));
    let output = from.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}
