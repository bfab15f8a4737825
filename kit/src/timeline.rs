//! What observed codecs do with their threads: the poll that each thread is in right now, and recent long
//! polls.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Shorter polls are not kept.
pub(crate) const LONG: Duration = Duration::from_millis(1);
/// How many polls are kept: at 80 bytes each, a third of a MiB.
pub(crate) const MOST: usize = 4096;

/// A poll of a codec's future that took 1 ms or longer, or that is still going on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LongPoll {
    /// `encode` or `decode`.
    pub operation: &'static str,
    /// When it started.
    pub started: SystemTime,
    /// How long it held its thread, or has so far.
    pub lasted: Duration,
    /// The payloads that the call was given.
    pub payloads: usize,
    /// The bytes of data in them.
    pub bytes: u64,
    /// The name of the thread, or its number where it has no name.
    pub thread: Arc<str>,
}

/// A call, as far as its polls are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallInfo {
    pub operation: &'static str,
    pub payloads: usize,
    pub bytes: u64,
}

/// The latest long polls. The oldest go first.
#[derive(Debug, Default)]
pub(crate) struct LongPolls(Mutex<VecDeque<LongPoll>>);

impl LongPolls {
    pub fn push(&self, call: CallInfo, began: Instant, lasted: Duration) {
        let CallInfo { operation, payloads, bytes } = call;
        let thread = HERE.with(|here| Arc::clone(&here.slot.thread));
        let started = moment(nanos(began));
        let mut polls = self.polls();
        if polls.len() == MOST {
            polls.pop_front();
        }
        polls.push_back(LongPoll { operation, started, lasted, payloads, bytes, thread });
    }

    /// Those that ended after `since`.
    pub fn since(&self, since: SystemTime) -> Vec<LongPoll> {
        self.polls().iter().filter(|poll| poll.started + poll.lasted > since).cloned().collect()
    }

    fn polls(&self) -> MutexGuard<'_, VecDeque<LongPoll>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one thread is doing, for other threads to read.
#[derive(Debug)]
struct Slot {
    thread: Arc<str>,
    /// When the current poll started; 0 between polls. Written last, so that the other fields are already
    /// valid.
    since: AtomicU64,
    decodes: AtomicBool,
    payloads: AtomicU64,
    bytes: AtomicU64,
}

/// Every thread that has polled an observed codec and still exists.
static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());
/// Times are counted from here, in nanoseconds: a poll has the same start while it runs and afterwards.
static START: LazyLock<(Instant, SystemTime)> =
    LazyLock::new(|| (Instant::now(), SystemTime::now()));

/// Never 0, which is no time.
fn nanos(at: Instant) -> u64 {
    at.saturating_duration_since(START.0).as_nanos() as u64 + 1
}

fn moment(nanos: u64) -> SystemTime {
    START.1 + Duration::from_nanos(nanos)
}

struct Here {
    slot: Arc<Slot>,
    /// The calls whose polls are under way: one observed codec may call another.
    calls: RefCell<Vec<(u64, CallInfo)>>,
}

thread_local! {
    static HERE: Here = {
        let current = thread::current();
        let name = current.name().map_or_else(|| format!("{:?}", current.id()), str::to_owned);
        let slot = Arc::new(Slot {
            thread: name.into(),
            since: AtomicU64::new(0),
            decodes: AtomicBool::new(false),
            payloads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let mut slots = slots();
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        Here { slot, calls: RefCell::default() }
    };
}

fn slots() -> MutexGuard<'static, Vec<Weak<Slot>>> {
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The poll of a call that runs on this thread until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay;

impl UnderWay {
    /// A poll that starts now.
    pub fn mark(call: CallInfo, began: Instant) -> Self {
        let since = nanos(began);
        HERE.with(|here| {
            here.calls.borrow_mut().push((since, call));
            here.slot.show(Some((since, call)));
        });
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // A thread that is exiting no longer has its slot.
        HERE.try_with(|here| {
            let mut calls = here.calls.borrow_mut();
            calls.pop();
            here.slot.show(calls.last().copied());
        })
        .ok();
    }
}

impl Slot {
    fn show(&self, now: Option<(u64, CallInfo)>) {
        let Some((since, call)) = now else {
            self.since.store(0, Ordering::Release);
            return;
        };
        self.decodes.store(call.operation == DECODE, Ordering::Relaxed);
        self.payloads.store(call.payloads as u64, Ordering::Relaxed);
        self.bytes.store(call.bytes, Ordering::Relaxed);
        self.since.store(since, Ordering::Release);
    }
}

pub(crate) const ENCODE: &str = "encode";
pub(crate) const DECODE: &str = "decode";

/// The polls of observed codecs that have not returned, on all threads of the process; each has lasted so long so
/// far, be it ever so short.
pub fn polls_under_way() -> Vec<LongPoll> {
    let poll = |Running { since, lasted, call, thread }| {
        let CallInfo { operation, payloads, bytes } = call;
        LongPoll { operation, started: moment(since), lasted, payloads, bytes, thread }
    };
    running().into_iter().map(poll).collect()
}

/// A poll that has not returned.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// Distinguishes it from every other poll of its thread.
    pub since: u64,
    pub lasted: Duration,
    pub call: CallInfo,
    pub thread: Arc<str>,
}

/// The polls that run right now, on all threads.
pub(crate) fn running() -> Vec<Running> {
    let slots: Vec<_> = slots().iter().filter_map(Weak::upgrade).collect();
    let now = nanos(Instant::now());
    slots
        .iter()
        .filter_map(|slot| {
            let since = slot.since.load(Ordering::Acquire);
            let call = CallInfo {
                operation: if slot.decodes.load(Ordering::Relaxed) { DECODE } else { ENCODE },
                payloads: slot.payloads.load(Ordering::Relaxed) as usize,
                bytes: slot.bytes.load(Ordering::Relaxed),
            };
            // Another poll may have started meanwhile.
            let same = since != 0 && slot.since.load(Ordering::Acquire) == since;
            let lasted = Duration::from_nanos(now.saturating_sub(since));
            let thread = Arc::clone(&slot.thread);
            same.then_some(Running { since, lasted, call, thread })
        })
        .collect()
}
