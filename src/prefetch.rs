//! `workshop prefetch`: downloads everything that offline work needs, and checks that it is complete.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `fetch` | fetches and builds everything, then builds it again without the network |
//! | `bundle` | writes what other laptops need into a folder |
//!
//! `install.sh` installs from such a folder. It is part of the bundle, for laptops with nothing built yet.
//! `--from` runs it, too.

mod bundle;
mod fetch;

use std::{
    path::{self, Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use clap::Args;
use cli_kit::{exit::Exit, root};
use tokio::process::Command;

use crate::process::{ProcessGroup, until_interrupted};

/// The flags of `workshop prefetch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop prefetch                          # the day before
  cargo workshop prefetch --bundle /media/stick    # for those without a network
  cargo workshop prefetch --from /media/stick      # on their laptop")]
pub struct PrefetchArgs {
    /// Write what other laptops need to this folder, such as a USB stick; build nothing
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    bundle: Option<PathBuf>,
    /// Add the Temporal CLI for Linux and macOS on x86_64 and aarch64, not only for this system
    #[arg(long, requires = "bundle")]
    all_systems: bool,
    /// Check a bundle in this folder, and install from it; build nothing
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Download only, and build later, with or without a network
    #[arg(long, conflicts_with_all = ["bundle", "from"])]
    no_build: bool,
    /// Skip Nix's shell and stack
    #[arg(long, conflicts_with_all = ["bundle", "from"])]
    no_nix: bool,
}

/// Fetches, or writes a bundle, or installs from one.
///
/// # Errors
/// When this is not the workshop's folder, or a bundle can't be written.
pub fn run(args: &PrefetchArgs) -> anyhow::Result<Exit> {
    // Relative to the current folder, which `root::enter` changes.
    let absolute = |folder: &PathBuf| {
        path::absolute(folder).with_context(|| format!("{} is not a folder", folder.display()))
    };
    let to = args.bundle.as_ref().map(absolute).transpose()?;
    let from = args.from.as_ref().map(absolute).transpose()?;
    let root = root::require()?;
    let lost = "what was downloaded is kept: run it again to finish";
    until_interrupted(
        async {
            match (to, from) {
                (Some(folder), _) => bundle::write(&root, &folder, args.all_systems).await,
                (_, Some(folder)) => install(&root, &folder).await,
                (None, None) => fetch::prefetch(&root, !args.no_build, !args.no_nix).await,
            }
        },
        lost,
    )
}

/// Runs `install.sh`, which prints what is wrong. The script is this program's, not the bundle's: the
/// bundle's checksum covers only its archive.
async fn install(root: &Path, bundle: &Path) -> anyhow::Result<Exit> {
    let mut script = Command::new("sh");
    script.args(["-c", bundle::INSTALL, "install.sh"]).args([root, bundle]).stdin(Stdio::null());
    let script = ProcessGroup::start(&mut script).context("sh can't be run")?;
    let (status, _) = script.output().await?;
    Ok(match status.code() {
        Some(0) => Exit::Done,
        Some(2) => Exit::Usage,
        _ => Exit::Environment,
    })
}
