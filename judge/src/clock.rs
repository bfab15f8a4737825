//! What a thread did with its time: slept, computed, or queued for a processor. On a busy machine a poll
//! takes long because its thread queues. That is not the codec's fault, so it is not counted here.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

/// What a thread did between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Time in which it neither ran nor wanted to run.
    pub asleep: Duration,
    /// Ran.
    pub computing: Duration,
}

impl Spent {
    /// The longer of the two in each.
    pub fn max(self, other: Self) -> Self {
        Self {
            asleep: self.asleep.max(other.asleep),
            computing: self.computing.max(other.computing),
        }
    }
}

/// A point in time, for the calling thread.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: Instant,
    ran: Duration,
    queued: Duration,
    sleeps: Option<i64>,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let (ran, queued) = scheduled().unwrap_or_default();
        Self { at: Instant::now(), ran, queued, sleeps: sleeps() }
    }

    /// The wall time since then, including queueing.
    pub fn wall(&self) -> Duration {
        self.at.elapsed()
    }

    /// What this thread has done since then. Call it on the same thread. If the system does not account for
    /// thread time, all of it counts as sleep.
    pub fn spent(&self) -> Spent {
        let now = Self::now();
        let computing = now.ran.saturating_sub(self.ran);
        let queued = now.queued.saturating_sub(self.queued);
        // If the thread never went to sleep, a virtual machine's processor was suspended.
        let slept = now.sleeps.is_none() || now.sleeps != self.sleeps;
        let asleep = (now.at - self.at).saturating_sub(computing + queued);
        Spent { asleep: if slept { asleep } else { Duration::ZERO }, computing }
    }
}

/// How often this thread went to sleep voluntarily, if the system counts that.
#[cfg(target_os = "linux")]
fn sleeps() -> Option<i64> {
    use nix::sys::resource::{UsageWho, getrusage};
    Some(getrusage(UsageWho::RUSAGE_THREAD).ok()?.voluntary_context_switches())
}

#[cfg(not(target_os = "linux"))]
fn sleeps() -> Option<i64> {
    None
}

/// Whether this system accounts for what a thread does with its time.
pub fn is_exact() -> bool {
    scheduled().is_some()
}

/// How long this thread has run, and how long it has queued for a processor, since its start, as Linux
/// reports it: <https://docs.kernel.org/scheduler/sched-stats.html>. The first figure may be one tick old, up
/// to 10 ms.
fn scheduled() -> Option<(Duration, Duration)> {
    thread_local! {
        // Open for as long as the thread lives: opening it takes longer than reading it.
        static FILE: Option<File> = File::open("/proc/thread-self/schedstat").ok();
    }
    let mut line = [0; 64];
    let length = FILE.with(|file| file.as_ref()?.read_at(&mut line, 0).ok())?;
    let mut figures = str::from_utf8(&line[..length]).ok()?.split_ascii_whitespace();
    let mut next = || figures.next()?.parse().ok().map(Duration::from_nanos);
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use std::{hint, thread};

    use super::*;

    #[test]
    fn sleep_and_computing_are_told_apart() {
        const LONG: Duration = Duration::from_millis(60);
        let since = Moment::now();
        thread::sleep(LONG);
        assert!(since.spent().asleep > LONG / 2, "{:?}", since.spent());
        if scheduled().is_none() {
            return;
        }
        assert!(since.spent().computing < LONG / 2, "{:?}", since.spent());

        let since = Moment::now();
        while since.spent().computing < LONG {
            hint::spin_loop();
        }
        assert!(since.spent().asleep < LONG / 2, "{:?}", since.spent());
    }
}
