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
/// One that never pauses runs for a larger share of the time than this, even where forty want to run on a processor. One
/// that only looks at a clock now and then does not, and may queue each time.
const RUNS: f64 = 0.02;

/// For what share of that time each thread of this process ran, or queued for a processor, which does not depend on
/// how busy the machine is. Only threads that are there all the time and do something; none if the system does not
/// tell (Linux does).
pub fn busy_threads(time: Duration) -> Vec<f64> {
    let began = Instant::now();
    let spent = spent_by_threads(time);
    let wall = began.elapsed().as_secs_f64();
    let shares = spent.into_iter().filter_map(|(ran, queued)| {
        let [ran, queued] = [ran, queued].map(|time| time.as_secs_f64() / wall);
        // What is accounted for late may be from before.
        (ran > RUNS).then_some((ran + queued).min(1.0))
    });
    shares.collect()
}

/// How long each thread of this process ran, and queued for a processor, in that time. Only threads that are there all
/// the time.
fn spent_by_threads(time: Duration) -> Vec<(Duration, Duration)> {
    let before = all_scheduled();
    thread::sleep(time);
    let spent = all_scheduled().into_iter().filter_map(|(thread, (ran, queued))| {
        let (ran_before, queued_before) = before.get(&thread)?;
        Some((ran.checked_sub(*ran_before)?, queued.checked_sub(*queued_before)?))
    });
    spent.collect()
}

/// How long the process is watched to see whether it starves.
const WATCHED: Duration = Duration::from_millis(500);

/// Whether this process wants to compute and often can't. Not if it waits for something that never comes, which takes as
/// long on every machine.
pub fn is_starved() -> bool {
    starves(&spent_by_threads(WATCHED))
}

/// Whether threads that did this while they were watched queued for a third of the time that they were busy.
fn starves(spent: &[(Duration, Duration)]) -> bool {
    let ran: Duration = spent.iter().map(|(ran, _)| ran).sum();
    let queued: Duration = spent.iter().map(|(_, queued)| queued).sum();
    queued > ran / 2 && queued > WATCHED / 4
}

/// How long each thread of this process has run, and queued for a processor.
fn all_scheduled() -> HashMap<OsString, (Duration, Duration)> {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let scheduled = threads.filter_map(|thread| {
        let line = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        Some((thread.file_name(), ran_and_queued(&line)?))
    });
    scheduled.collect()
}

/// Does the work while so many threads never pause.
#[cfg(test)]
pub fn beside_spinning<T>(threads: usize, work: impl FnOnce() -> T) -> T {
    use std::{
        hint,
        sync::atomic::{AtomicBool, Ordering::Relaxed},
    };

    let enough = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !enough.load(Relaxed) {
                    hint::spin_loop();
                }
            });
        }
        let done = work();
        enough.store(true, Relaxed);
        done
    })
}

#[cfg(test)]
mod tests {
    use std::hint;

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
        let busy = beside_spinning(1, || busy_threads(LONG));
        if is_exact() {
            let never_pauses = busy.iter().filter(|share| **share > NEVER_PAUSES).count();
            // This thread slept. Other tests may run next to it.
            assert!((1..all_scheduled().len()).contains(&never_pauses), "{busy:?}");
        }
    }

    #[test]
    fn a_process_starves_if_others_leave_it_no_processor() {
        let [none, half, all] = [Duration::ZERO, WATCHED / 2, WATCHED];
        assert!(starves(&[(none, none), (half, half)]));
        assert!(starves(&[(none, all)]));
        // It computes, or it waits.
        assert!(!starves(&[(all, none), (all, WATCHED / 8)]));
        assert!(!starves(&[(none, none), (WATCHED / 100, WATCHED / 100)]));
    }
}
