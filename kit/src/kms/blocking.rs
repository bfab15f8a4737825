//! The client that waits on the calling thread.

use std::{io::Read, sync::Arc, thread, time::Duration};

use ureq::{
    Agent, Error, Timeout,
    tls::{Certificate, RootCerts, TlsConfig},
};
use zeroize::Zeroizing;

use super::{
    error::{KmsError, is_tls},
    retry::{Attempts, Budget, Counter},
    settings::{IDLE, IDLE_CONNECTIONS, Settings, SettingsError},
    wire::{Answer, Call, Context, GeneratedKey, LONGEST_ANSWER},
};

/// Requests and answers are a few kilobytes, and the usual buffers have 128 KiB each.
const BUFFER: usize = 16 * 1024;

/// A client that **waits on the calling thread**. Cloning shares its connections.
#[derive(Clone, Debug)]
pub struct BlockingClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    agent: Agent,
    settings: Settings,
    counter: Counter,
}

impl BlockingClient {
    /// A client, which has no connection until it is used.
    ///
    /// # Errors
    /// Never so far; as for the other client.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let mut tls = TlsConfig::builder();
        if let Some(certificates) = &settings.certificates {
            let certificates = certificates.iter().map(|one| Certificate::from_der(one).to_owned());
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates.collect::<Vec<_>>()));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Requests to this machine must not go through a proxy, and for others it is not supported.
            .proxy(None)
            .max_idle_age(IDLE)
            .max_idle_connections(IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .tls_config(tls.build())
            .build();
        let settings = settings.clone();
        Ok(Self(Arc::new(Inner { agent: config.into(), settings, counter: Counter::default() })))
    }

    /// Encrypts up to 4096 bytes.
    ///
    /// # Errors
    /// See [`KmsError`].
    pub fn encrypt(
        &self,
        key_id: &str,
        plaintext: &[u8],
        context: &Context,
    ) -> Result<Vec<u8>, KmsError> {
        let call = Call::encrypt(key_id, plaintext, context);
        call.ciphertext(&mut self.ask(&call)?)
    }

    /// Decrypts what [`encrypt`](Self::encrypt) or [`generate_data_key`](Self::generate_data_key) returned.
    ///
    /// # Errors
    /// See [`KmsError`].
    pub fn decrypt(
        &self,
        ciphertext: &[u8],
        context: &Context,
    ) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        self.plaintext(&Call::decrypt(ciphertext, context))
    }

    /// A new data key of 32 bytes.
    ///
    /// # Errors
    /// See [`KmsError`].
    pub fn generate_data_key(
        &self,
        key_id: &str,
        context: &Context,
    ) -> Result<GeneratedKey, KmsError> {
        let call = Call::generate_data_key(key_id, context);
        call.generated(self.ask(&call)?)
    }

    /// How often it asked.
    pub fn attempts(&self) -> Attempts {
        self.0.counter.attempts()
    }

    pub(super) fn plaintext(&self, call: &Call) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        call.plaintext(self.ask(call)?)
    }

    fn ask(&self, call: &Call) -> Result<Answer, KmsError> {
        let mut budget = Budget::new(&self.0.counter, self.0.settings.timeout);
        loop {
            match self.attempt(call, budget.left()) {
                Ok(answer) => return Ok(answer),
                Err(error) => thread::sleep(budget.again(error)?),
            }
        }
    }

    fn attempt(&self, call: &Call, left: Duration) -> Result<Answer, KmsError> {
        let Inner { agent, settings, .. } = &*self.0;
        let mut request = agent
            .post(settings.endpoint.as_str())
            .config()
            .timeout_global(Some(left))
            .timeout_connect(Some(settings.connect_timeout.min(left)))
            .build();
        for (name, value) in call.headers(settings) {
            request = request.header(name, value);
        }
        let failed = |error| failed(call, settings, error);
        let response = request.send(&call.body[..]).map_err(failed)?;
        let status = response.status().as_u16();
        // As large as it may get, so that it never moves and leaves a copy behind.
        let mut body = Zeroizing::new(Vec::with_capacity(LONGEST_ANSWER + 1));
        let reader = response.into_body().into_reader();
        let read = reader.take(LONGEST_ANSWER as u64 + 1).read_to_end(&mut body);
        read.map_err(|error| failed(Error::from(error)))?;
        match body.len() > LONGEST_ANSWER {
            true => Err(call.bad("it is longer than any answer of KMS")),
            false => call.answer(status, &body),
        }
    }
}

fn failed(call: &Call, settings: &Settings, error: Error) -> KmsError {
    match error {
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            let seconds = settings.connect_timeout.as_secs_f64();
            call.no_answer(settings, format!("no connection within {seconds} s"), true)
        }
        Error::Timeout(_) => call.too_slow(settings),
        Error::Rustls(error) => call.no_answer(settings, error.to_string(), false),
        Error::Io(error) if is_tls(&error) => call.no_answer(settings, error.to_string(), false),
        // ureq wraps its own errors in those of a reader.
        Error::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<Error>()) => {
            match error.into_inner().map(|inner| inner.downcast::<Error>()) {
                Some(Ok(inner)) => failed(call, settings, *inner),
                _ => call.no_answer(settings, "the connection ended".to_owned(), true),
            }
        }
        Error::Io(error) => call.no_answer(settings, error.to_string(), true),
        error @ (Error::ConnectionFailed | Error::HostNotFound | Error::Protocol(_)) => {
            call.no_answer(settings, error.to_string(), true)
        }
        error => call.no_answer(settings, error.to_string(), false),
    }
}
