//! Fetches and builds all that the day needs, asks for each thing once more without the network, and
//! tells how much it is.

use std::{collections::HashSet, env, fs, os::unix::fs::MetadataExt, path::Path, process::Stdio};

use solutions::Step;
use stack::{programs, root};
use tokio::process::Command;

use super::{
    crates::{self, Workspace},
    fetch, say,
};
use crate::{
    compare::TemporalCli,
    exercise::{self, PROFILE, codec},
    exit::Exit,
    process_group::ProcessGroup,
};

/// What the day builds, as cargo is asked for it; the workers of the exercises come on top. In this
/// order the workshop's own program is in its place at the end.
const BUILDS: [(&str, &[&str]); 3] = [
    ("the tests", &["test", "--workspace", "--no-run"]),
    ("worker and starter", &["build", "--bin", "worker", "--bin", "starter"]),
    ("the workshop's program", &["build", "--package", "workshop", "--bin", "workshop"]),
];

/// What is built is in `Cargo.lock`, and was fetched.
const QUIETLY: [&str; 3] = ["--quiet", "--locked", "--offline"];

/// What can't be had, and what to do about it.
struct Problem {
    what: String,
    what_to_do: &'static str,
}

/// Fetches everything. What is missing in the end is listed, with what to do.
///
/// # Errors
/// When cargo can't be run.
pub async fn prefetch(root: &Path, build: bool, with_nix: bool) -> anyhow::Result<Exit> {
    let mut problems = Vec::new();
    let mut problem = |what: &str, what_to_do| {
        say(format!("{what}: NOT HERE"));
        problems.push(Problem { what: what.to_owned(), what_to_do });
    };

    say("crates: cargo fetch --locked");
    // For all systems, so that a bundle for others may be written from them.
    let workspace = match fetch(root).await? {
        true => crates::ask(root).await.map_err(|error| say(format!("{error:#}"))).ok(),
        false => None,
    };
    if workspace.is_none() {
        problem(
            "crates",
            "cargo's words are above. Use a better network, or a bundle from somebody who has one: \
             sh DIR/install.sh",
        );
    }

    let cli = match TemporalCli::find_or_install(&root.join(root::OURS)).await {
        Ok(cli) => {
            say(format!("Temporal CLI: {} ({})", cli.version, cli.path.display()));
            Some(cli)
        }
        Err(error) => {
            say(format!("{error:#}"));
            problem(
                "Temporal CLI",
                "install it as https://docs.temporal.io/cli tells, or copy the program `temporal` \
                 to .workshop/bin/temporal",
            );
            None
        }
    };

    // Without all crates, cargo would go on asking for them.
    let built = if workspace.is_none() {
        problem("what is built from the crates", "get the crates, then run this again");
        None
    } else if build {
        let built = build_all(root).await?;
        for what in &built.failed {
            problem(
                what,
                "the compiler's words are above; `cargo workshop doctor` looks at compiler, \
                 disk and memory",
            );
        }
        built.failed.is_empty().then_some(built.fresh)
    } else {
        say("builds: left out (--no-build)");
        None
    };

    let nix = if with_nix { nix(root).await } else { Nix::No("left out (--no-nix)") };
    if let Nix::No(why) = nix {
        say(format!("Nix: {why}"));
        // Who is in its shell needs it tomorrow, too.
        if with_nix && in_nix_shell() {
            problem("Nix's shell and stack", "nix's words are above. Use a better network");
        }
    }

    tell(workspace.as_ref(), cli.as_ref(), built, &nix);
    if problems.is_empty() {
        println!(
            "{}",
            if build {
                "All of it is here: cut the network, and go on."
            } else {
                "All of it is fetched. Building it needs no network: cargo workshop prefetch"
            }
        );
        return Ok(Exit::Done);
    }
    println!("What is missing:");
    for Problem { what, what_to_do } in &problems {
        println!("  {what}\n    what to do: {what_to_do}");
    }
    Ok(Exit::Environment)
}

/// What came of the builds.
#[derive(Default)]
struct Built {
    /// What cargo, asked again, found to be built already.
    fresh: usize,
    failed: Vec<String>,
}

async fn build_all(root: &Path) -> anyhow::Result<Built> {
    let mut built = Built::default();
    let mut asked: Vec<Vec<String>> = Vec::new();
    for step in Step::EXERCISES {
        say(format!("building exercise {}'s worker", step.number()));
        // What is half-written there is its writer's own matter; all below it is built.
        if exercise::build_worker(step).await?.is_some() {
            let feature = format!("exercise-{}", step.number());
            let flags = ["build", "--package", "exercises", "--bin", "worker", "--features"];
            asked.push(flags.map(str::to_owned).into_iter().chain([feature]).collect());
        } else {
            say(format!("{} does not compile yet, and need not today", codec(step).display()));
        }
    }
    for (what, flags) in BUILDS {
        say(format!("building {what}"));
        let all = flags.iter().copied().chain(QUIETLY).chain(PROFILE.iter().copied());
        if exercise::cargo(root, all).await?.is_some() {
            asked.push(flags.iter().map(|flag| (*flag).to_owned()).collect());
        } else {
            built.failed.push(what.to_owned());
        }
    }
    say("asking cargo for all of it again, without the network");
    for flags in asked {
        match fresh(root, &flags).await? {
            Ok(fresh) => built.fresh += fresh,
            Err(why) => {
                say(&why);
                built.failed.push(format!("cargo {}", flags.join(" ")));
            }
        }
    }
    Ok(built)
}

