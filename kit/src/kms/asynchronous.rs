//! The client that waits without a thread.

use std::{
    error::{self, Error as _},
    iter,
    sync::Arc,
};

use reqwest::{Client, Error, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::time::{sleep, timeout_at};
use zeroize::Zeroizing;

use super::{
    error::{KmsError, is_tls},
    retry::{Attempts, Budget, Counter},
    settings::{IDLE, IDLE_CONNECTIONS, Settings, SettingsError},
    wire::{Answer, Call, Context, GeneratedKey, LONGEST_ANSWER},
};

/// A client whose calls wait without a thread. Cloning shares its connections.
///
/// Dropping a call closes its connection: the answer, which may have a key, is read by no one.
#[derive(Clone, Debug)]
pub struct AsyncClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: Client,
    settings: Settings,
    counter: Counter,
}

impl AsyncClient {
    /// A client, which has no connection until it is used. Its calls need a Tokio runtime with time and I/O.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls(settings)?)
            .connect_timeout(settings.connect_timeout)
            .redirect(redirect::Policy::none())
            // Requests to this machine must not go through a proxy, and for others it is not supported.
            .no_proxy()
            // Attempts are counted here.
            .retry(reqwest::retry::never())
            .http1_only()
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build()
            .map_err(|error| SettingsError::Client(error.to_string()))?;
        let settings = settings.clone();
        Ok(Self(Arc::new(Inner { client, settings, counter: Counter::default() })))
    }

    /// Encrypts up to 4096 bytes.
    ///
    /// # Errors
    /// See [`KmsError`].
    pub async fn encrypt(
        &self,
        key_id: &str,
        plaintext: &[u8],
        context: &Context,
    ) -> Result<Vec<u8>, KmsError> {
        let call = Call::encrypt(key_id, plaintext, context);
        call.ciphertext(&mut self.ask(&call).await?)
    }

    /// Decrypts what [`encrypt`](Self::encrypt) or [`generate_data_key`](Self::generate_data_key) returned.
    ///
    /// # Errors
    /// See [`KmsError`].
    pub async fn decrypt(
        &self,
        ciphertext: &[u8],
        context: &Context,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        self.plaintext(&Call::decrypt(ciphertext, context)).await
    }

    /// A new data key of 32 bytes.
    ///
    /// # Errors
    /// See [`KmsError`].
    pub async fn generate_data_key(
        &self,
        key_id: &str,
        context: &Context,
    ) -> Result<GeneratedKey, KmsError> {
        let call = Call::generate_data_key(key_id, context);
        call.generated(self.ask(&call).await?)
    }

    /// How often it asked.
    pub fn attempts(&self) -> Attempts {
        self.0.counter.attempts()
    }

    pub(super) async fn plaintext(&self, call: &Call) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        call.plaintext(self.ask(call).await?)
    }

    async fn ask(&self, call: &Call) -> Result<Answer, KmsError> {
        let Inner { settings, counter, .. } = &*self.0;
        let mut budget = Budget::new(counter, settings.timeout);
        loop {
            let attempt = timeout_at(budget.deadline().into(), self.attempt(call));
            match attempt.await.unwrap_or_else(|_| Err(call.too_slow(settings))) {
                Ok(answer) => return Ok(answer),
                Err(error) => sleep(budget.again(error)?).await,
            }
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, KmsError> {
        let Inner { client, settings, .. } = &*self.0;
        let mut request = client.post(settings.endpoint.clone());
        for (name, value) in call.headers(settings) {
            request = request.header(name, value);
        }
        let failed = |error| failed(call, settings, &error);
        let mut response = request.body(call.body.to_vec()).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        // As large as it may get, so that it never moves and leaves a copy behind.
        let mut body = Zeroizing::new(Vec::with_capacity(LONGEST_ANSWER));
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > LONGEST_ANSWER {
                return Err(call.bad("it is longer than any answer of KMS"));
            }
            body.extend_from_slice(&chunk);
        }
        call.answer(status, &body)
    }
}

/// TLS with ring, whatever other providers there are in the program.
fn tls(settings: &Settings) -> Result<ClientConfig, SettingsError> {
    let wrong = |error: rustls::Error| SettingsError::Client(error.to_string());
    let mut roots = RootCertStore::empty();
    match &settings.certificates {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(certificates) => {
            for certificate in certificates {
                roots.add(certificate.clone()).map_err(wrong)?;
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(wrong)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn failed(call: &Call, settings: &Settings, error: &Error) -> KmsError {
    if error.is_connect() && error.is_timeout() {
        let seconds = settings.connect_timeout.as_secs_f64();
        return call.no_answer(settings, format!("no connection within {seconds} s"), true);
    }
    // The outermost error says only that a request failed.
    let causes =
        iter::successors(error.source(), |cause: &&(dyn error::Error + 'static)| (*cause).source());
    let reason = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
    call.no_answer(settings, reason, !is_tls(error) && !error.is_builder())
}
