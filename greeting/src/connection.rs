//! Which server, which namespace, which keys.
//!
//! A flag wins over a `TEMPORAL_*` variable, which wins over the profile in `temporal.toml`; the
//! latter two are read by the SDK's own loader, TLS and API key included. Where none of them names an
//! address, it is that of the stack.

use std::{error::Error, net::IpAddr, time::Duration};

use anyhow::Context;
use cli_kit::{
    exit::Failure,
    settings::{self, Settings},
};
use codec_kit::{
    ACTIVE_KEY_VARIABLE, AnyCodec, AnyKeyring, EncodedFailures, KEY_FILE_VARIABLE, KEYS_VARIABLE,
    KeyService, Keyring,
};
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions,
    envconfig::{ClientConfigProfile, LoadClientConfigProfileOptions},
    errors::ClientConnectError,
    tonic::Code,
};
use temporalio_common::{
    data_converters::{DataConverter, PayloadConverter},
    envconfig::load_client_config_profile,
    telemetry::metrics::TemporalMeter,
};
use url::{Host, Url};

use crate::keys;

/// Longer than a working server needs, and short enough to wait for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// The flags that say which server.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ServerArgs {
    /// Address of the Temporal server, as host:port or URL [default: TEMPORAL_ADDRESS, then
    /// temporal.toml, then the stack's]
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// Namespace [default: TEMPORAL_NAMESPACE, then temporal.toml, then default]
    #[arg(long)]
    pub namespace: Option<String>,
    /// Profile in temporal.toml [default: TEMPORAL_PROFILE, then default]
    #[arg(long)]
    pub profile: Option<String>,
}

/// The chosen server, and the keys for it.
#[derive(Clone)]
pub struct Server {
    options: ConnectionOptions,
    namespace: String,
    keyring: AnyKeyring,
}

impl Server {
    /// Resolves flags, variables and profile, and reads the keys.
    ///
    /// # Errors
    /// Settings or keys that can't be read; and the samples' public test key with a server that is
    /// not on this machine.
    pub fn choose(args: &ServerArgs) -> anyhow::Result<Self> {
        let profile = load_profile(args).map_err(|error| {
            Failure::usage(format!("the Temporal settings can't be read: {error}"))
        })?;
        let keyring = AnyKeyring::from_env()
            .map_err(|error| Failure::usage(format!("the data keys can't be used: {error}")))?;
        let test_key = || AnyKeyring::Plain(Keyring::test_key());
        Self::with_profile(args, profile, keyring.unwrap_or_else(test_key))
    }

    /// A server that we started on this machine, with the test key: neither `TEMPORAL_*` nor `temporal.toml`
    /// nor `CODEC_*` is read.
    ///
    /// # Errors
    /// As [`choose`](Self::choose).
    pub fn local(args: &ServerArgs) -> anyhow::Result<Self> {
        let keyring = AnyKeyring::Plain(Keyring::test_key());
        Self::with_profile(args, ClientConfigProfile::default(), keyring)
    }

    fn with_profile(
        args: &ServerArgs,
        mut profile: ClientConfigProfile,
        keyring: AnyKeyring,
    ) -> anyhow::Result<Self> {
        if args.address.is_some() {
            profile.address.clone_from(&args.address);
        }
        if args.namespace.is_some() {
            profile.namespace.clone_from(&args.namespace);
        }
        if profile.address.is_none() {
            let stack = Settings::from_env()?;
            if stack.is_moved(settings::TEMPORAL_PORT) {
                profile.address = Some(stack.address(settings::TEMPORAL_PORT).to_string());
            }
        }
        let namespace = profile.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let mut options = ConnectionOptions::try_from(profile).map_err(|error| {
            Failure::usage(format!("the Temporal settings are not valid: {error}"))
        })?;
        options.connect_timeout = Some(CONNECT_TIMEOUT);

        if keyring.is_test_key() && !is_loopback(&options.target) {
            return Err(Failure::usage(format!(
                "the server {} is not on this machine, and the key is the Temporal samples' test \
                 key, which is public: nothing would be secret. Give a key of your own: \
                 {KEYS_VARIABLE}=my-key=$(head -c 32 /dev/urandom | base64), or \
                 {KEY_FILE_VARIABLE} with a file of such lines, and {ACTIVE_KEY_VARIABLE} with \
                 the id to encrypt with.",
                display(&options.target),
            ))
            .into());
        }
        Ok(Self { options, namespace, keyring })
    }

    /// The same server, with these keys.
    pub fn with_keyring(self, keyring: Keyring) -> Self {
        Self { keyring: AnyKeyring::Plain(keyring), ..self }
    }

    /// Logs a warning if the key is public. The public key is accepted for every address on this machine, but
    /// a port forwarded from here to another server has such an address, too.
    pub fn warn_of_test_key(&self) {
        if self.keyring.is_test_key() {
            tracing::warn!(
                address = self.address(),
                "the key is the Temporal samples' public test key: anyone can decrypt the payloads. If \
                 this address forwards to a server elsewhere, set {KEYS_VARIABLE} or {KEY_FILE_VARIABLE}"
            );
        }
    }

