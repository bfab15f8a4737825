//! What a thread did with its time: slept, computed, or queued for a processor. On a busy machine a poll
//! takes long because its thread queues. That is not the codec's fault, so it is not counted here.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::FileExt,
    thread,
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
    ran_and_queued(str::from_utf8(&line[..length]).ok()?)
}

fn ran_and_queued(line: &str) -> Option<(Duration, Duration)> {
    let mut figures = line.split_ascii_whitespace();
    let mut next = || figures.next()?.parse().ok().map(Duration::from_nanos);
    Some((next()?, next()?))
}

/// A thread that never pauses is busy for all of the time, but the system is late to count how long one has queued for a
/// processor. A thread that waits is hardly ever busy.
pub const NEVER_PAUSES: f64 = 0.7;

/// For what share of that time each thread of this process ran, or queued for a processor, which does not depend on
/// how busy the machine is. Only threads that are there all the time; none if the system does not tell (Linux does).
pub fn busy_threads(time: Duration) -> Vec<f64> {
    let (began, before) = (Instant::now(), wanted_to_run());
    thread::sleep(time);
    let after = wanted_to_run();
    let wall = began.elapsed();
    let spent = after.into_iter().filter_map(|(thread, wanted)| {
        let spent = wanted.checked_sub(*before.get(&thread)?)?;
        // What is accounted for late may be from before.
        Some((spent.as_secs_f64() / wall.as_secs_f64()).min(1.0))
    });
    spent.collect()
}

/// How long each thread of this process has run, or queued for a processor.
fn wanted_to_run() -> HashMap<OsString, Duration> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let wanted = threads.filter_map(|thread| {
        let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let (ran, queued) = ran_and_queued(&line)?;
        Some((thread.file_name(), ran + queued))
    });
    wanted.collect()
}

#[cfg(test)]
mod tests {
    use std::{
        hint,
        sync::atomic::{AtomicBool, Ordering::Relaxed},
    };

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

    #[test]
    fn a_thread_that_never_pauses_is_busy_and_one_that_waits_is_not() {
        const LONG: Duration = Duration::from_millis(300);
        static ENOUGH: AtomicBool = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ENOUGH.load(Relaxed) {
                    hint::spin_loop();
                }
            });
            let busy = busy_threads(LONG);
            ENOUGH.store(true, Relaxed);
            if is_exact() {
                assert!(busy.iter().any(|share| *share > NEVER_PAUSES), "{busy:?}");
                // This one slept.
                assert!(busy.iter().any(|share| *share < NEVER_PAUSES), "{busy:?}");
            }
        });
    }
}
