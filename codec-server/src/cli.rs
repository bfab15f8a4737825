//! The flags, what they may not be together, and the program's run.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser, builder::NonEmptyStringValueParser};
use cli_kit::{
    exit::{self, Exit, Failure},
    host,
    logging::LogArgs,
    outln,
    settings::{Settings, TEMPORAL_UI_PORT},
};
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::{
    auth::{
        Auth,
        jwks::Place,
        jwt::{Expected, Jwts, REFRESH},
        tokens::Tokens,
    },
    cors::{Origin, Origins},
    keys::Keys,
    limits::Limits,
    metrics::Metrics,
    reload::{Watched, watch},
    router::{CodecServer, HEALTH, METRICS},
    serve::{Connections, serve},
    tls::Tls,
};

/// A day, in seconds.
const LONGEST: u64 = 86_400;

/// Let Temporal's Web UI, CLI and SDKs read the payloads that a worker encrypts.
#[derive(Debug, Parser)]
#[command(
    name = "codec-server",
    version,
    after_help = "Keys: CODEC_KEYS or CODEC_KEY_FILE, and CODEC_ACTIVE_KEY, as for the worker.
Without them, the public test key of Temporal's samples.

Examples:
  codec-server
  temporal server start-dev --ui-codec-endpoint http://127.0.0.1:8081
  temporal workflow show -w ID --codec-endpoint http://127.0.0.1:8081
  codec-server --address 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem \\
    --tokens tokens.txt --origin https://temporal.example.com

Exit codes: 0 stopped, 2 wrong usage, 3 address taken or key set not available,
130 stopped at once"
)]
pub struct Cli {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8081", value_parser = host::address)]
    address: SocketAddr,
    /// Origin of web pages that may use this server (repeatable). On loopback, the
    /// local Web UI may, too
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<Origin>,
    /// Let web pages send cookies, which a proxy may ask for
    #[arg(long)]
    allow_credentials: bool,
    /// How long a key may be used after the key service returned it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = seconds())]
    key_lifetime_seconds: u64,
    /// How often to look whether files of keys, tokens and certificates changed
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = seconds())]
    reload_seconds: u64,
    /// The most connections at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 512,
        value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_connections: u32,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Who may decode and encode")]
struct AuthArgs {
    /// File of bearer tokens, one a line, and what each may do:
    /// TOKEN [NAMESPACE:read|NAMESPACE:write ...]
    #[arg(long, value_name = "FILE", conflicts_with = "jwks")]
    tokens: Option<PathBuf>,
    /// Accept JWTs signed by a key of this JSON Web Key Set
    #[arg(long, value_name = "FILE|URL", requires = "jwt_issuer", requires = "jwt_audience")]
    jwks: Option<String>,
    /// Certificates to trust for the key set's address, instead of the public ones
    #[arg(long, value_name = "FILE", requires = "jwks")]
    jwks_ca: Option<PathBuf>,
    /// Issuer of the JWTs, claim iss
    #[arg(long, value_name = "ISSUER", requires = "jwks", value_parser = NonEmptyStringValueParser::new())]
    jwt_issuer: Option<String>,
    /// Audience of the JWTs, claim aud
    #[arg(long, value_name = "AUDIENCE", requires = "jwks", value_parser = NonEmptyStringValueParser::new())]
    jwt_audience: Option<String>,
    /// Claim with a list of NAMESPACE:read and NAMESPACE:write
    #[arg(long, value_name = "CLAIM", default_value = "permissions", requires = "jwks")]
    jwt_permissions_claim: String,
    /// Claim that names the holder, in grants and in the log
    #[arg(long, value_name = "CLAIM", default_value = "sub", requires = "jwks")]
    jwt_identity_claim: String,
    /// File of further rights, one holder a line: NAME NAMESPACE:read ...
    #[arg(long, value_name = "FILE", requires = "jwks")]
    jwt_grants: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
struct TlsArgs {
    /// Certificate chain, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A proxy in front of this server does TLS
    #[arg(long, conflicts_with = "tls_cert")]
    behind_tls_proxy: bool,
}

fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=LONGEST)
}

