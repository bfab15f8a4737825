//! Reports which codec call blocks a thread, while it is still blocking.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use prometheus::{IntCounterVec, Opts};

use crate::timeline::{self, CallInfo, Running};

/// How many times a watchdog looks within its threshold.
const LOOKS: u32 = 4;
/// At most one warning in this time; the others are only counted.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(1);

/// A poll that has held its thread for longer than the watchdog's threshold, and has not returned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// `encode` or `decode`.
    pub operation: &'static str,
    /// The payloads that the call was given.
    pub payloads: usize,
    /// The bytes of data in them.
    pub bytes: u64,
    /// The thread that it blocks.
    pub thread: Arc<str>,
    /// For how long so far.
    pub so_far: Duration,
    /// Stalls since the last report that were counted and not reported.
    pub unreported: u64,
}

/// As in "encode of 2 payloads (312 bytes) has blocked thread main for 104 ms and still does".
impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, payloads, bytes, thread, so_far, unreported } = self;
        let payloads = match payloads {
            1 => "1 payload".to_owned(),
            many => format!("{many} payloads"),
        };
        let ms = so_far.as_millis();
        write!(
            f,
            "{operation} of {payloads} ({bytes} bytes) has blocked thread {thread} for {ms} ms and \
             still does"
        )?;
        match unreported {
            0 => Ok(()),
            1 => write!(f, "; 1 more stall since the last warning"),
            more => write!(f, "; {more} more stalls since the last warning"),
        }
    }
}

/// Watches every codec in [`Observed`](crate::Observed) from a thread of its own. A poll that holds its
/// thread for too long is reported once, while it is still running, with at most one report per second. All
/// such polls are counted.
///
/// When the watchdog itself wakes up late, the machine is to blame and nothing is reported.
///
/// Dropping it ends its thread.
#[derive(Debug)]
pub struct Watchdog {
    stalls: IntCounterVec,
    /// Dropped to end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// A threshold that no healthy poll reaches and that people notice: 100 ms.
    pub const THRESHOLD: Duration = Duration::from_millis(100);

    /// Logs a warning for polls that hold their thread for longer than `threshold`.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn start(threshold: Duration) -> io::Result<Self> {
        Self::reporting(threshold, |stall| tracing::warn!("{stall}"))
    }

    /// Reports them to `report`, which runs on the watchdog's thread.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn reporting(
        threshold: Duration,
        report: impl Fn(&Stall) + Send + 'static,
    ) -> io::Result<Self> {
        let opts = Opts::new(
            "codec_stalls_total",
            "Polls of the codec that held their thread for longer than the watchdog's threshold",
        );
        let stalls = IntCounterVec::new(opts, &["operation"])
            .expect("the metric's name and label are constants, and valid");
        let (stop, stopped) = mpsc::channel();
        let counted = stalls.clone();
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            let mut watch = Watch {
                threshold,
                stalls: counted,
                seen: HashMap::new(),
                last: None,
                unreported: 0,
            };
            let interval = threshold / LOOKS;
            loop {
                let asleep = Instant::now();
                if stopped.recv_timeout(interval) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
                let on_time = asleep.elapsed() < interval * 2;
                watch.look(on_time, &report);
            }
        })?;
        Ok(Self { stalls, stop: Some(stop), thread: Some(thread) })
    }

    /// `codec_stalls_total`, with the label `operation`. You can register it anywhere.
    pub fn stalls(&self) -> IntCounterVec {
        self.stalls.clone()
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// What the watchdog's thread knows.
struct Watch {
    threshold: Duration,
    stalls: IntCounterVec,
    /// The polls that ran at the last look, by thread: in how many looks they were seen, and whether they
    /// were counted.
    seen: HashMap<(Arc<str>, u64), (u32, bool)>,
    /// The last warning.
    last: Option<Instant>,
    unreported: u64,
}

impl Watch {
    fn look(&mut self, on_time: bool, report: &impl Fn(&Stall)) {
        let mut seen = HashMap::new();
        for running in timeline::running() {
            let key = (Arc::clone(&running.thread), running.since);
            let (looks, counted) = self.seen.get(&key).copied().unwrap_or_default();
            // A late look says something about the machine, not about the poll.
            let looks = if on_time { looks + 1 } else { looks };
            let stalls = looks >= LOOKS - 1 && running.lasted >= self.threshold;
            if stalls && !counted {
                self.count(running, report);
            }
            seen.insert(key, (looks, counted || stalls));
        }
        self.seen = seen;
    }

    fn count(&mut self, running: Running, report: &impl Fn(&Stall)) {
        let Running { lasted: so_far, call, thread, .. } = running;
        let CallInfo { operation, payloads, bytes } = call;
        self.stalls.with_label_values(&[operation]).inc();
        if self.last.is_some_and(|last| last.elapsed() < BETWEEN_WARNINGS) {
            self.unreported += 1;
            return;
        }
        self.last = Some(Instant::now());
        let unreported = std::mem::take(&mut self.unreported);
        report(&Stall { operation, payloads, bytes, thread, so_far, unreported });
    }
}
