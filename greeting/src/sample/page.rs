//! What a worker's `/metrics` and `/timeline` say at one moment.

use std::{
    convert::Infallible,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use cli_kit::http::Http;
use live_page::Segment;
use prometheus_parse::{Scrape, Value};
use tokio::{
    task::spawn_blocking,
    time::{self, MissedTickBehavior, interval_at},
};

use super::histogram::Histogram;
use crate::{telemetry::Timeline, totals::Totals};

/// How often a sample is taken.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// The metrics that are read. The page has thousands of lines, and parsing them all, in a debug
/// build, would take from the worker what is measured of it.
const READ: [&str; 16] = [
    "codec_longest_poll_seconds",
    "codec_poll_seconds_sum",
    "codec_call_seconds_sum",
    "codec_call_seconds_count",
    "workshop_lag_current_seconds",
    "workshop_lag_longest_seconds",
    "workshop_lag_seconds_sum",
    "workshop_lag_seconds_count",
    "process_",
    "codec_in_flight",
    "workshop_blocking_threads",
    "temporal_workflow_task_schedule_to_start_latency_bucket",
    "temporal_workflow_endtoend_latency_bucket",
    "temporal_workflow_completed",
    "temporal_request_failure",
    "temporal_activity_execution_latency_count",
];

/// What one scrape tells. Counts and sums are those since the worker's start.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Since the sampling began.
    pub at: Duration,
    /// The longest time that the codec held a thread, encoding or decoding; `None` if it is not
    /// observed.
    pub longest_poll: Option<f64>,
    /// What the calls to encode took in all.
    pub encode: Totals,
    /// What the calls to decode took in all.
    pub decode: Totals,
    /// Workflows that completed.
    pub completed: u64,
    /// Activities that were executed since the first sample.
    pub activities: u64,
    /// The probe in the worker's own task.
    pub worker: Lag,
    /// The probe beside the worker's task.
    pub beside: Lag,
    /// Workflow tasks that the server no longer knew when the worker completed them.
    pub not_found: u64,
    /// Threads of the process; `None` where the system does not tell (it does on Linux).
    pub threads: Option<u64>,
    /// Memory of the process, in bytes; `None` where the system does not tell.
    pub memory: Option<u64>,
    /// Calls of the codec that have begun and not returned; `None` if it is not observed.
    pub calls_in_flight: Option<f64>,
    /// Threads of the blocking pool.
    pub blocking_threads: Option<f64>,
    /// How long workflow tasks waited on the server.
    pub schedule_to_start: Histogram,
    /// How long workflows took.
    pub end_to_end: Histogram,
    /// What held the worker's thread since the sample before, in seconds since the sampling began. What held it
    /// then and still does comes again.
    pub thread: Vec<Segment>,
}

/// What one lag probe tells, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// The tick that is due now.
    pub current: f64,
    /// The longest so far.
    pub longest: f64,
    /// The sum of all.
    pub sum: f64,
    /// How many ticks.
    pub count: f64,
}

impl Sample {
    /// Seconds for which the codec has blocked a thread so far.
    pub fn blocked(&self) -> f64 {
        self.encode.blocking_seconds + self.decode.blocking_seconds
    }

    /// The mean lag of the ticks since `before`, in seconds, or that of the tick that is due, if that is worse.
    pub fn lag_since(&self, before: &Self) -> f64 {
        let ticks = self.worker.count - before.worker.count;
        let mean = if ticks > 0.0 { (self.worker.sum - before.worker.sum) / ticks } else { 0.0 };
        mean.max(self.worker.current)
    }
}

/// Samples one worker.
#[derive(Debug)]
pub struct Scraper {
    http: Http,
    metrics: SocketAddr,
    began: Instant,
    /// When it began, in seconds since 1970.
    epoch: f64,
    /// When the worker last told its timeline, in seconds since 1970.
    told: f64,
    /// The activities that were executed before the first sample.
    before: Option<u64>,
    slowest: Duration,
}

impl Scraper {
    /// For a worker that serves its metrics there. Now is time 0.
    pub fn new(metrics: SocketAddr) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch = now.as_secs_f64();
        Self {
            http: Http::default(),
            metrics,
            began: Instant::now(),
            epoch,
            told: epoch,
            before: None,
            slowest: Duration::ZERO,
        }
    }

    /// The slowest answer of `/metrics` so far.
    pub fn slowest(&self) -> Duration {
        self.slowest
    }

    /// Samples every half second, the first time half a second from now, forever. A sample that fails is left out.
    pub async fn each(&mut self, mut seen: impl FnMut(Sample)) -> Infallible {
        let mut ticks = interval_at(time::Instant::now() + SAMPLE_INTERVAL, SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.sample().await {
                Ok(sample) => seen(sample),
                Err(error) => tracing::debug!(%error, "a scrape got no answer"),
            }
        }
    }

    /// The next sample.
    ///
    /// # Errors
    /// When the worker does not answer.
    pub async fn sample(&mut self) -> anyhow::Result<Sample> {
        let asked = Instant::now();
        let page = self.page("metrics".to_owned()).await;
        self.slowest = self.slowest.max(asked.elapsed());
        let mut sample = parse(&page?)?;
        sample.activities -= *self.before.get_or_insert(sample.activities);
        let timeline = self.page(format!("timeline?since={}", self.told)).await?;
        let Timeline { now, segments } = serde_json::from_str(&timeline)?;
        self.told = now;
        let since_began = |at: f64| at - self.epoch;
        sample.thread = segments
            .into_iter()
            .map(|it| Segment { from: since_began(it.from), to: since_began(it.to), ..it })
            .filter(|segment| segment.to > 0.0)
            .collect();
        sample.at = self.began.elapsed();
        Ok(sample)
    }

    /// A page of the worker. The client blocks.
    async fn page(&self, path: String) -> anyhow::Result<String> {
        let (http, url) = (self.http.clone(), format!("http://{}/{path}", self.metrics));
        spawn_blocking(move || http.page(&url)).await?
    }
}

