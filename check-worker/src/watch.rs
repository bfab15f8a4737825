//! Watches one worker: a page each second, a close-up where it helps, and an early end if the answer is
//! clear.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    anonymous::Anonymous,
    family::{Kinship, Overrides},
    fetch::Fetcher,
    finding::Sureness,
    findings::{decide, wants_close_up},
    model::Model,
    recording::Recorder,
    tracker::Tracker,
};

/// Before that, no answer is clear.
const EARLIEST: Duration = Duration::from_secs(10);
/// When the first close-up may start.
const CLOSE_UP_FROM: Duration = Duration::from_secs(6);
/// Between two pages of a close-up.
const CLOSE: Duration = Duration::from_millis(20);
/// A close-up ends at the latest after so long.
const CLOSE_UP_FOR: Duration = Duration::from_secs(8);
/// It has at least so many pages.
const FEWEST_CLOSE: usize = 150;
/// Between two close-ups.
const REST: Duration = Duration::from_secs(6);
/// An address that fails so often from the start is not tried again.
const FAILURES: usize = 3;
/// How often it checks whether to stop.
const GLANCE: Duration = Duration::from_millis(50);

/// How to watch.
#[derive(Clone, Debug)]
pub struct Watching {
    /// How long.
    pub length: Duration,
    /// Between two pages.
    pub every: Duration,
    /// What the user specified about the pages.
    pub overrides: Overrides,
}

/// Where the pages come from, and where they are written.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The address.
    pub url: &'a str,
    /// The client.
    pub fetcher: &'a Fetcher,
    /// Writes each page, if asked to.
    pub recorder: Option<&'a Recorder>,
    /// Hashes names, if asked to.
    pub anonymous: Option<&'a Anonymous>,
    /// Held while a page is read: of a large fleet's pages, only so many are in memory at a time.
    pub turn: &'a Mutex<()>,
}

impl Source<'_> {
    fn take(&self, tracker: &mut Tracker) -> anyhow::Result<()> {
        let mut raw = self.fetcher.raw(self.url);
        if let Some(anonymous) = self.anonymous {
            raw.hide(anonymous);
        }
        if let Some(recorder) = self.recorder {
            recorder.write(raw.line, raw.body.as_deref().unwrap_or_default())?;
        }
        // A panic in another thread leaves nothing behind that matters here.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        tracker.push(&raw.read());
        Ok(())
    }
}

/// Watches the worker at an address until the time is over, the answer is plain, or `stop` is set.
///
/// # Errors
/// When the recording cannot be written.
pub fn watch(
    source: Source<'_>,
    watching: &Watching,
    stop: &AtomicBool,
    progress: &dyn Fn(&Model, Duration),
) -> anyhow::Result<Model> {
    let mut tracker = Tracker::new(watching.overrides.clone());
    let begun = Instant::now();
    let stopped = || stop.load(Ordering::Relaxed);
    let mut closed_at: Option<Instant> = None;
    let mut plain_before = None;
    loop {
        let due = Instant::now() + watching.every;
        source.take(&mut tracker)?;
        let seen = tracker.model();
        let elapsed = begun.elapsed();
        progress(&seen, elapsed);
        let never = seen.pages == 0 && seen.troubles.len() >= FAILURES;
        let stranger = matches!(&seen.kinship, Some(kin) if !matches!(kin, Kinship::Worker(_)));
        if never || stopped() || (stranger && seen.took_ms.len() >= FAILURES) {
            return Ok(seen);
        }
        let rested = closed_at.is_none_or(|at| at.elapsed() >= REST);
        let is_last = elapsed + watching.every >= watching.length;
        let wants = rested && (elapsed >= CLOSE_UP_FROM || is_last) && wants_close_up(&seen);
        drop(seen);
        if wants {
            close_up(&source, &mut tracker, &stopped)?;
            closed_at = Some(Instant::now());
            progress(&tracker.model(), begun.elapsed());
        }
        if begun.elapsed() >= EARLIEST {
            let seen = tracker.model();
            let plain = is_plain(&seen).then(|| decide(&seen)[0].verdict);
            // The same verdict twice in a row, because a worker that has just started can look like anything.
            if plain.is_some() && plain == plain_before {
                return Ok(seen);
            }
            plain_before = plain;
        }
        while Instant::now() < due && !stopped() {
            thread::sleep(GLANCE.min(due.saturating_duration_since(Instant::now())));
        }
        if begun.elapsed() >= watching.length || stopped() {
            return Ok(tracker.model());
        }
    }
}

/// Many pages in quick succession, until the answer is plain or the time of a close-up is over.
fn close_up(
    source: &Source<'_>,
    tracker: &mut Tracker,
    stopped: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    let until = Instant::now() + CLOSE_UP_FOR;
    let mut pages = 0;
    while Instant::now() < until && !stopped() {
        source.take(tracker)?;
        pages += 1;
        if pages % 50 == 0 && pages >= FEWEST_CLOSE && is_plain(&tracker.model()) {
            break;
        }
        thread::sleep(CLOSE);
    }
    Ok(())
}

/// Whether something clearly holds the worker up. That nothing does is never clear before the time is over.
fn is_plain(model: &Model) -> bool {
    let found = decide(model);
    found[0].verdict.is_accusation() && found[0].sureness == Sureness::High
}
