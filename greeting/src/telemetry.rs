//! Metrics that answer while the worker is stalled.
//!
//! The SDK's exporter runs on the runtime that starts it. On the worker's own, it would stop answering
//! exactly when there is something to see. So `/metrics` has a thread and a runtime of its own, which also
//! handles the signals that stop the worker.

mod lag;
mod server;
mod threads;
mod timeline;

use std::{net::SocketAddr, sync::Arc, thread};

use anyhow::Context;
use cli_kit::exit::Failure;
use temporalio_common::telemetry::{
    HistogramBucketOverrides, PrometheusExporterOptions, TelemetryOptions,
    metrics::{
        ACTIVITY_EXEC_LATENCY_HISTOGRAM_NAME, ACTIVITY_SCHED_TO_START_LATENCY_HISTOGRAM_NAME,
        CoreMeter, TemporalMeter, WORKFLOW_E2E_LATENCY_HISTOGRAM_NAME,
        WORKFLOW_TASK_EXECUTION_LATENCY_HISTOGRAM_NAME,
        WORKFLOW_TASK_REPLAY_LATENCY_HISTOGRAM_NAME,
        WORKFLOW_TASK_SCHED_TO_START_LATENCY_HISTOGRAM_NAME,
    },
    start_prometheus_metric_exporter, telemetry_init,
};
use tokio::{net::TcpListener, runtime, sync::oneshot};

pub use lag::{LagProbe, TICK};
pub use server::Labels;
pub use threads::BlockingThreads;
pub use timeline::Timeline;

/// Milliseconds, the SDK's default unit: 1 ms to 10 minutes in steps of at most a factor of 1.5, so that both
/// 10 ms and 3 minutes show. The SDK's own buckets end at 1 s or start at 100 ms, which hides what this
/// workshop is about.
const BUCKETS_MS: [f64; 35] = [
    1., 1.5, 2., 3., 5., 7., 10., 15., 20., 30., 50., 70., 100., 150., 200., 300., 500., 700., 1e3,
    1.5e3, 2e3, 3e3, 5e3, 7e3, 1e4, 1.5e4, 2e4, 3e4, 5e4, 7e4, 1e5, 1.5e5, 2e5, 3e5, 6e5,
];

const LATENCIES: [&str; 8] = [
    WORKFLOW_E2E_LATENCY_HISTOGRAM_NAME,
    WORKFLOW_TASK_SCHED_TO_START_LATENCY_HISTOGRAM_NAME,
    WORKFLOW_TASK_EXECUTION_LATENCY_HISTOGRAM_NAME,
    WORKFLOW_TASK_REPLAY_LATENCY_HISTOGRAM_NAME,
    ACTIVITY_SCHED_TO_START_LATENCY_HISTOGRAM_NAME,
    ACTIVITY_EXEC_LATENCY_HISTOGRAM_NAME,
    temporalio_client::REQUEST_LATENCY_HISTOGRAM_NAME,
    temporalio_client::LONG_REQUEST_LATENCY_HISTOGRAM_NAME,
];

/// A running `/metrics`, and what the SDK needs to report to it.
pub struct Telemetry {
    meter: Arc<dyn CoreMeter>,
    /// Where `/metrics` is served.
    pub address: SocketAddr,
    /// The metrics' own runtime. It stops when this struct is dropped.
    pub beside: runtime::Handle,
    _stop: oneshot::Sender<()>,
}

impl Telemetry {
    /// Serves `/metrics` at `address` (port 0: a free one) from a thread of its own. Each metric
    /// carries `labels`. With a probe, `/timeline` is served as well.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn start(
        address: SocketAddr,
        labels: Labels,
        probe: Option<LagProbe>,
    ) -> anyhow::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let beside = runtime.handle().clone();
        let (meter, address) = runtime.block_on(serve(address, labels, probe))?;
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name("telemetry".into()).spawn(move || {
            // Finishes when the sender is dropped, which the receiver sees as an error.
            runtime.block_on(stopped).ok();
        })?;
        Ok(Self { meter, address, beside, _stop: stop })
    }

    /// The telemetry options for the SDK's runtime.
    pub fn options(&self) -> TelemetryOptions {
        // No logger of its own: the SDK's events go to the subscriber of the process.
        TelemetryOptions::builder().metrics(Arc::clone(&self.meter)).build()
    }

    /// The meter for a client's request metrics.
    ///
    /// # Errors
    /// When the SDK's telemetry can't be set up.
    pub fn client_meter(&self) -> anyhow::Result<Option<TemporalMeter>> {
        // The SDK provides this meter, with its prefix and labels, only through an instance.
        Ok(telemetry_init(self.options())?.get_temporal_metric_meter())
    }
}

async fn serve(
    address: SocketAddr,
    labels: Labels,
    probe: Option<LagProbe>,
) -> anyhow::Result<(Arc<dyn CoreMeter>, SocketAddr)> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::environment(format!(
            "metrics can't be served at {address} ({error}): another worker or starter may still run \
             there; stop it, or choose another address with --metrics-address (port 0: a free one)"
        ))
    })?;
    // The SDK's registry is private: its exporter serves it on a port of its own, and ours merges the two
    // pages.
    let exporter = start_prometheus_metric_exporter(
        PrometheusExporterOptions::builder()
            .socket_addr(SocketAddr::from(([127, 0, 0, 1], 0)))
            .global_tags(labels.clone())
            .histogram_bucket_overrides(HistogramBucketOverrides {
                overrides: LATENCIES
                    .map(|name| (name.to_owned(), BUCKETS_MS.to_vec()))
                    .into_iter()
                    .collect(),
            })
            .build(),
    )
    .context("the SDK's metrics can't be exported")?;
    let address = listener.local_addr()?;
    tokio::spawn(server::serve(listener, exporter.bound_addr, labels, probe));
    Ok((exporter.meter, address))
}
