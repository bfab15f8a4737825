//! Calls, how long they took, and the faults that were dealt, in Prometheus' text format.

use std::time::Instant;

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{faults::Purpose, operations::Operation};

/// From 100 microseconds, which a call takes without a fault, to 10 s.
const BUCKETS: [f64; 16] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0,
];

/// The result of a call that has an answer without an error.
pub(crate) const OK: &str = "ok";

/// A fault that is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    Stall,
    Failure,
    Throttle,
    Reset,
    Hang,
}

impl Fault {
    const ALL: [Self; 5] = [Self::Stall, Self::Failure, Self::Throttle, Self::Reset, Self::Hang];

    fn name(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Failure => "failure",
            Self::Throttle => "throttle",
            Self::Reset => "reset",
            Self::Hang => "hang",
        }
    }
}

/// The metrics of one service.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    calls: IntCounterVec,
    duration: HistogramVec,
    faults: IntCounterVec,
    in_flight: IntGauge,
    /// Connections that are open.
    pub connections: IntGauge,
    /// Connections that were accepted.
    pub accepted: IntCounter,
}

/// All of them, in another registry.
impl Collector for Metrics {
    /// None: what is collected has no name that a metric of the other registry could have.
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }
}

impl Metrics {
    pub fn new() -> Result<Self, prometheus::Error> {
        let name = |name: &str| format!("workshop_key_service_{name}");
        let labels = ["operation", "purpose"];
        let metrics = Self {
            registry: Registry::new(),
            calls: IntCounterVec::new(
                Opts::new(name("calls_total"), "Calls that ended, by how they ended."),
                &[labels[0], labels[1], "result"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    name("call_duration_seconds"),
                    "How long calls took, with their stalls; those that were never answered left out.",
                )
                .buckets(BUCKETS.to_vec()),
                &labels,
            )?,
            faults: IntCounterVec::new(
                Opts::new(name("faults_total"), "Faults that were dealt to calls."),
                &[labels[0], labels[1], "fault"],
            )?,
            in_flight: IntGauge::new(name("calls_in_flight"), "Calls that are not answered yet.")?,
            connections: IntGauge::new(name("connections"), "Connections that are open.")?,
            accepted: IntCounter::new(
                name("connections_total"),
                "Connections that were accepted.",
            )?,
        };
        metrics.registry.register(Box::new(metrics.calls.clone()))?;
        metrics.registry.register(Box::new(metrics.duration.clone()))?;
        metrics.registry.register(Box::new(metrics.faults.clone()))?;
        metrics.registry.register(Box::new(metrics.in_flight.clone()))?;
        metrics.registry.register(Box::new(metrics.connections.clone()))?;
        metrics.registry.register(Box::new(metrics.accepted.clone()))?;
        metrics.start_at_zero();
        Ok(metrics)
    }

    /// What codecs ask for is there from the start: a counter that appears with its first fault has no rate for
    /// that fault.
    fn start_at_zero(&self) {
        let operation = Operation::Decrypt.name();
        for purpose in [Purpose::Encrypt, Purpose::Decrypt].map(Purpose::name) {
            self.calls.with_label_values(&[operation, purpose, OK]);
            self.duration.with_label_values(&[operation, purpose]);
            for fault in Fault::ALL.map(Fault::name) {
                self.faults.with_label_values(&[operation, purpose, fault]);
            }
        }
    }

    /// The page.
    pub fn page(&self) -> String {
        // It only fails for metrics without a name or a value.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    /// A call that starts now.
    pub fn call(&self, operation: Option<Operation>, purpose: Option<Purpose>) -> Call<'_> {
        self.in_flight.inc();
        // Only known names, or any request could add a series.
        let operation = operation.map_or("other", Operation::name);
        let purpose = purpose.map_or("", Purpose::name);
        Call { metrics: self, labels: [operation, purpose], started: Instant::now(), ended: false }
    }
}

/// A call under way. One that is dropped was cancelled by its client, or by the end of the service.
pub(crate) struct Call<'a> {
    metrics: &'a Metrics,
    labels: [&'static str; 2],
    started: Instant,
    ended: bool,
}

impl Call<'_> {
    pub fn fault(&self, fault: Fault) {
        let [operation, purpose] = self.labels;
        self.metrics.faults.with_label_values(&[operation, purpose, fault.name()]).inc();
    }

    /// `ok`, or the name of an error.
    pub fn end(mut self, result: &str) {
        self.ended = true;
        let duration = self.metrics.duration.with_label_values(&self.labels);
        duration.observe(self.started.elapsed().as_secs_f64());
        self.count(result);
    }

    fn count(&self, result: &str) {
        let [operation, purpose] = self.labels;
        self.metrics.calls.with_label_values(&[operation, purpose, result]).inc();
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        // Counted first: what is no longer in flight has its result.
        if !self.ended {
            self.count("cancelled");
        }
        self.metrics.in_flight.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_codec_asks_for_is_counted_from_the_start() {
        let page = Metrics::new().unwrap().page();
        for purpose in ["encrypt", "decrypt"] {
            for line in [
                format!(
                    "calls_total{{operation=\"Decrypt\",purpose=\"{purpose}\",result=\"ok\"}} 0"
                ),
                format!(
                    "faults_total{{fault=\"throttle\",operation=\"Decrypt\",purpose=\"{purpose}\"}} 0"
                ),
                format!(
                    "call_duration_seconds_count{{operation=\"Decrypt\",purpose=\"{purpose}\"}} 0"
                ),
            ] {
                assert!(page.contains(&line), "{line} is missing in {page}");
            }
        }
    }
}
