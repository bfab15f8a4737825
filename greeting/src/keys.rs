//! Where a worker gets its data keys: from a key service that the environment names, from one of its own, or
//! from a simulation.

use std::{process::Command, time::Duration};

use anyhow::Context;
use cli_kit::exit::Failure;
use codec_kit::{
    ACTIVE_KEY_VARIABLE, AnyKeyring, KEY_FILE_VARIABLE, KEYS_VARIABLE, KeyService, Keyring,
    WrappedKeyring,
    kms::{BlockingClient, Credentials, Settings, wrap},
};
use key_service::{DEFAULT_ALIAS, Faults, Operation, Options, Purpose, Server, Stall};
use uuid::Uuid;

use crate::args::{KeyServiceArgs, KeyServiceKind};

/// The access key id of a service that was started for one worker. It is no secret.
const ACCESS_KEY_ID: &str = "workshop";

/// The data keys of a worker, and the key service that was started for it, if one was. It stops when it is
/// dropped.
///
/// # Errors
/// When a service can't be started or asked; and when keys that are wrapped are to be simulated.
pub fn of_worker(
    keyring: &AnyKeyring,
    args: &KeyServiceArgs,
) -> anyhow::Result<(KeyService, Option<LocalKeyService>)> {
    match (keyring, args.key_service) {
        (AnyKeyring::Plain(keyring), KeyServiceKind::Simulated) => {
            Ok((KeyService::with_stalls(keyring.clone(), args.stalls()), None))
        }
        (AnyKeyring::Plain(keyring), KeyServiceKind::Kms) => {
            let service = LocalKeyService::start(keyring, args)?;
            Ok((service.keys()?, Some(service)))
        }
        (AnyKeyring::Wrapped(keyring), KeyServiceKind::Kms) => Ok((of_environment(keyring)?, None)),
        (AnyKeyring::Wrapped(_), KeyServiceKind::Simulated) => Err(Failure::usage(
            "the data keys are wrapped by a key service, so only that service can unwrap them: \
             leave out --key-service simulated, or give keys that are not wrapped",
        )
        .into()),
    }
}

/// Wrapped data keys, each unwrapped by a call to KMS as the `AWS_*` variables name it.
///
/// # Errors
/// The variables do not say how KMS is to be asked.
pub fn of_environment(keyring: &WrappedKeyring) -> anyhow::Result<KeyService> {
    Settings::from_env()
        .and_then(|settings| KeyService::with_kms(keyring.clone(), &settings))
        .map_err(|error| {
            Failure::usage(format!("KMS can't be asked for the data keys: {error}")).into()
        })
}

/// The faults that these numbers stand for. Only calls that unwrap a data key stall.
impl From<&KeyServiceArgs> for Faults {
    fn from(args: &KeyServiceArgs) -> Self {
        let stall = |purpose, share| Stall {
            operation: Some(Operation::Decrypt),
            purpose: Some(purpose),
            share,
            length: Duration::from_secs_f64(args.stall_seconds),
        };
        Self {
            seed: args.seed,
            stalls: vec![
                stall(Purpose::Encrypt, args.stall_probability),
                stall(Purpose::Decrypt, args.decode_stall_probability),
            ],
            failure_rate: args.failure_rate,
            ..Self::default()
        }
    }
}

/// A key service in this process, on a free port of this machine, and data keys that it has wrapped. Dropping it
/// stops the service.
// Without `Debug`: it would show the secret.
pub struct LocalKeyService {
    server: Server,
    keyring: WrappedKeyring,
    settings: Settings,
    secret: String,
    timeout: Duration,
}

impl LocalKeyService {
    /// Starts it, and has it wrap these keys. **Waits on the calling thread.**
    ///
    /// # Errors
    /// When the stalls are longer than an hour, and when the system gives no port or thread.
    pub fn start(keyring: &Keyring, args: &KeyServiceArgs) -> anyhow::Result<Self> {
        let secret = Uuid::new_v4().to_string();
        let credentials =
            || Credentials::new(ACCESS_KEY_ID, &*secret).context("the credentials are no words");
        let server = Server::start(Options::new(credentials()?)).map_err(Failure::environment)?;
        // A call that stalls is not one that is lost.
        let timeout = Settings::TIMEOUT + Duration::from_secs_f64(args.stall_seconds);
        let settings = Settings::new(Options::REGION, credentials()?)?
            .with_endpoint(&server.endpoint())?
            .with_timeouts(Settings::CONNECT_TIMEOUT, timeout);
        let keyring =
            wrap(&BlockingClient::new(&settings)?, &format!("alias/{DEFAULT_ALIAS}"), keyring)?;
        // From here on: none of them concerns what came before.
        server.set_faults(Faults::from(args)).map_err(Failure::usage)?;
        Ok(Self { server, keyring, settings, secret, timeout })
    }

