//! What a command reports of its worker.

use serde::{Deserialize, Serialize};

/// What is known of a run at one moment. `None` is unknown; the page shows a gap.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Frame {
    /// Seconds since the run began.
    pub at: f64,
    /// Workflows that have completed so far.
    pub workflows_done: u32,
    /// Activities that have completed so far.
    pub activities_done: u64,
    /// Whether something measures the codec. Without that, the timeline shows only busy and free.
    pub codec_measured: bool,
    /// What the worker's thread did: what is new since the last frame. A segment that has not ended may be
    /// sent again with the same `from` and a later `to`. Where segments overlap, the codec counts.
    #[serde(skip)] // kept apart from the frames, see `history`
    pub thread: Vec<Segment>,
    /// Lag of the worker's main task, in seconds.
    pub lag_worker: Option<f64>,
    /// Lag of a separate task, in seconds.
    pub lag_beside: Option<f64>,
    /// 95th percentile of the workflow tasks' schedule-to-start latency, in seconds.
    pub schedule_to_start_p95: Option<f64>,
    /// 95th percentile of the workflows' end-to-end latency, in seconds.
    pub end_to_end_p95: Option<f64>,
    /// Codec calls that have begun and not returned.
    pub calls_in_flight: Option<u32>,
    /// Threads of the runtime's blocking pool.
    pub blocking_threads: Option<u32>,
    /// Workflow tasks that were answered too late, so far: the server no longer knew them.
    pub not_found: u64,
}

/// A time in which the worker's thread did something. In the times between segments it was free.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// When it began, in seconds since the run began.
    pub from: f64,
    /// When it ended, or how long it has lasted so far.
    pub to: f64,
    /// What the thread did.
    pub doing: Doing,
}

/// What the worker's thread did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// The codec blocked it, encoding.
    Encode,
    /// The codec blocked it, decoding.
    Decode,
    /// It ran something else.
    Busy,
}

/// As `[from, to, "encode"]`: there are thousands.
impl Serialize for Segment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millionths = |seconds: f64| (seconds * 1e6).round() / 1e6;
        (millionths(self.from), millionths(self.to), self.doing).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (from, to, doing) = Deserialize::deserialize(deserializer)?;
        Ok(Self { from, to, doing })
    }
}

impl Frame {
    /// Two neighbours as one: the later, with the peaks of both, so that a peak stays visible.
    pub(crate) fn joined(earlier: &Self, later: Self) -> Self {
        fn most<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(if a > b { a } else { b }),
                (a, b) => a.or(b),
            }
        }
        Self {
            lag_worker: most(earlier.lag_worker, later.lag_worker),
            lag_beside: most(earlier.lag_beside, later.lag_beside),
            schedule_to_start_p95: most(earlier.schedule_to_start_p95, later.schedule_to_start_p95),
            end_to_end_p95: most(earlier.end_to_end_p95, later.end_to_end_p95),
            calls_in_flight: most(earlier.calls_in_flight, later.calls_in_flight),
            blocking_threads: most(earlier.blocking_threads, later.blocking_threads),
            ..later
        }
    }
}
