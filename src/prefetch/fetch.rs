//! Downloads and builds everything that offline work needs, builds it again without the network, and reports
//! what is ready.

use std::{env, iter, path::Path, process::Stdio};

use anyhow::Context;
use cargo_metadata::Message;
use cli_kit::{
    exit::Exit,
    outln, root,
    term::{note, wrap},
};
use solutions::Step;
use stack::programs;
use tokio::process::Command;

use crate::{
    course::{self, PROFILE},
    process::ProcessGroup,
    temporal::TemporalCli,
};

/// What is built, as arguments of cargo, besides the exercises' workers. In this order, the workshop's own
/// program is the last one in its place.
const BUILDS: [(&str, &[&str]); 4] = [
    ("the tests", &["test", "--workspace", "--no-run"]),
    ("worker and starter", &["build", "--bin", "worker", "--bin", "starter"]),
    ("the stack's own services", &["build", "--bin", "codec-server", "--bin", "key-service"]),
    ("the workshop's program", &["build", "--package", "workshop", "--bin", "workshop"]),
];

/// The crates were fetched before.
const OFFLINE: [&str; 3] = ["--quiet", "--locked", "--offline"];

/// What is missing, and what to do about it.
struct Problem {
    what: String,
    what_to_do: &'static str,
}

/// Fetches everything, and builds it if `build` is set. Lists what is missing in the end, and what to do.
///
/// # Errors
/// When cargo can't be run.
pub async fn prefetch(root: &Path, build: bool, with_nix: bool) -> anyhow::Result<Exit> {
    let mut problems = Vec::new();
    let mut problem = |what: &str, what_to_do| {
        note(format!("{what}: MISSING"));
        problems.push(Problem { what: what.to_owned(), what_to_do });
    };

    note("crates: cargo fetch --locked");
    let crates = course::cargo(root, ["fetch", "--locked"]).await?.is_some();
    if !crates {
        problem(
            "crates",
            "see cargo's messages above. Use a better network, or a bundle: sh DIR/install.sh",
        );
    }

    let cli = match TemporalCli::find_or_install(&root.join(root::OURS)).await {
        Ok(cli) => {
            note(format!("Temporal CLI: {} ({})", cli.version, cli.path.display()));
            Some(cli)
        }
        Err(error) => {
            note(wrap(&format!("{error:#}"), 0));
            problem(
                "Temporal CLI",
                "install it (https://docs.temporal.io/cli), or copy the program `temporal` to \
                 .workshop/bin/temporal",
            );
            None
        }
    };

    // Without all crates, each build would try to download them.
    let built = if !crates {
        problem("what is built from the crates", "get the crates, then run this again");
        None
    } else if build {
        let built = build_all(root).await?;
        for what in &built.failed {
            problem(
                what,
                "see the compiler's messages above; `cargo workshop doctor` checks compiler, disk \
                 and memory",
            );
        }
        built.failed.is_empty().then_some(built.fresh)
    } else {
        note("builds: left out (--no-build)");
        None
    };

    let nix = if with_nix { nix(root).await } else { Nix::LeftOut("left out (--no-nix)") };
    match nix {
        Nix::Here => {}
        Nix::LeftOut(why) => note(format!("Nix: {why}")),
        Nix::Missing(why) => {
            note(format!("Nix: {why}"));
            problem(
                "Nix's shell and stack",
                "see Nix's messages above. Use a better network, or leave them out with --no-nix: cargo \
                 works without Nix",
            );
        }
    }

    report(crates, cli.as_ref(), built, &nix);
    if problems.is_empty() {
        outln!(
            "{}",
            if build {
                "Everything is ready: you need no network from now on."
            } else {
                "Everything is fetched. To build it, with or without a network: cargo workshop prefetch"
            }
        );
        return Ok(Exit::Done);
    }
    outln!("What is missing:");
    for Problem { what, what_to_do } in &problems {
        outln!("  {what}\n{}", wrap(&format!("        fix: {what_to_do}"), 4));
    }
    Ok(Exit::Environment)
}

/// The result of the builds.
#[derive(Default)]
struct Built {
    /// How many parts cargo found built when it was run again.
    fresh: usize,
    failed: Vec<String>,
}

async fn build_all(root: &Path) -> anyhow::Result<Built> {
    let mut built = Built::default();
    let mut succeeded: Vec<Vec<String>> = Vec::new();
    for step in Step::EXERCISES {
        note(format!("building exercise {}'s worker", step.number()));
        // An attendee's codec may be half-written, which is no failure: all its dependencies are built.
        match course::build_worker(step).await {
            Ok(Some(_)) => {
                let target = course::worker_target(step);
                succeeded.push(iter::once("build".to_owned()).chain(target).collect());
            }
            Ok(None) => {
                let codec = course::codec(step);
                note(format!("{} does not compile yet. That is no problem now", codec.display()));
            }
            Err(error) => {
                note(wrap(&format!("{error:#}"), 0));
                built.failed.push(format!("exercise {}'s worker", step.number()));
            }
        }
    }
    for (what, flags) in BUILDS {
        note(format!("building {what}"));
        let all = flags.iter().copied().chain(OFFLINE).chain(PROFILE.iter().copied());
        if course::cargo(root, all).await?.is_some() {
            succeeded.push(flags.iter().map(|flag| (*flag).to_owned()).collect());
        } else {
            built.failed.push(what.to_owned());
        }
    }
    note("building everything again, without the network");
    for flags in succeeded {
        match fresh(root, &flags).await? {
            Ok(fresh) => built.fresh += fresh,
            Err(why) => {
                note(wrap(&why, 0));
                built.failed.push(format!("cargo {}", flags.join(" ")));
            }
        }
    }
    Ok(built)
}

