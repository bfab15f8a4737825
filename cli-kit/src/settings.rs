//! Ports and files of the services: `settings.env`, and the variables that override it.

use std::{
    collections::BTreeMap,
    env,
    net::{Ipv4Addr, SocketAddr},
};

use crate::exit::Failure;

/// The one place where settings are listed and explained.
const FILE: &str = include_str!("../settings.env");

/// Temporal's gRPC port.
pub const TEMPORAL_PORT: &str = "STACK_TEMPORAL_PORT";
/// The port of Temporal's HTTP API.
pub const TEMPORAL_HTTP_PORT: &str = "STACK_TEMPORAL_HTTP_PORT";
/// The port of Temporal's Web UI.
pub const TEMPORAL_UI_PORT: &str = "STACK_TEMPORAL_UI_PORT";
/// The port of Temporal's own metrics.
pub const TEMPORAL_METRICS_PORT: &str = "STACK_TEMPORAL_METRICS_PORT";
/// The codec server's port.
pub const CODEC_SERVER_PORT: &str = "STACK_CODEC_SERVER_PORT";
/// The key service's port.
pub const KEY_SERVICE_PORT: &str = "STACK_KEY_SERVICE_PORT";
/// The port of the key service's faults and metrics.
pub const KEY_SERVICE_ADMIN_PORT: &str = "STACK_KEY_SERVICE_ADMIN_PORT";
/// Prometheus' port.
pub const PROMETHEUS_PORT: &str = "STACK_PROMETHEUS_PORT";
/// Grafana's port.
pub const GRAFANA_PORT: &str = "STACK_GRAFANA_PORT";
/// The port of the worker's metrics.
pub const WORKER_METRICS_PORT: &str = "STACK_WORKER_METRICS_PORT";
/// The port of the starter's metrics.
pub const STARTER_METRICS_PORT: &str = "STACK_STARTER_METRICS_PORT";
/// Where the Web UI finds a codec server.
pub const UI_CODEC_ENDPOINT: &str = "STACK_UI_CODEC_ENDPOINT";
/// The file of Temporal's database.
pub const TEMPORAL_DB: &str = "STACK_TEMPORAL_DB";
/// The folder of Grafana's own files.
pub const GRAFANA_HOME: &str = "STACK_GRAFANA_HOME";
/// What everyone may do in Grafana.
pub const GRAFANA_ROLE: &str = "STACK_GRAFANA_ROLE";

/// All settings, each with a value.
#[derive(Clone, Debug)]
pub struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// The defaults, overridden by variables of the same name that are not empty.
    ///
    /// # Errors
    /// When a port is not valid, or two ports are the same.
    pub fn from_env() -> Result<Self, Failure> {
        Self::with(|name| env::var(name).ok())
    }

    fn with(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let settings = Self(
            defaults()
                .map(|(name, default)| {
                    let given = variable(name).filter(|value| !value.is_empty());
                    (name, given.unwrap_or_else(|| default.to_owned()))
                })
                .collect(),
        );
        let mut ports: BTreeMap<u16, &str> = BTreeMap::new();
        for name in settings.0.keys().copied().filter(|name| is_port(name)) {
            let port = settings.parse_port(name)?;
            if let Some(other) = ports.insert(port, name) {
                return Err(Failure::usage(format!(
                    "{other} and {name} are both {port}: each needs a port of its own"
                )));
            }
        }
        Ok(settings)
    }

    fn parse_port(&self, name: &str) -> Result<u16, Failure> {
        let value = self.get(name);
        value.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
            Failure::usage(format!(
                "{name}={value} is not a port: use a number from 1 to 65535, such as {}",
                default(name)
            ))
        })
    }

    /// The value of a setting; empty if there is no such setting.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Sets one, as a flag does.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// The number of a port.
    pub fn port(&self, name: &str) -> u16 {
        self.parse_port(name).expect("ports were checked when the settings were read")
    }

    /// Whether this setting differs from its default.
    pub fn is_moved(&self, name: &str) -> bool {
        self.get(name) != default(name)
    }

    /// A port of this machine.
    pub fn address(&self, name: &str) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(name)).into()
    }

    /// The address from the flag, or else the one that the settings have for that port.
    ///
    /// # Errors
    /// When the settings are needed and can't be read.
    pub fn given_or_address(given: Option<SocketAddr>, name: &str) -> Result<SocketAddr, Failure> {
        given.map_or_else(|| Ok(Self::from_env()?.address(name)), Ok)
    }

    /// A page at a port of this machine.
    pub fn url(&self, name: &str, path: &str) -> String {
        format!("http://{}{path}", self.address(name))
    }

    /// All settings, for the environment of a child process.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

/// Names and defaults, in the order of the file.
fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
}

fn default(name: &str) -> &'static str {
    defaults().find(|(known, _)| *known == name).map_or("", |(_, default)| default)
}

fn is_port(name: &str) -> bool {
    name.ends_with("_PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 15] = [
        TEMPORAL_PORT,
        TEMPORAL_HTTP_PORT,
        TEMPORAL_UI_PORT,
        TEMPORAL_METRICS_PORT,
        CODEC_SERVER_PORT,
        KEY_SERVICE_PORT,
        KEY_SERVICE_ADMIN_PORT,
        PROMETHEUS_PORT,
        GRAFANA_PORT,
        WORKER_METRICS_PORT,
        STARTER_METRICS_PORT,
        UI_CODEC_ENDPOINT,
        TEMPORAL_DB,
        GRAFANA_HOME,
        GRAFANA_ROLE,
    ];

    #[test]
    fn the_file_lists_what_the_code_uses() {
        let listed: Vec<_> = defaults().map(|(name, _)| name).collect();
        assert_eq!(listed, NAMES);
    }

    #[test]
    fn a_variable_wins_unless_it_is_empty() {
        let settings = Settings::with(|name| match name {
            PROMETHEUS_PORT => Some("9191".into()),
            GRAFANA_PORT => Some(String::new()),
            _ => None,
        })
        .unwrap();
        assert_eq!(settings.url(PROMETHEUS_PORT, "/-/ready"), "http://127.0.0.1:9191/-/ready");
        assert!(settings.is_moved(PROMETHEUS_PORT) && !settings.is_moved(GRAFANA_PORT));
        assert_eq!(settings.port(GRAFANA_PORT), 3000);
    }

    #[test]
    fn a_port_that_is_none_is_a_clear_error() {
        for wrong in ["0", "65536", "x", "-1", "90 90"] {
            let set = |name: &str| (name == GRAFANA_PORT).then(|| wrong.to_owned());
            let error = Settings::with(set).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("STACK_GRAFANA_PORT={wrong} is not a port")),
                "{error}"
            );
        }
        let both = |name: &str| (name == GRAFANA_PORT).then(|| "9090".to_owned());
        let error = Settings::with(both).unwrap_err().to_string();
        assert!(
            error.contains("STACK_GRAFANA_PORT and STACK_PROMETHEUS_PORT are both 9090"),
            "{error}"
        );
    }
}