/// How many things cargo has built already for these flags: all of them, or it is not as it should be.
async fn fresh(root: &Path, flags: &[String]) -> anyhow::Result<Result<usize, String>> {
    let told = ["--message-format", "json-render-diagnostics"];
    let flags = flags.iter().map(String::as_str).chain(QUIETLY).chain(told);
    let Some(said) = exercise::cargo(root, flags.chain(PROFILE.iter().copied())).await? else {
        return Ok(Err("cargo failed: its words are above".to_owned()));
    };
    let (mut fresh, mut anew) = (0, Vec::new());
    for line in String::from_utf8_lossy(&said).lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        match message["fresh"].as_bool() {
            Some(true) => fresh += 1,
            Some(false) => anew.push(message["target"]["name"].as_str().unwrap_or("?").to_owned()),
            None => {}
        }
    }
    Ok(if anew.is_empty() {
        Ok(fresh)
    } else {
        Err(format!("cargo has built anew what was just built: {}", anew.join(", ")))
    })
}

/// What came of Nix.
enum Nix {
    /// Shell and stack are in its store.
    Here,
    /// They are not, and why. Cargo does without them.
    No(&'static str),
}

/// The shell; and the stack, whose program is compiled by Nix's cargo in seconds.
const NIX: [&[&str]; 2] =
    [&["develop", "--command", "true"], &["run", ".#stack", "--", "--version"]];
/// For whoever is in Nix's shell, where this was built by Nix's compiler: they would be compiled by it.
const NIX_IN_THE_SHELL: [&[&str]; 2] =
    [&["run", ".#worker", "--", "--version"], &["run", ".#starter", "--", "--version"]];

async fn nix(root: &Path) -> Nix {
    if programs::on_path("nix").is_none() {
        return Nix::No("it is not on PATH, and cargo does without it");
    }
    let in_the_shell: &[_] = if in_nix_shell() { &NIX_IN_THE_SHELL } else { &[] };
    // Fetched, then asked for without the network.
    for offline in [None, Some("--offline")] {
        for flags in NIX.iter().chain(in_the_shell) {
            let how = if offline.is_some() { ", without the network" } else { "" };
            say(format!("nix {}{how}", flags.join(" ")));
            let mut nix = Command::new("nix");
            nix.args(offline)
                .args(["--extra-experimental-features", "nix-command flakes"])
                .args(*flags)
                .current_dir(root)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            let Ok(nix) = ProcessGroup::start(&mut nix) else { return Nix::No("it can't be run") };
            if !nix.output().await.is_ok_and(|(status, _)| status.success()) {
                return Nix::No(
                    "shell and stack can't be had, its words are above; cargo does without them",
                );
            }
        }
    }
    Nix::Here
}

fn in_nix_shell() -> bool {
    env::var_os("IN_NIX_SHELL").is_some()
}

/// How much there is, on stdout.
fn tell(workspace: Option<&Workspace>, cli: Option<&TemporalCli>, built: Option<usize>, nix: &Nix) {
    if let Some(Workspace { crates, target }) = workspace {
        let root = env::current_dir().unwrap_or_default();
        let packed: u64 = crates
            .iter()
            .filter_map(|known| Some(fs::metadata(known.archive(&root).ok()?).ok()?.len()))
            .sum();
        let unpacked: u64 = crates.iter().map(|known| size(&known.unpacked)).sum();
        println!("crates        {}, {}; unpacked {}", crates.len(), human(packed), human(unpacked));
        if let Some(fresh) = built {
            println!(
                "built         {fresh} parts, found without the network; the target folder, with all \
                 that was ever built in it: {}",
                human(size(target))
            );
        }
    }
    if let Some(cli) = cli {
        let bytes = fs::metadata(&cli.path).map_or(0, |file| file.len());
        // A script that starts it is found on PATH, too.
        let size = if bytes > 1 << 20 { format!("{}, ", human(bytes)) } else { String::new() };
        let version = cli.version.trim_start_matches("temporal version ");
        println!("Temporal CLI  {size}{version}");
    }
    if matches!(nix, Nix::Here) {
        println!("Nix           the shell and the stack");
    }
}

/// The bytes of a folder's files. What has two names in it is counted once, as cargo's programs have.
pub fn size(folder: &Path) -> u64 {
    let (mut bytes, mut seen) = (0, HashSet::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                folders.push(entry.path());
            } else if found.nlink() == 1 || seen.insert((found.dev(), found.ino())) {
                bytes += found.len();
            }
        }
    }
    bytes
}

/// Bytes as one says them.
pub fn human(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_as_one_says_them() {
        for (bytes, said) in
            [(0, "0 kB"), (1, "1 kB"), (69_400_000, "69 MB"), (11_250_000_000, "11.2 GB")]
        {
            assert_eq!(human(bytes), said);
        }
    }

    #[test]
    fn a_file_with_two_names_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name);
        fs::create_dir(path("a")).unwrap();
        fs::write(path("a/one"), "123").unwrap();
        fs::hard_link(path("a/one"), path("two")).unwrap();
        fs::write(path("three"), "4567").unwrap();
        assert_eq!(size(folder.path()), 7);
    }
}