/// Runs the program with these arguments; the first is its name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    exit::end(Cli::parse_from(args).run())
}

/// All that the flags and files say, read and checked.
struct Ready {
    keys: Keys,
    auth: Auth,
    origins: Origins,
    tls: Option<Tls>,
}

impl Cli {
    /// Serves until a signal stops it.
    ///
    /// # Errors
    /// When the usage is wrong, or something that it needs is not available.
    pub fn run(&self) -> anyhow::Result<Exit> {
        self.log.init("info")?;
        let ready = self.prepare()?;
        self.report(&ready);
        let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.serve(ready));
        // A key set that is being fetched must not delay the exit.
        runtime.shutdown_background();
        result.map(|()| Exit::Done)
    }

    /// Whether others than this machine's users can connect, directly or through a proxy.
    fn is_public(&self) -> bool {
        !self.is_loopback() || self.tls.behind_tls_proxy
    }

    fn is_loopback(&self) -> bool {
        self.address.ip().to_canonical().is_loopback()
    }

    fn prepare(&self) -> anyhow::Result<Ready> {
        self.check()?;
        let keys = Keys::from_env(!self.is_public()).map_err(Failure::usage)?;
        let mut allowed = self.origin.clone();
        if !self.is_public() {
            allowed.extend(Origins::local_ui(Settings::from_env()?.port(TEMPORAL_UI_PORT)));
        }
        Ok(Ready {
            keys,
            auth: self.auth.read()?,
            origins: Origins::new(allowed).with_credentials(self.allow_credentials),
            tls: self.tls.read()?,
        })
    }

    /// What can be wrong without a look at any file.
    fn check(&self) -> Result<(), Failure> {
        if !self.is_public() {
            return Ok(());
        }
        if self.auth.tokens.is_none() && self.auth.jwks.is_none() {
            let (how, or) = match self.is_loopback() {
                true => ("through the proxy", "leave out --behind-tls-proxy if no proxy is there"),
                false => ("from other machines", "listen on 127.0.0.1"),
            };
            return Err(Failure::usage(format!(
                "{} can be reached {how}, and anyone who reaches it could decrypt payloads: add --tokens or \
                 --jwks, or {or}",
                self.address
            )));
        }
        if self.tls.tls_cert.is_none() && !self.tls.behind_tls_proxy {
            return Err(Failure::usage(format!(
                "{} can be reached from other machines, and decrypted payloads would cross the network \
                 in plain text: add --tls-cert and --tls-key, or --behind-tls-proxy if a proxy does TLS",
                self.address
            )));
        }
        Ok(())
    }

    fn report(&self, Ready { keys, auth, origins, tls }: &Ready) {
        let origins: Vec<_> = origins.iter().map(ToString::to_string).collect();
        let auth = match auth {
            Auth::Open => "none".to_owned(),
            Auth::Tokens(tokens) => format!("{} tokens", tokens.count()),
            Auth::Jwts(_) => "JWTs".to_owned(),
        };
        tracing::info!(%keys, auth, tls = tls.is_some(), origins = origins.join(" "), "codec server");
        if keys.are_public() {
            tracing::warn!(
                "the key is the Temporal samples' public test key: anyone can decrypt the payloads"
            );
        }
        if auth == "none" {
            tracing::warn!("no authentication: every program on this machine can decrypt payloads");
        }
        if self.tls.behind_tls_proxy {
            tracing::warn!(
                "--behind-tls-proxy: this server itself speaks plain HTTP. Let nothing but the proxy \
                 reach {}",
                self.address
            );
        }
    }

    async fn serve(&self, Ready { keys, auth, origins, tls }: Ready) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.address).await.map_err(|error| {
            let address = self.address;
            Failure::environment(format!(
                "can't listen on {address} ({error}): choose another --address"
            ))
        })?;
        let address = listener.local_addr()?;
        let registry = prometheus::default_registry();
        let metrics = Metrics::new(registry)?;
        self.spawn_reloads(&keys, &auth, tls.as_ref(), &metrics);
        let codec = keys.codec(Duration::from_secs(self.key_lifetime_seconds));
        let router = CodecServer::new(codec)
            .auth(auth)
            .origins(origins)
            .limits(Limits::default())
            .metrics(metrics.clone())
            .router();
        let most = self.max_connections as usize;
        let limits = Connections { most, ..Connections::default() };
        let stop = stop_signal()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        outln!("codec server on {scheme}://{address} (probe {HEALTH}, metrics {METRICS})");
        serve(listener, router, tls, limits, metrics, async { stop.await.unwrap_or_default() })
            .await;
        tracing::info!("stopped");
        Ok(())
    }

    fn spawn_reloads(&self, keys: &Keys, auth: &Auth, tls: Option<&Tls>, metrics: &Metrics) {
        let mut all = Vec::new();
        if let Some(file) =
            std::env::var_os(codec_kit::KEY_FILE_VARIABLE).filter(|file| !file.is_empty())
        {
            let keys = keys.clone();
            all.push(Watched::new("data keys", &[Path::new(&file)], move || keys.read_again()));
        }
        if let (Auth::Tokens(tokens), Some(file)) = (auth, self.auth.tokens.clone()) {
            let tokens = tokens.clone();
            all.push(Watched::new("tokens", &[&file.clone()], move || {
                tokens.read_again(&file).map(|count| format!("{count} tokens"))
            }));
        }
        if let Auth::Jwts(jwts) = auth {
            all.extend(self.auth.watched(jwts));
            if !jwts.are_local() {
                tokio::spawn(refresh(jwts.clone()));
            }
        }
        if let Some(tls) = tls {
            let tls_again = tls.clone();
            all.push(Watched::new("TLS certificates", &tls.files(), move || {
                tls_again.read_again().map(|()| "for new connections".to_owned())
            }));
        }
        if !all.is_empty() {
            let every = Duration::from_secs(self.reload_seconds);
            tokio::spawn(watch(all, every, metrics.clone()));
        }
    }
}