    /// The service itself: its faults, its metrics.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The data keys, each unwrapped by a call.
    ///
    /// # Errors
    /// When the clients can't be made.
    pub fn keys(&self) -> anyhow::Result<KeyService> {
        Ok(KeyService::with_kms(self.keyring.clone(), &self.settings)?)
    }

    /// Has a worker in another process use it, and no other that the environment names.
    pub fn give_to(&self, worker: &mut Command) {
        worker
            .env(KEYS_VARIABLE, self.keyring.to_string())
            .env(ACTIVE_KEY_VARIABLE, self.keyring.active())
            .env("AWS_ENDPOINT_URL_KMS", self.server.endpoint())
            .env("AWS_REGION", Options::REGION)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
            .env(Settings::TIMEOUT_VARIABLE, self.timeout.as_secs_f64().to_string());
        for name in [KEY_FILE_VARIABLE, "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"] {
            worker.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ffi::OsStr};

    use codec_kit::{Payload, open, seal};

    use super::*;
    use crate::args::defaults;

    #[test]
    fn the_numbers_are_the_service_s_faults() {
        let args = KeyServiceArgs {
            stall_probability: 0.25,
            decode_stall_probability: 0.5,
            stall_seconds: 1.5,
            failure_rate: 0.1,
            seed: 7,
            ..defaults()
        };
        let stalls = ["Decrypt:encrypt=0.25@1500ms", "Decrypt:decrypt=0.5@1500ms"];
        let stalls = stalls.map(|stall| stall.parse().unwrap()).into();
        let expected = Faults { seed: 7, stalls, failure_rate: 0.1, ..Faults::default() };
        assert_eq!(Faults::from(&args), expected);
    }

    /// Its data keys are those that it was given, so that payloads of others can be opened, and the other way
    /// round.
    #[test]
    fn the_keys_of_a_service_of_ones_own_are_the_same() {
        let keyring = Keyring::test_key();
        let never = KeyServiceArgs { stall_probability: 0.0, ..defaults() };
        let service = LocalKeyService::start(&keyring, &never).unwrap();
        let key = service.keys().unwrap().data_key_blocking().unwrap();
        let payload = Payload { data: b"Ada".to_vec(), ..Payload::default() };
        let sealed = seal(&key, &payload).unwrap();
        assert_eq!(open(keyring.keys(), sealed).unwrap(), payload);
        let mut worker = Command::new("worker");
        service.give_to(&mut worker);
        let given: BTreeMap<_, _> = worker.get_envs().collect();
        let value = |name: &str| given[OsStr::new(name)].and_then(OsStr::to_str);
        assert_eq!(value("AWS_ENDPOINT_URL_KMS"), Some(&*service.server().endpoint()));
        assert_eq!(value("AWS_SESSION_TOKEN"), None);
        let entries = value(KEYS_VARIABLE).unwrap();
        assert!(
            matches!(AnyKeyring::parse(entries, None), Ok(AnyKeyring::Wrapped(_))),
            "{entries}"
        );
    }

    #[test]
    fn a_stall_of_hours_is_refused() {
        let args = KeyServiceArgs { stall_seconds: 7200.0, ..defaults() };
        let error = LocalKeyService::start(&Keyring::test_key(), &args).err().unwrap();
        assert!(error.to_string().contains("longer than an hour"), "{error}");
    }

    #[test]
    fn wrapped_keys_are_not_simulated() {
        let wrapped = AnyKeyring::parse("a=kms:AAAA", None).unwrap();
        let simulated = KeyServiceArgs { key_service: KeyServiceKind::Simulated, ..defaults() };
        let error = of_worker(&wrapped, &simulated).err().unwrap().to_string();
        assert!(error.contains("leave out --key-service simulated"), "{error}");
    }
}
