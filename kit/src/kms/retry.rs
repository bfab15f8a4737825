//! When a call is made again, and when not.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::error::KmsError;

/// How often a call is repeated at most.
const RETRIES: u32 = 2;
/// The first pause is at most so long, the second at most twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// How often a client asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Calls.
    pub calls: u64,
    /// Requests beyond the first of a call.
    pub retries: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    calls: AtomicU64,
    retries: AtomicU64,
}

impl Counter {
    pub fn attempts(&self) -> Attempts {
        Attempts { calls: self.calls.load(Relaxed), retries: self.retries.load(Relaxed) }
    }
}

/// One call: how much time it has, and how often it was tried.
pub(super) struct Budget<'a> {
    counter: &'a Counter,
    deadline: Instant,
    made: u32,
}

impl<'a> Budget<'a> {
    pub fn new(counter: &'a Counter, timeout: Duration) -> Self {
        counter.calls.fetch_add(1, Relaxed);
        Self { counter, deadline: Instant::now() + timeout, made: 1 }
    }

    /// When the call has to be done.
    #[cfg(feature = "kms-async")]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time that is left, for a client that can't wait for zero time.
    #[cfg(feature = "kms-blocking")]
    pub fn left(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        left.max(Duration::from_millis(1))
    }

    /// The pause before the next attempt.
    ///
    /// # Errors
    /// The error itself, if there is to be no other attempt.
    pub fn again(&mut self, error: KmsError) -> Result<Duration, KmsError> {
        // A random share of the whole pause: clients that failed together must not come back together.
        let most = PAUSE * 2_u32.pow(self.made - 1);
        let pause = most.mul_f64(fastrand::f64());
        let is_late = Instant::now() + pause >= self.deadline;
        if self.made > RETRIES || is_late || !error.is_transient() {
            return Err(error.after(self.made));
        }
        self.made += 1;
        self.counter.retries.fetch_add(1, Relaxed);
        Ok(pause)
    }
}