impl AuthArgs {
    fn read(&self) -> anyhow::Result<Auth> {
        if let Some(file) = &self.tokens {
            return Ok(Auth::Tokens(Tokens::read(file).map_err(Failure::usage)?));
        }
        let (Some(jwks), Some(issuer), Some(audience)) =
            (&self.jwks, &self.jwt_issuer, &self.jwt_audience)
        else {
            return Ok(Auth::Open);
        };
        let expected = Expected {
            issuer: issuer.clone(),
            audience: audience.clone(),
            permissions_claim: self.jwt_permissions_claim.clone(),
            identity_claim: self.jwt_identity_claim.clone(),
        };
        let place = Place::new(jwks, self.jwks_ca.as_deref()).map_err(Failure::usage)?;
        let jwts = Jwts::new(expected, place).map_err(Failure::environment)?;
        if let Some(file) = &self.jwt_grants {
            jwts.read_grants(file).map_err(Failure::usage)?;
        }
        Ok(Auth::Jwts(jwts))
    }

    fn watched(&self, jwts: &Jwts) -> Vec<Watched> {
        let mut all = Vec::new();
        if let Some(file) = self.jwt_grants.clone() {
            let jwts = jwts.clone();
            all.push(Watched::new("grants", &[&file.clone()], move || {
                jwts.read_grants(&file).map(|count| format!("{count} names"))
            }));
        }
        if let Some(file) = self.jwks.as_deref().filter(|_| jwts.are_local()) {
            let jwts = jwts.clone();
            all.push(Watched::new("key set", &[Path::new(file)], move || {
                jwts.read_keys().map(|count| format!("{count} keys"))
            }));
        }
        all
    }
}