    /// The data keys for a client that never has to wait for a simulation: KMS, as the `AWS_*` variables name it,
    /// if the keys are wrapped by it; else the keys themselves.
    ///
    /// # Errors
    /// The keys are wrapped, and the variables do not say how KMS is to be asked.
    pub fn keys(&self) -> anyhow::Result<KeyService> {
        match &self.keyring {
            AnyKeyring::Plain(keyring) => Ok(KeyService::new(keyring.clone())),
            AnyKeyring::Wrapped(keyring) => keys::of_environment(keyring),
        }
    }

    /// The data keys themselves, or wrapped by KMS.
    pub fn keyring(&self) -> &AnyKeyring {
        &self.keyring
    }

    /// The server's address, as people write it.
    pub fn address(&self) -> String {
        display(&self.options.target)
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Connects, with payloads encrypted by `codec`, and the client's own metrics to `meter`.
    ///
    /// # Errors
    /// When no server answers, or it refuses: one sentence with the address and what to do.
    pub async fn connect(
        &self,
        codec: AnyCodec,
        meter: Option<TemporalMeter>,
    ) -> anyhow::Result<Client> {
        let mut options = self.options.clone();
        options.metrics_meter = meter;
        let connection =
            match tokio::time::timeout(CONNECT_TIMEOUT, Connection::connect(options)).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => return Err(self.refusal(&error).into()),
                Err(_) => return Err(self.no_server_answers("it did not answer in time").into()),
            };
        let failures = EncodedFailures::default();
        let converter = DataConverter::new(PayloadConverter::default(), failures, codec);
        let options = ClientOptions::new(self.namespace.as_str()).data_converter(converter).build();
        Client::new(connection, options).context("the Temporal client could not be created")
    }

    fn refusal(&self, error: &ClientConnectError) -> Failure {
        match error {
            ClientConnectError::SystemInfoCallError(status)
                if matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied) =>
            {
                Failure::environment(format!(
                    "the Temporal server at {} refused the credentials ({}): check TEMPORAL_API_KEY \
                     or the TLS settings of your profile",
                    self.address(),
                    status.message(),
                ))
            }
            ClientConnectError::InvalidUri(_)
            | ClientConnectError::InvalidHeaders(_)
            | ClientConnectError::InvalidConfig(_) => {
                Failure::usage(format!("the Temporal settings are not valid: {error}"))
            }
            // The last cause is the system's own message, such as "Connection refused".
            _ => self.no_server_answers(&last_cause(error)),
        }
    }

    fn no_server_answers(&self, reason: &str) -> Failure {
        Failure::environment(format!(
            "no Temporal server answers at {} ({reason}): start one with `cargo workshop \
             server` or `cargo workshop stack`, or name another with --address or TEMPORAL_ADDRESS",
            self.address(),
        ))
    }
}

fn load_profile(args: &ServerArgs) -> Result<ClientConfigProfile, impl Error> {
    let options = LoadClientConfigProfileOptions::builder()
        .maybe_config_file_profile(args.profile.clone())
        .build();
    load_client_config_profile(options, None)
}

fn is_loopback(target: &Url) -> bool {
    match target.host() {
        Some(Host::Domain(name)) => {
            // A name that ends with a dot is complete: no search domain is appended.
            name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case("localhost")
                || name.parse().is_ok_and(is_this_machine)
        }
        Some(Host::Ipv4(address)) => is_this_machine(address.into()),
        Some(Host::Ipv6(address)) => is_this_machine(address.into()),
        None => false,
    }
}

/// 127.0.0.0/8 and ::1; 0.0.0.0 and ::, to which a client connects as to these; and IPv4 addresses
/// among them that are written as IPv6.
fn is_this_machine(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

fn display(target: &Url) -> String {
    target.as_str().trim_start_matches("http://").trim_end_matches('/').to_owned()
}

fn last_cause(error: &ClientConnectError) -> String {
    if let ClientConnectError::SystemInfoCallError(status) = error
        && status.source().is_none()
    {
        return status.message().to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (target, expected) in [
            ("http://localhost:7233", true),
            ("http://127.0.0.1:7233", true),
            ("http://127.8.9.1:7233", true),
            ("http://[::1]:7233", true),
            ("http://localhost.:7233", true),
            ("http://LOCALHOST:7233", true),
            ("http://0.0.0.0:7233", true),
            ("http://[::]:7233", true),
            ("http://[::ffff:127.0.0.1]:7233", true),
            ("http://[::ffff:10.0.0.1]:7233", false),
            ("http://localhost.example.com.:7233", false),
            ("http://10.0.0.1:7233", false),
            ("http://localhost.example.com:7233", false),
            ("https://ns.tmprl.cloud:7233", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(target).unwrap()), expected, "{target}");
        }
    }
}
