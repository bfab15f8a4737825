//! `workshop server`: only Temporal's dev server, for machines without the rest of the stack.

use std::{os::unix::process::CommandExt, process::Command};

use anyhow::Context;
use clap::Args;
use cli_kit::{
    exit::{Exit, Failure},
    outln, root,
    settings::{self, Settings},
    term::print,
};
use stack::{
    ports,
    services::{Asker, Service},
};

use super::cli::TemporalCli;
use crate::process::until_interrupted;

/// The flags of `workshop server`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop server    # until Ctrl-C
  cargo workshop server --ui-codec-endpoint http://127.0.0.1:8081")]
pub struct DevServerArgs {
    /// Where the Web UI finds a codec server, which decrypts payloads for it
    #[arg(long, value_name = "URL")]
    ui_codec_endpoint: Option<String>,
}

/// Finds or installs the Temporal CLI, and becomes its dev server: in memory, at the stack's ports.
///
/// # Errors
/// When a port is taken, or there is no CLI and it can't be installed.
pub fn run(args: &DevServerArgs) -> anyhow::Result<Exit> {
    let root = root::require()?;
    let settings = Settings::from_env()?;
    if let Some(address) = Asker::default().running_server(&settings) {
        outln!("A Temporal server is already running at {address}. Use it, or stop it first.");
        return Ok(Exit::Done);
    }
    let ports = Service::Temporal.ports();
    let taken: Vec<_> = ports.iter().filter_map(|name| ports::unfit(name, &settings)).collect();
    if !taken.is_empty() {
        return Err(Failure::environments("no server can be started", &taken).into());
    }
    let work = async {
        let cli = TemporalCli::find_or_install(&root.join(root::OURS)).await?;
        // The server prints its own addresses.
        print("Temporal dev server (in memory). Press Ctrl-C to stop.\n\n");
        let error = Command::new(&cli.path)
            .args(["server", "start-dev", "--log-level", "error", "--ip", "127.0.0.1"])
            .args(["--port", settings.get(settings::TEMPORAL_PORT)])
            .args(["--http-port", settings.get(settings::TEMPORAL_HTTP_PORT)])
            .args(["--ui-port", settings.get(settings::TEMPORAL_UI_PORT)])
            .args(["--metrics-port", settings.get(settings::TEMPORAL_METRICS_PORT)])
            // No requests to other machines.
            .args(["--dynamic-config-value", "frontend.enableServerVersionCheck=false"])
            .args(args.ui_codec_endpoint.iter().flat_map(|url| ["--ui-codec-endpoint", url]))
            .exec();
        Err(error).with_context(|| format!("{} can't be started", cli.path.display()))
    };
    until_interrupted(work, "no server was started")
}