impl TlsArgs {
    fn read(&self) -> anyhow::Result<Option<Tls>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        Ok(Some(Tls::read(certificate, key).map_err(Failure::usage)?))
    }
}

/// Fetches the key set from time to time, so that keys that were withdrawn stop being accepted.
async fn refresh(jwts: Jwts) {
    let mut times = interval(REFRESH);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is now, and the keys are new.
    times.tick().await;
    loop {
        times.tick().await;
        let jwts = jwts.clone();
        match spawn_blocking(move || jwts.read_keys()).await {
            Ok(Ok(keys)) => tracing::debug!(keys, "the key set was fetched"),
            Ok(Err(error)) => tracing::warn!(%error, "the key set stays as it was"),
            Err(error) => tracing::error!(%error, "the key set could not be fetched"),
        }
    }
}

/// Ready at the first SIGINT or SIGTERM. A second one ends the process at once.
fn stop_signal() -> anyhow::Result<oneshot::Receiver<()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be handled")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be handled")?;
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(async move {
        let mut stop = Some(stop);
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            match stop.take() {
                Some(stop) => drop(stop.send(())),
                None => {
                    tracing::warn!("stopped at once; requests under way are cancelled");
                    process::exit(Exit::Interrupted as i32);
                }
            }
        }
    });
    Ok(stopped)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(flags: &[&str]) -> Cli {
        Cli::try_parse_from(["codec-server"].iter().chain(flags)).unwrap()
    }

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_is_at_most_80_columns_wide() {
        let help = Cli::command().term_width(80).render_long_help().to_string();
        let wide: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty(), "{wide:#?}");
    }

    #[test]
    fn beyond_loopback_there_must_be_authentication_and_tls() {
        let error = |flags: &[&str]| parse(flags).check().err().map(|error| error.to_string());
        for loopback in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(error(&["--address", loopback]), None, "{loopback}");
        }
        for public in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
            let with = |more: &[&str]| error(&[&["--address", public], more].concat());
            assert!(with(&[]).unwrap().contains("--tokens or --jwks"), "{public}");
            assert!(with(&["--behind-tls-proxy"]).unwrap().contains("--tokens or --jwks"));
            assert!(with(&["--tokens", "x"]).unwrap().contains("--behind-tls-proxy"), "{public}");
            assert_eq!(with(&["--tokens", "x", "--behind-tls-proxy"]), None);
            assert_eq!(with(&["--tokens", "x", "--tls-cert", "c", "--tls-key", "k"]), None);
        }
        // A proxy on this machine brings others here.
        let proxied = error(&["--behind-tls-proxy"]).unwrap();
        assert!(proxied.contains("--tokens or --jwks"), "{proxied}");
        assert!(proxied.contains("through the proxy"), "{proxied}");
        assert!(!proxied.contains("listen on 127.0.0.1"), "it does: {proxied}");
    }

    #[test]
    fn flags_that_need_each_other_are_asked_for() {
        for flags in [
            &["--jwks", "x"][..],
            &["--jwks", "x", "--jwt-issuer", "x"],
            &["--jwks", "x", "--jwt-audience", "x"],
            &["--jwks", "x", "--jwt-issuer", "", "--jwt-audience", "x"],
            &["--jwks", "x", "--jwt-issuer", "x", "--jwt-audience", ""],
            &["--jwt-issuer", "x"],
            &["--jwt-grants", "x"],
            &["--jwks-ca", "x"],
            &["--tls-cert", "x"],
            &["--tls-key", "x"],
            &["--tls-cert", "x", "--tls-key", "x", "--behind-tls-proxy"],
            &["--jwks", "x", "--jwt-issuer", "x", "--jwt-audience", "x", "--tokens", "x"],
            &["--origin", "*"],
            &["--origin", "https://example.com/path"],
            &["--max-connections", "0"],
            &["--reload-seconds", "0"],
            &["--address", "localhost:1"],
        ] {
            let error = Cli::try_parse_from(["codec-server"].iter().chain(flags)).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{flags:?}");
        }
    }
}
