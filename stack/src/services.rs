//! The three services: their ports, and how each is asked whether it is well.

use std::{fmt, time::Duration};

use anyhow::Context;
use clap::ValueEnum;
use ureq::Agent;

use crate::{
    programs::{self, Program},
    settings::{self, Settings},
};

/// Longer than a service that is well takes to answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A service of the stack, by the name that it has in `process-compose.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Service {
    /// Temporal's dev server
    Temporal,
    /// Prometheus
    Prometheus,
    /// Grafana
    Grafana,
}

impl Service {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Temporal, Self::Prometheus, Self::Grafana];

    /// All but those.
    pub fn all_but(without: &[Self]) -> Vec<Self> {
        Self::ALL.into_iter().filter(|service| !without.contains(service)).collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::Prometheus => "prometheus",
            Self::Grafana => "grafana",
        }
    }

    /// The program that it is.
    pub fn program(self) -> Program {
        match self {
            Self::Temporal => programs::TEMPORAL,
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
            Self::Prometheus => &[settings::PROMETHEUS_PORT],
            Self::Grafana => &[settings::GRAFANA_PORT],
        }
    }

    /// The page that is there when it is well: the one that its readiness probe asks for.
    pub fn health(self, settings: &Settings) -> String {
        match self {
            Self::Temporal => {
                settings.url(settings::TEMPORAL_HTTP_PORT, "/api/v1/namespaces/default")
            }
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

/// Asks services how they are.
pub struct Asker(Agent);

impl Default for Asker {
    fn default() -> Self {
        // These are pages of this machine: no proxy stands between.
        let config = Agent::config_builder().timeout_global(Some(TIMEOUT)).proxy(None).build();
        Self(config.into())
    }
}

impl Asker {
    /// The page at that address, or why there is none.
    ///
    /// # Errors
    /// When nobody answers in time, or not with 200.
    pub fn page(&self, url: &str) -> anyhow::Result<String> {
        Ok(self.0.get(url).call()?.into_body().read_to_string()?)
    }

    /// What time it is where that page comes from, as HTTP writes it.
    ///
    /// # Errors
    /// As [`page`](Self::page), and when the answer does not tell.
    pub fn date(&self, url: &str) -> anyhow::Result<String> {
        let response = self.0.get(url).call()?;
        let date = response.headers().get("date").context("the answer has no date")?;
        Ok(date.to_str()?.to_owned())
    }

    /// Whether the service says that it is well.
    pub fn is_well(&self, service: Service, settings: &Settings) -> bool {
        self.page(&service.health(settings)).is_ok()
    }
}
