//! How many threads Tokio's blocking pool has.
//!
//! Tokio counts them itself, but reports the count only if built with `tokio_unstable`. It does report when a
//! thread of the runtime starts and stops, and how many threads are the runtime's own is known from its
//! configuration.

use prometheus::IntGauge;
use tokio::runtime;

/// Exports `workshop_blocking_threads`, a gauge: threads of the blocking pool that exist now, including idle
/// ones. These stop after ten seconds, Tokio's default.
pub struct BlockingThreads(IntGauge);

impl BlockingThreads {
    /// Registers the gauge in the default registry.
    ///
    /// # Errors
    /// When it is there already.
    pub fn register() -> prometheus::Result<Self> {
        let help = "Threads of tokio's blocking pool that exist now";
        let gauge = IntGauge::new("workshop_blocking_threads", help)?;
        prometheus::default_registry().register(Box::new(gauge.clone()))?;
        Ok(Self(gauge))
    }

    /// Counts the threads of the runtime that `builder` builds. `own` of them run its tasks and do not belong
    /// to the pool: 0 with current_thread, whose tasks run on the caller's thread.
    pub fn count(self, builder: &mut runtime::Builder, own: usize) {
        let Self(gauge) = self;
        gauge.sub(i64::try_from(own).unwrap_or(i64::MAX));
        let started = gauge.clone();
        builder.on_thread_start(move || started.inc()).on_thread_stop(move || gauge.dec());
    }
}
