//! `workshop prefetch`: all that a day without the network needs, and a proof that it is here.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `day` | fetches, builds, proves, tells how much |
//! | `crates` | the crates of `Cargo.lock`, and an index of them |
//! | `bundle` | all that other laptops need, in a folder |
//! | `install` | uses such a folder; `install.sh` does the same for a laptop with nothing built |
//! | `sums` | `SHA256SUMS`, and what is changed, missing or additional |

mod bundle;
mod crates;
mod day;
mod install;
mod sums;

use std::path::{self, Path, PathBuf};

use anyhow::Context;
use clap::Args;
use stack::root;
use tokio::task;

use crate::{
    exercise,
    exit::{Exit, Failure},
    interrupt::until_interrupted,
};

/// The flags of `workshop prefetch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop prefetch                          # the day before
  cargo workshop prefetch --bundle /media/stick    # for those without a network
  cargo workshop prefetch --from /media/stick      # on their laptop")]
pub struct PrefetchArgs {
    /// Write what other laptops need into this folder, on a USB stick say; build nothing
    #[arg(long, value_name = "DIR", conflicts_with = "from")]
    bundle: Option<PathBuf>,
    /// With the Temporal CLI for Linux and macOS on both kinds of processors, not only for this system
    #[arg(long, requires = "bundle")]
    all_systems: bool,
    /// Use such a folder: check every file, then install it; build nothing
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Fetch only: what is not built yet is built in the room, without the network
    #[arg(long, conflicts_with_all = ["bundle", "from"])]
    no_build: bool,
    /// Leave out Nix's shell and stack
    #[arg(long, conflicts_with_all = ["bundle", "from"])]
    no_nix: bool,
}

/// Fetches, or writes a bundle, or installs from one.
///
/// # Errors
/// When this is not the workshop's folder, or a bundle can't be written or used.
pub fn run(args: &PrefetchArgs) -> anyhow::Result<Exit> {
    // Named from where one is, and used from the workshop's folder.
    let absolute = |folder: &PathBuf| {
        path::absolute(folder).with_context(|| format!("{} is no folder", folder.display()))
    };
    let to = args.bundle.as_ref().map(absolute).transpose()?;
    let from = args.from.as_ref().map(absolute).transpose()?;
    let root = root::enter()?;
    let lost = "what was fetched stays, and a bundle that was not written to its end is none: run \
                it again to go on";
    until_interrupted(
        async {
            match (to, from) {
                (Some(folder), _) => write_bundle(root, folder, args.all_systems).await,
                (_, Some(folder)) => {
                    task::spawn_blocking(move || install::install(&root, &folder)).await??;
                    say("next: `cargo workshop prefetch`, which builds all, and needs no network");
                    Ok(Exit::Done)
                }
                (None, None) => day::prefetch(&root, !args.no_build, !args.no_nix).await,
            }
        },
        lost,
    )
}

async fn write_bundle(root: PathBuf, folder: PathBuf, all_systems: bool) -> anyhow::Result<Exit> {
    // Before anything is fetched for it.
    bundle::may_be_written(&folder)?;
    // There it would be taken for a part of the workshop, by git and by whoever copies the folder.
    if folder.starts_with(&root) {
        return Err(Failure::usage(format!(
            "{} is in the workshop's own folder: name one elsewhere, on a USB stick say",
            folder.display()
        ))
        .into());
    }
    say("crates: cargo fetch --locked");
    if !fetch(&root).await? {
        return Err(Failure::environment(
            "a bundle needs all crates, and cargo could not fetch them: its words are above",
        )
        .into());
    }
    let workspace = crates::ask(&root).await?;
    let clis = bundle::clis(&root, all_systems).await?;
    say(format!("writing to {}", folder.display()));
    let crates = workspace.crates.len();
    // Slow, and Ctrl-C must be heard meanwhile.
    let (written, held, bytes) = task::spawn_blocking(move || {
        let written = bundle::write(&root, &folder, &workspace, &clis)?;
        let held = sums::check(&folder).map_err(|faults| {
            Failure::environment(format!(
                "what was written to {} is not what is read there ({}): take another stick",
                folder.display(),
                faults.first().map_or_else(String::new, ToString::to_string)
            ))
        })?;
        anyhow::Ok((written, held, day::size(&folder)))
    })
    .await??;
    let systems: Vec<_> = held.keys().filter_map(|name| bundle::system(name)).collect();
    println!("{crates} crates; the Temporal CLI for {}", systems.join(", "));
    if written.repository {
        println!("the repository, for git clone");
    }
    println!("{} in {} files, read again and right", day::human(bytes), held.len());
    println!("sum of SHA256SUMS: {}", written.sum);
    println!(
        "On another laptop, in a clone: sh DIR/install.sh, or cargo workshop prefetch --from DIR"
    );
    Ok(Exit::Done)
}

/// The crates of `Cargo.lock`, fetched where they are not there. Whether cargo has them now.
async fn fetch(root: &Path) -> anyhow::Result<bool> {
    Ok(exercise::cargo(root, ["fetch", "--locked"]).await?.is_some())
}

/// One line on stderr.
fn say(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}