/// How many parts cargo finds built for these flags. If it builds any of them again, the builds are not
/// complete.
async fn fresh(root: &Path, flags: &[String]) -> anyhow::Result<Result<usize, String>> {
    let format = ["--message-format", "json-render-diagnostics"];
    let flags = flags.iter().map(String::as_str).chain(OFFLINE).chain(format);
    match course::cargo(root, flags.chain(PROFILE.iter().copied())).await? {
        Some(printed) => fresh_artifacts(&printed),
        None => Ok(Err("cargo failed: see its messages above".to_owned())),
    }
}

fn fresh_artifacts(printed: &[u8]) -> anyhow::Result<Result<usize, String>> {
    let (mut fresh, mut rebuilt) = (0, Vec::new());
    for message in Message::parse_stream(printed) {
        match message.context("can't read what cargo prints")? {
            Message::CompilerArtifact(artifact) if artifact.fresh => fresh += 1,
            Message::CompilerArtifact(artifact) => rebuilt.push(artifact.target.name),
            _ => {}
        }
    }
    Ok(if rebuilt.is_empty() {
        Ok(fresh)
    } else {
        Err(format!(
            "cargo built these again right after it had built them: {}",
            rebuilt.join(", ")
        ))
    })
}

/// The result for Nix.
enum Nix {
    /// Shell and stack are in its store.
    Here,
    /// They are not asked for, and why.
    LeftOut(&'static str),
    /// They could not be fetched, and why.
    Missing(&'static str),
}

/// The shell; and the stack, whose program is compiled by Nix's cargo in seconds.
const NIX: [&[&str]; 2] =
    [&["develop", "--command", "true"], &["run", ".#stack", "--", "--version"]];
/// In Nix's shell, Nix's compiler built this program, and builds these, too.
const NIX_IN_THE_SHELL: [&[&str]; 2] =
    [&["run", ".#worker", "--", "--version"], &["run", ".#starter", "--", "--version"]];

async fn nix(root: &Path) -> Nix {
    if programs::on_path("nix", root).is_none() {
        // People who work in Nix's shell need it offline, too.
        return match in_nix_shell() {
            true => Nix::Missing("it is not on PATH"),
            false => Nix::LeftOut("it is not on PATH; cargo works without it"),
        };
    }
    let in_the_shell: &[_] = if in_nix_shell() { &NIX_IN_THE_SHELL } else { &[] };
    // First with the network, then without.
    for offline in [None, Some("--offline")] {
        for flags in NIX.iter().chain(in_the_shell) {
            let how = if offline.is_some() { ", without the network" } else { "" };
            note(format!("nix {}{how}", flags.join(" ")));
            let mut nix = Command::new("nix");
            nix.args(offline)
                .args(["--extra-experimental-features", "nix-command flakes"])
                .args(*flags)
                .current_dir(root)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            let Ok(nix) = ProcessGroup::start(&mut nix) else {
                return Nix::Missing("it can't be run");
            };
            if !nix.output().await.is_ok_and(|(status, _)| status.success()) {
                return Nix::Missing(
                    "could not fetch the shell and the stack (see its output above)",
                );
            }
        }
    }
    Nix::Here
}

fn in_nix_shell() -> bool {
    env::var_os("IN_NIX_SHELL").is_some()
}

/// Prints what is ready, on stdout.
fn report(crates: bool, cli: Option<&TemporalCli>, built: Option<usize>, nix: &Nix) {
    if crates {
        outln!("crates        all of Cargo.lock");
    }
    if let Some(fresh) = built {
        outln!("built         {fresh} parts, found without the network");
    }
    if let Some(cli) = cli {
        let version = cli.version.trim_start_matches("temporal version ");
        outln!("Temporal CLI  {version}");
    }
    if matches!(nix, Nix::Here) {
        outln!("Nix           the shell and the stack");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_built_and_what_was_found_are_told_apart() {
        let artifact = |name: &str, fresh: bool| {
            let target = json!({
                "name": name, "kind": ["lib"], "crate_types": ["lib"], "src_path": "/lib.rs",
                "edition": "2024", "doc": true, "doctest": true, "test": true,
            });
            let profile = json!({
                "opt_level": "0", "debuginfo": 0, "debug_assertions": true,
                "overflow_checks": true, "test": false,
            });
            let artifact = json!({
                "reason": "compiler-artifact", "package_id": format!("path+file:///{name}#0.1.0"),
                "manifest_path": "/Cargo.toml", "target": target, "profile": profile,
                "features": [], "filenames": [], "executable": null, "fresh": fresh,
            });
            format!("{artifact}\n")
        };
        let end = "{\"reason\":\"build-finished\",\"success\":true}\n";
        let printed = artifact("one", true) + &artifact("two", true) + end;
        assert_eq!(fresh_artifacts(printed.as_bytes()).unwrap().unwrap(), 2);
        let printed = artifact("one", true) + &artifact("two", false) + end;
        let rebuilt = fresh_artifacts(printed.as_bytes()).unwrap().unwrap_err();
        assert!(rebuilt.ends_with(": two"), "{rebuilt}");
    }
}
