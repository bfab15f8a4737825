//! The services: their programs, their ports, and how each is asked whether it is healthy.

use std::fmt;

use clap::ValueEnum;
use cli_kit::{
    http::Http,
    settings::{self, Settings},
};

use crate::{
    ports::{self, Taken},
    programs::{self, Program},
    prometheus,
};

/// A service of the stack, by the name that it has in `process-compose.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Service {
    /// Temporal's dev server
    Temporal,
    /// The codec server, which decrypts payloads for the Web UI
    CodecServer,
    /// The key service, which speaks the protocol of AWS KMS
    KeyService,
    /// Prometheus
    Prometheus,
    /// Grafana
    Grafana,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Temporal, Self::CodecServer, Self::KeyService, Self::Prometheus, Self::Grafana];

    /// All but those.
    pub fn all_but(without: &[Self]) -> Vec<Self> {
        Self::ALL.into_iter().filter(|service| !without.contains(service)).collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::CodecServer => "codec-server",
            Self::KeyService => "key-service",
            Self::Prometheus => "prometheus",
            Self::Grafana => "grafana",
        }
    }

    /// The program that it is.
    pub fn program(self) -> Program {
        match self {
            Self::Temporal => programs::TEMPORAL,
            Self::CodecServer => programs::CODEC_SERVER,
            Self::KeyService => programs::KEY_SERVICE,
            Self::Prometheus => programs::PROMETHEUS,
            Self::Grafana => programs::GRAFANA,
        }
    }

    /// The settings that name its ports.
    pub fn ports(self) -> &'static [&'static str] {
        match self {
            Self::Temporal => &[
                settings::TEMPORAL_PORT,
                settings::TEMPORAL_HTTP_PORT,
                settings::TEMPORAL_UI_PORT,
                settings::TEMPORAL_METRICS_PORT,
            ],
            Self::CodecServer => &[settings::CODEC_SERVER_PORT],
            Self::KeyService => &[settings::KEY_SERVICE_PORT, settings::KEY_SERVICE_ADMIN_PORT],
            Self::Prometheus => &[settings::PROMETHEUS_PORT],
            Self::Grafana => &[settings::GRAFANA_PORT],
        }
    }

    /// The page that is there when it is healthy: the one that its readiness probe asks for.
    pub fn health(self, settings: &Settings) -> String {
        match self {
            Self::Temporal => {
                settings.url(settings::TEMPORAL_HTTP_PORT, "/api/v1/namespaces/default")
            }
            Self::CodecServer => settings.url(settings::CODEC_SERVER_PORT, "/healthz"),
            Self::KeyService => settings.url(settings::KEY_SERVICE_ADMIN_PORT, "/health"),
            Self::Prometheus => settings.url(settings::PROMETHEUS_PORT, "/-/ready"),
            Self::Grafana => settings.url(settings::GRAFANA_PORT, "/api/health"),
        }
    }

    /// Where people find it.
    pub fn where_it_is(self, settings: &Settings) -> String {
        match self {
            Self::Temporal => format!(
                "{}, Web UI {}",
                settings.address(settings::TEMPORAL_PORT),
                settings.url(settings::TEMPORAL_UI_PORT, "")
            ),
            Self::CodecServer => settings.url(settings::CODEC_SERVER_PORT, ""),
            Self::KeyService => format!(
                "{}, faults {}",
                settings.url(settings::KEY_SERVICE_PORT, ""),
                settings.url(settings::KEY_SERVICE_ADMIN_PORT, "/faults")
            ),
            Self::Prometheus => settings.url(settings::PROMETHEUS_PORT, ""),
            Self::Grafana => settings.url(settings::GRAFANA_PORT, ""),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Checks the health of services.
#[derive(Default)]
pub struct Asker(Http);

impl Asker {
    /// The time according to that service, as HTTP writes it.
    ///
    /// # Errors
    /// When it does not answer in time, or the answer has no date.
    pub fn date(&self, service: Service, settings: &Settings) -> anyhow::Result<String> {
        self.0.date(&service.health(settings))
    }

    /// The page at that address.
    ///
    /// # Errors
    /// Those of [`Http::page`].
    pub fn page(&self, url: &str) -> anyhow::Result<String> {
        self.0.page(url)
    }

    /// Checks that the service says it is ready, and that Prometheus has its rules.
    ///
    /// # Errors
    /// Why the service is not healthy.
    pub fn check(&self, service: Service, settings: &Settings) -> anyhow::Result<()> {
        self.page(&service.health(settings))?;
        if service == Service::Prometheus {
            prometheus::has_rules(
                &self.page(&settings.url(settings::PROMETHEUS_PORT, "/api/v1/rules"))?,
            )?;
        }
        Ok(())
    }

    /// Where a Temporal dev server is already running, if one answers at every port of these settings, as one
    /// started by `cargo workshop server` or the stack does.
    pub fn running_server(&self, settings: &Settings) -> Option<String> {
        let ports = Service::Temporal.ports();
        let all_taken = ports
            .iter()
            .all(|name| matches!(ports::taken(settings.address(name)), Some(Taken::By(_))));
        (all_taken && self.is_healthy(Service::Temporal, settings))
            .then(|| Service::Temporal.where_it_is(settings))
    }

    /// Whether the service is healthy.
    pub fn is_healthy(&self, service: Service, settings: &Settings) -> bool {
        self.check(service, settings).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// Answers every request with that text.
    fn serve(text: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = BufReader::new(stream.try_clone().unwrap()).lines();
                request.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                let length = text.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}"
                )
                .unwrap();
            }
        });
        port
    }

    #[test]
    fn prometheus_without_its_rules_is_not_healthy() {
        let mut settings = Settings::from_env().unwrap();
        let port = serve(r#"{"status":"success","data":{"groups":[{"name":"another"}]}}"#);
        settings.set(settings::PROMETHEUS_PORT, port.to_string());
        let error = Asker::default().check(Service::Prometheus, &settings).unwrap_err().to_string();
        assert!(error.contains("without the workshop's rules"), "{error}");
    }
}
