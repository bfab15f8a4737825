//! What the server has done, for Prometheus.
//!
//! | metric | type | what |
//! | --- | --- | --- |
//! | `codec_server_requests_total{route,code}` | counter | answered requests, by route and status |
//! | `codec_server_request_duration_seconds{route}` | histogram | from the request's head to the answer's head |
//! | `codec_server_payloads_total{route}` | counter | payloads that were transformed |
//! | `codec_server_received_bytes_total{route}` | counter | bodies of requests, in bytes |
//! | `codec_server_sent_bytes_total{route}` | counter | bodies of answers with payloads, in bytes |
//! | `codec_server_errors_total{reason}` | counter | refused requests, by [kind](Kind) |
//! | `codec_server_connections` | gauge | open connections |
//! | `codec_server_reloads_total{result}` | counter | files that were read again because they changed |

use std::time::Duration;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use crate::{protocol::Operation, refusal::Kind};

/// In seconds: most requests take milliseconds, and a key service may take seconds.
const BUCKETS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0];

/// The metrics of a server. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    payloads: IntCounterVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    errors: IntCounterVec,
    connections: IntGauge,
    reloads: IntCounterVec,
}

/// What a request was for, as the metrics name it. There are only these, so that no client can make more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Encode or decode.
    Codec(Operation),
    /// Anything else.
    Other,
}

impl Route {
    /// Its label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Codec(operation) => operation.name(),
            Self::Other => "other",
        }
    }
}

impl Metrics {
    /// Metrics in that registry, all of which the page of the server shows.
    ///
    /// # Errors
    /// When the registry has metrics of these names.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "codec_server_request_duration_seconds",
                "From the request's head to the answer's head, in seconds",
            )
            .buckets(BUCKETS.into()),
            &["route"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let connections = IntGauge::new("codec_server_connections", "Open connections")?;
        registry.register(Box::new(connections.clone()))?;
        let metrics = Self {
            registry: registry.clone(),
            requests: counters(
                "codec_server_requests_total",
                "Answered requests, by route and status",
                &["route", "code"],
            )?,
            durations,
            payloads: counters(
                "codec_server_payloads_total",
                "Payloads that were encoded or decoded",
                &["route"],
            )?,
            received: counters(
                "codec_server_received_bytes_total",
                "Bodies of requests to encode or decode, in bytes",
                &["route"],
            )?,
            sent: counters(
                "codec_server_sent_bytes_total",
                "Bodies of answers with payloads, in bytes",
                &["route"],
            )?,
            errors: counters(
                "codec_server_errors_total",
                "Refused requests, by reason",
                &["reason"],
            )?,
            connections,
            reloads: counters(
                "codec_server_reloads_total",
                "Files that were read again because they changed, by result",
                &["result"],
            )?,
        };
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// A counter that appears with its first error has no rate for that error.
    fn start_at_zero(&self) {
        for operation in Operation::ALL {
            let labels = [operation.name()];
            for counters in [&self.payloads, &self.received, &self.sent] {
                counters.with_label_values(&labels);
            }
            self.durations.with_label_values(&labels);
            self.requests.with_label_values(&[operation.name(), "200"]);
        }
        for kind in Kind::ALL {
            self.errors.with_label_values(&[kind.name()]);
        }
        for result in ["done", "failed"] {
            self.reloads.with_label_values(&[result]);
        }
    }

    pub(crate) fn answered(&self, route: Route, code: u16, took: Duration, refused: Option<Kind>) {
        self.requests.with_label_values(&[route.name(), &code.to_string()]).inc();
        self.durations.with_label_values(&[route.name()]).observe(took.as_secs_f64());
        if let Some(kind) = refused {
            self.errors.with_label_values(&[kind.name()]).inc();
        }
    }

    pub(crate) fn transformed(
        &self,
        operation: Operation,
        payloads: usize,
        received: usize,
        sent: usize,
    ) {
        let add = |counters: &IntCounterVec, number: usize| {
            counters.with_label_values(&[operation.name()]).inc_by(number as u64);
        };
        add(&self.payloads, payloads);
        add(&self.received, received);
        add(&self.sent, sent);
    }

    /// Counts a connection until what is returned is dropped.
    pub(crate) fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// The counter of files that were read again, with that result.
    pub(crate) fn reloads(&self, succeeded: bool) -> IntCounter {
        self.reloads.with_label_values(&[if succeeded { "done" } else { "failed" }])
    }

    /// The page for Prometheus, in its text format.
    pub(crate) fn page(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut page = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(page)
    }
}

pub(crate) struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_can_be_counted_is_there_from_the_start() {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let page = String::from_utf8(metrics.page().unwrap()).unwrap();
        for line in [
            "codec_server_requests_total{code=\"200\",route=\"decode\"} 0",
            "codec_server_errors_total{reason=\"codec\"} 0",
            "codec_server_payloads_total{route=\"encode\"} 0",
            "codec_server_reloads_total{result=\"failed\"} 0",
            "codec_server_connections 0",
        ] {
            assert!(page.contains(line), "{line} is missing in {page}");
        }
    }

    #[test]
    fn a_connection_counts_while_it_is_open() {
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let connected = metrics.connected();
        assert_eq!(metrics.connections.get(), 1);
        drop(connected);
        assert_eq!(metrics.connections.get(), 0);
    }
}
