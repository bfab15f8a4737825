//! A client of either kind, a service on a free port, and waiting for a state.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use codec_kit::kms::{
    AsyncClient, Attempts, BlockingClient, Context, Credentials, GeneratedKey, KmsError, Settings,
};
use key_service::{Faults, Options, Server};
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

pub const ALIAS: &str = "alias/workshop";
/// Far longer than anything takes here.
pub const LIMIT: Duration = Duration::from_secs(30);

pub fn credentials() -> Credentials {
    Credentials::new("workshop", "not-a-secret").unwrap()
}

pub fn server(faults: Faults) -> Server {
    Server::start(Options { faults, ..Options::new(credentials()) }).unwrap()
}

pub fn settings(endpoint: &str) -> Settings {
    let settings = Settings::new("us-east-1", credentials()).unwrap();
    settings.with_endpoint(endpoint).unwrap().with_timeouts(LIMIT, LIMIT)
}

/// A client of either kind, with the same calls.
pub enum Client {
    Blocking(BlockingClient),
    Async(AsyncClient, Arc<Runtime>),
}

impl Client {
    pub fn both(settings: &Settings) -> [Self; 2] {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        [
            Self::Blocking(BlockingClient::new(settings).unwrap()),
            Self::Async(AsyncClient::new(settings).unwrap(), Arc::new(runtime)),
        ]
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Blocking(_) => "blocking",
            Self::Async(..) => "async",
        }
    }

    pub fn encrypt(&self, key: &str, text: &[u8], context: &Context) -> Result<Vec<u8>, KmsError> {
        match self {
            Self::Blocking(client) => client.encrypt(key, text, context),
            Self::Async(client, runtime) => runtime.block_on(client.encrypt(key, text, context)),
        }
    }

    pub fn decrypt(&self, blob: &[u8], context: &Context) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        match self {
            Self::Blocking(client) => client.decrypt(blob, context),
            Self::Async(client, runtime) => runtime.block_on(client.decrypt(blob, context)),
        }
    }

    pub fn generate(&self, key: &str, context: &Context) -> Result<GeneratedKey, KmsError> {
        match self {
            Self::Blocking(client) => client.generate_data_key(key, context),
            Self::Async(client, runtime) => {
                runtime.block_on(client.generate_data_key(key, context))
            }
        }
    }

    pub fn attempts(&self) -> Attempts {
        match self {
            Self::Blocking(client) => client.attempts(),
            Self::Async(client, _) => client.attempts(),
        }
    }
}

pub fn context(entries: &[(&str, &str)]) -> Context {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        thread::sleep(Duration::from_millis(2));
    }
}

/// The sum of a metric's series that have all of these labels.
pub fn metric(server: &Server, name: &str, labels: &[&str]) -> f64 {
    let page = server.metrics();
    let lines = page.lines().filter(|line| {
        line.starts_with(&format!("workshop_key_service_{name}{{"))
            && labels.iter().all(|label| line.contains(label))
    });
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}