fn parse(page: &str) -> anyhow::Result<Sample> {
    let lines = page.lines().filter(|line| READ.iter().any(|read| line.starts_with(read)));
    let scrape = Scrape::parse(lines.map(|line| Ok(line.to_owned())))?;
    let mut sample = Sample::default();
    for found in &scrape.samples {
        let label = |name| found.labels.get(name);
        let lag = match label("probe") {
            Some("worker") => Some(&mut sample.worker),
            Some("beside") => Some(&mut sample.beside),
            _ => None,
        };
        let totals = match label("operation") {
            Some("encode") => &mut sample.encode,
            _ => &mut sample.decode,
        };
        let value = match &found.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
            Value::Histogram(_) | Value::Summary(_) => continue,
        };
        match (found.metric.as_str(), lag) {
            ("codec_longest_poll_seconds", _) => {
                sample.longest_poll = Some(sample.longest_poll.unwrap_or_default().max(value));
            }
            ("codec_poll_seconds_sum", _) => totals.blocking_seconds = value,
            ("codec_call_seconds_sum", _) => totals.call_seconds = value,
            ("codec_call_seconds_count", _) => totals.calls = value as u64,
            ("temporal_workflow_completed", _) => sample.completed += value as u64,
            ("temporal_activity_execution_latency_count", _) => sample.activities += value as u64,
            ("workshop_lag_current_seconds", Some(lag)) => lag.current = value,
            ("workshop_lag_longest_seconds", Some(lag)) => lag.longest = value,
            ("workshop_lag_seconds_sum", Some(lag)) => lag.sum = value,
            ("workshop_lag_seconds_count", Some(lag)) => lag.count = value,
            ("codec_in_flight", _) => {
                sample.calls_in_flight = Some(sample.calls_in_flight.unwrap_or_default() + value);
            }
            ("workshop_blocking_threads", _) => sample.blocking_threads = Some(value),
            ("temporal_workflow_task_schedule_to_start_latency_bucket", _) => {
                sample.schedule_to_start.add(label("le").unwrap_or_default(), value);
            }
            ("temporal_workflow_endtoend_latency_bucket", _) => {
                sample.end_to_end.add(label("le").unwrap_or_default(), value);
            }
            ("process_threads", _) => sample.threads = Some(value as u64),
            ("process_resident_memory_bytes", _) => sample.memory = Some(value as u64),
            ("temporal_request_failure", _)
                if label("operation") == Some("RespondWorkflowTaskCompleted")
                    && label("status_code") == Some("NOT_FOUND") =>
            {
                sample.not_found += value as u64;
            }
            _ => {}
        }
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let sample = parse(
            r#"# TYPE codec_longest_poll_seconds gauge
codec_longest_poll_seconds{operation="decode"} 0.001
codec_longest_poll_seconds{operation="encode"} 0.4
# TYPE codec_poll_seconds histogram
codec_poll_seconds_bucket{operation="encode",le="+Inf"} 3
codec_poll_seconds_sum{operation="encode"} 0.8
codec_poll_seconds_count{operation="encode"} 3
codec_call_seconds_count{operation="encode"} 3
temporal_activity_execution_latency_count{activity_type="greet"} 12
# TYPE workshop_lag_current_seconds gauge
workshop_lag_current_seconds{probe="worker"} 1.5
workshop_lag_longest_seconds{probe="beside"} 2.5
# TYPE temporal_request_failure counter
temporal_request_failure{operation="RespondWorkflowTaskCompleted",status_code="NOT_FOUND"} 7
temporal_request_failure{operation="RespondWorkflowTaskCompleted",status_code="UNAVAILABLE"} 9
process_threads 4
"#,
        )
        .unwrap();
        assert_eq!(sample.longest_poll, Some(0.4));
        assert_eq!(sample.blocked(), 0.8);
        assert_eq!((sample.encode.calls, sample.activities), (3, 12));
        assert_eq!((sample.worker.current, sample.beside.longest), (1.5, 2.5));
        assert_eq!((sample.not_found, sample.threads, sample.memory), (7, Some(4), None));
    }
    #[test]
    fn lag_is_the_mean_of_the_ticks_or_the_one_that_is_due() {
        let sample = |current, sum, count| Sample {
            worker: Lag { current, sum, count, ..Lag::default() },
            ..Sample::default()
        };
        assert_eq!(sample(0.1, 2.0, 12.0).lag_since(&sample(0.0, 1.0, 10.0)), 0.5);
        assert_eq!(sample(3.0, 1.0, 10.0).lag_since(&sample(0.0, 1.0, 10.0)), 3.0);
    }
}
