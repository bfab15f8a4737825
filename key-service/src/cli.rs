//! The flags, and what runs for them.

use std::{env, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::{Args, Parser};
use cli_kit::{
    errln,
    exit::{Exit, Failure},
    host, outln,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use sigv4::{Credentials, SECRET_NEEDED};

use crate::{Faults, Keys, Options, Server, Stall, StartError};

/// A key service that speaks the protocol of AWS KMS, on this machine only.
#[derive(Debug, Parser)]
#[command(
    name = "key-service",
    version,
    max_term_width = 80,
    after_help = "Examples:
  export AWS_ACCESS_KEY_ID=workshop AWS_SECRET_ACCESS_KEY=not-a-secret
  key-service --stall Decrypt:encrypt=0.1@400ms
  curl -X PUT http://127.0.0.1:8091/faults -d '{\"refuse\": true}'
  curl -X PUT http://127.0.0.1:8091/faults -d '{}'

It accepts the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

Exit codes: 0 stopped by a signal, 2 wrong usage, 3 it cannot listen"
)]
pub struct Cli {
    /// Where to listen: a loopback address; port 0 is any free port
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8090", value_parser = host::address)]
    address: SocketAddr,
    /// Where to serve /faults, /metrics and /health: a loopback address
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8091", value_parser = host::address)]
    admin_address: SocketAddr,
    /// Region that requests must be signed for
    /// [default: AWS_REGION or AWS_DEFAULT_REGION, or else us-east-1]
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Keys, one alias=base64 a line; made and kept there if there is no such file
    /// [default: a key that is gone when the service stops]
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    #[command(flatten)]
    faults: FaultArgs,
}

/// The faults at the start.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Faults, which can be changed at /faults")]
pub struct FaultArgs {
    /// Calls that take longer, such as Decrypt:encrypt=0.1@400ms (repeatable)
    #[arg(long = "stall", value_name = "[CALLS=]SHARE@TIME")]
    stalls: Vec<Stall>,
    /// Share of calls that fail, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    failure_rate: f64,
    /// Calls a second that are answered; the others are throttled
    #[arg(long, value_name = "CALLS")]
    throttle: Option<u32>,
    /// Share of calls whose answer is cut by a reset, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    reset_rate: f64,
    /// Share of calls that are never answered, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    hang_rate: f64,
    /// Refuse connections
    #[arg(long)]
    refuse: bool,
    /// Seed of the faults; the same seed deals the same faults
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

impl From<&FaultArgs> for Faults {
    fn from(args: &FaultArgs) -> Self {
        Self {
            seed: args.seed,
            stalls: args.stalls.clone(),
            failure_rate: args.failure_rate,
            throttle_per_second: args.throttle,
            reset_rate: args.reset_rate,
            hang_rate: args.hang_rate,
            refuse: args.refuse,
        }
    }
}

impl Cli {
    /// Serves until a signal comes.
    ///
    /// # Errors
    /// When the usage is wrong, or it cannot listen.
    pub fn run(&self) -> anyhow::Result<Exit> {
        let keys = self.keys.as_deref().map(Keys::from_file).transpose().map_err(Failure::usage)?;
        let options = Options {
            address: self.address,
            admin_address: self.admin_address,
            credentials: vec![credentials()?],
            keys,
            region: self.region.clone().unwrap_or_else(region),
            faults: Faults::from(&self.faults),
        };
        // Caught before the ports are open, so that no signal is missed.
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals can't be caught")?;
        let server = Server::start(options).map_err(|error| match error {
            StartError::Listen { .. } | StartError::Thread(_) | StartError::Metrics(_) => {
                Failure::environment(error)
            }
            _ => Failure::usage(error),
        })?;
        // What a program that starts this one reads: the ports may have been any free ones.
        outln!("endpoint: {}", server.endpoint());
        outln!("admin: http://{}", server.admin_address());
        errln!("Press Ctrl-C to stop.");

        let _ = signals.forever().next();
        server.stop();
        Ok(Exit::Done)
    }
}

/// A variable, unless it is empty.
fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The region that a client in the same shell signs for.
fn region() -> String {
    set("AWS_REGION")
        .or_else(|| set("AWS_DEFAULT_REGION"))
        .unwrap_or_else(|| Options::REGION.to_owned())
}

fn credentials() -> anyhow::Result<Credentials> {
    let (Some(id), Some(secret)) = (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) else {
        return Err(Failure::usage(
            "which credentials are accepted? Set them, and the same for the clients: \
             export AWS_ACCESS_KEY_ID=workshop AWS_SECRET_ACCESS_KEY=not-a-secret",
        )
        .into());
    };
    let wrong = || {
        Failure::usage(format!(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY can't be used: {SECRET_NEEDED}"
        ))
    };
    let credentials = Credentials::new(id, secret).ok_or_else(wrong)?;
    Ok(match set("AWS_SESSION_TOKEN") {
        Some(token) => credentials.with_token(token).ok_or_else(wrong)?,
        None => credentials,
    })
}
