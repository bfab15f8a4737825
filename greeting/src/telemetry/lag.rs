//! How late a Tokio task runs.
//!
//! A probe asks to be woken every 10 ms, and measures how much later it runs. What it sees depends on where
//! it runs. Joined into the worker's main Tokio task, it is late whenever that task is blocked. As a separate
//! task, it is late only when every thread of the runtime is blocked.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use prometheus::{
    Gauge, Histogram, HistogramOpts, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// How often a probe asks to be woken.
pub const TICK: Duration = Duration::from_millis(10);
/// A tick that is later than this says that the thread ran something else for long: one late timer of a busy
/// machine does not.
const LATE: Duration = Duration::from_millis(5);
/// So many late ticks are kept: half a minute of them, if all are late.
const MOST: usize = 2000;
/// Seconds.
const BUCKETS: [f64; 18] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1., 2., 5., 10., 20., 60., 120.,
    180.,
];

/// A lag probe, exported with the label `probe`:
///
/// | metric | type | unit | what |
/// | --- | --- | --- | --- |
/// | `workshop_lag_seconds` | histogram | seconds | how late each tick of the probe was |
/// | `workshop_lag_current_seconds` | gauge | seconds | how late the tick is that is due now: it grows while the runtime is held |
/// | `workshop_lag_longest_seconds` | gauge | seconds | the longest lag so far |
#[derive(Clone)]
pub struct LagProbe(Arc<Inner>);

struct Inner {
    started: (Instant, SystemTime),
    /// When the next tick is due, in nanoseconds since `started`.
    due: AtomicU64,
    /// When each of the latest late ticks was due, and when it came; in the same unit.
    late: Mutex<VecDeque<(u64, u64)>>,
    longest: AtomicU64,
    lag: Histogram,
    current_gauge: Gauge,
    longest_gauge: Gauge,
}

impl LagProbe {
    /// A probe with that name, in the default registry. It does nothing until it [runs](Self::run).
    ///
    /// # Errors
    /// When there is a probe of that name already.
    pub fn register(name: &str) -> prometheus::Result<Self> {
        let opts = |metric, help| Opts::new(metric, help).const_label("probe", name);
        let lag = opts("workshop_lag_seconds", "How late each tick of the probe was");
        let probe = Self(Arc::new(Inner {
            started: (Instant::now(), SystemTime::now()),
            due: AtomicU64::new(u64::MAX),
            late: Mutex::default(),
            longest: AtomicU64::new(0),
            lag: Histogram::with_opts(HistogramOpts::from(lag).buckets(BUCKETS.into()))?,
            current_gauge: Gauge::with_opts(opts(
                "workshop_lag_current_seconds",
                "How late the probe's tick is that is due now",
            ))?,
            longest_gauge: Gauge::with_opts(opts(
                "workshop_lag_longest_seconds",
                "Longest lag of the probe so far",
            ))?,
        }));
        prometheus::default_registry().register(Box::new(probe.clone()))?;
        Ok(probe)
    }

    /// When each late tick was due and when it came: of those that came after `since`. A tick that is due and
    /// has not come is the last one, as if it came now.
    pub fn late(&self, since: SystemTime) -> Vec<(SystemTime, SystemTime)> {
        let inner = &self.0;
        let mut late: Vec<_> = inner.late().iter().copied().collect();
        if inner.current() >= LATE {
            late.push((inner.due.load(Relaxed), inner.nanos(Instant::now())));
        }
        let moment = |nanos| inner.started.1 + Duration::from_nanos(nanos);
        let moments = late.into_iter().map(|(due, came)| (moment(due), moment(came)));
        moments.filter(|(_, came)| *came > since).collect()
    }

    /// Ticks forever.
    pub async fn run(self) {
        loop {
            let due = Instant::now() + TICK;
            let due_nanos = self.0.nanos(due);
            self.0.due.store(due_nanos, Relaxed);
            tokio::time::sleep(TICK).await;
            let late = due.elapsed();
            if late >= LATE {
                self.0.note(due_nanos, due_nanos + nanos(late));
            }
            self.0.lag.observe(late.as_secs_f64());
            self.0.longest.fetch_max(nanos(late), Relaxed);
        }
    }
}

impl Inner {
    fn nanos(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.started.0))
    }

    fn note(&self, due: u64, came: u64) {
        let mut late = self.late();
        if late.len() == MOST {
            late.pop_front();
        }
        late.push_back((due, came));
    }

    fn late(&self) -> MutexGuard<'_, VecDeque<(u64, u64)>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How late the tick is that is due now. The thread that serves metrics asks for it, so a stall shows
    /// before it is over.
    fn current(&self) -> Duration {
        let now = self.nanos(Instant::now());
        Duration::from_nanos(now.saturating_sub(self.due.load(Relaxed)))
    }
}

impl Collector for LagProbe {
    fn desc(&self) -> Vec<&Desc> {
        let Inner { lag, current_gauge, longest_gauge, .. } = &*self.0;
        [lag.desc(), current_gauge.desc(), longest_gauge.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Inner { lag, current_gauge, longest_gauge, longest, .. } = &*self.0;
        let current = self.0.current();
        let longest = Duration::from_nanos(longest.load(Relaxed)).max(current);
        current_gauge.set(current.as_secs_f64());
        longest_gauge.set(longest.as_secs_f64());
        [lag.collect(), current_gauge.collect(), longest_gauge.collect()].concat()
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
