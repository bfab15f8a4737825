//! Held, or slow? What many pages in quick succession show.
//!
//! In core-based SDKs native threads serve the metrics page. They answer within milliseconds even while the
//! language's event loop is blocked. A page every 20 ms therefore shows when tasks complete. While a loop is
//! blocked, no task of any kind completes, and new tasks keep arriving. Then several complete at once. Tasks
//! that each wait by themselves complete at any time.
//!
//! A queue that every task must pass, such as a lock in a codec, looks the same. What tells them apart is
//! work without a payload: once a workflow ends, core asks the language to drop it from the sticky cache. A
//! loop that is free does so at once, even while every codec call waits.

/// Pages closer than this to each other belong to a close-up.
pub const CLOSE_MS: i64 = 120;
/// A shorter pause means nothing on a busy machine.
const SHORTEST_PAUSE: f64 = 0.12;
/// The same where requests count, too. Those are more, so a shorter one says less.
const SHORTEST_SILENCE: f64 = 0.15;
/// A pause is long if so many tasks should have completed in it.
const MISSED: f64 = 3.0;
/// Fewer completions than this, expected or seen, are too few.
const FEWEST: f64 = 12.0;

/// What a page says at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Instant {
    /// When, in milliseconds.
    pub at_ms: i64,
    /// Tasks that the language completed so far.
    pub completed: f64,
    /// Activity tasks that the language was handed so far.
    pub received: f64,
    /// Tasks that came from the server so far.
    pub arrived: f64,
    /// Tasks in the worker now.
    pub in_hand: f64,
    /// Workflows that ended and that the language has not dropped from the sticky cache yet.
    pub evictions_due: f64,
    /// Workflows that ended so far.
    pub ended: f64,
    /// Requests to the server that were answered so far, polls included.
    pub answers: f64,
    /// How long the page took, in milliseconds.
    pub took_ms: u64,
}

/// How the tasks completed, seen closely.
#[derive(Clone, Debug, PartialEq)]
pub struct CloseUp {
    /// How long the close-up was, in seconds.
    pub seconds: f64,
    /// How many tasks completed in it.
    pub completed: f64,
    /// The share of the time in which tasks were in the worker and none completed, though at least three
    /// should have. Tasks that complete independently of each other leave about a fifth.
    pub paused: f64,
    /// Those pauses, in seconds.
    pub pauses: Vec<f64>,
    /// Tasks that arrived while others had been waiting for at least 70 ms.
    pub late_comers: usize,
    /// How many of those found a task that completed within 75 ms.
    pub overtakers: usize,
    /// Tasks in the worker, on average.
    pub in_hand: f64,
    /// Workflows that ended.
    pub ended: f64,
    /// How often the language left an ended workflow in the cache for longer than 120 ms.
    pub late_evictions: usize,
    /// Moments at which the language did anything, and how many of the times between them are short.
    pub moments: usize,
    /// Of the times between them, those that are shorter than half of their median.
    pub short_between: usize,
    /// The shortest time that is common between two such moments, in seconds.
    pub beat: f64,
    /// Requests that were answered, polls included.
    pub answers: f64,
    /// The share of the time in which neither a task completed nor a request was answered for 150 ms or longer.
    pub silent: f64,
    /// Those times, in seconds.
    pub silences: Vec<f64>,
    /// One page in twenty took longer than this, in milliseconds.
    pub slow_page_ms: u64,
}

/// What a close-up shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// All tasks stand still at the same time.
    StandStill,
    /// Tasks complete one after another, never two close to each other.
    OneAtATime,
    /// Tasks complete independently of each other.
    Independent,
    /// Neither is clear.
    Unclear,
}

impl CloseUp {
    /// Looks at the pages of a close-up. `rate` is how many tasks complete in a second, over the whole time
    /// of looking. `None` if there were too few pages or tasks.
    pub fn of(instants: &[Instant], rate: f64) -> Option<Self> {
        let close = longest_close_run(instants);
        let (first, last) = (close.first()?, close.last()?);
        let seconds = (last.at_ms - first.at_ms) as f64 / 1000.0;
        let completed = last.completed - first.completed;
        // The load may have changed since then, so the rate within the close-up counts, too.
        let rate = (completed / seconds).max(rate.min(2.5 * completed / seconds));
        if close.len() < 20 || seconds < 1.0 || rate * seconds < FEWEST || completed < 3.0 {
            return None;
        }
        let longest_expected = (MISSED / rate).max(SHORTEST_PAUSE);
        let mut busy = 0.0;
        let mut pauses = Vec::new();
        let mut start = 0;
        for at in 1..close.len() {
            let step = (close[at].at_ms - close[at - 1].at_ms) as f64 / 1000.0;
            busy += if close[at - 1].in_hand > 0.0 { step } else { 0.0 };
            if close[at].completed > close[at - 1].completed || at + 1 == close.len() {
                let pause = (close[at].at_ms - close[start].at_ms) as f64 / 1000.0;
                if pause >= longest_expected && close[start..at].iter().all(|i| i.in_hand > 0.0) {
                    pauses.push(pause);
                }
                start = at;
            }
        }
        let between = times_between_moments(close);
        let mut sorted = between.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        let silences = silences(close);
        let mut pages: Vec<u64> = close.iter().map(|instant| instant.took_ms).collect();
        pages.sort_unstable();
        Some(Self {
            seconds,
            completed,
            paused: pauses.iter().sum::<f64>() / busy.max(0.001),
            pauses,
            in_hand: close.iter().map(|i| i.in_hand).sum::<f64>() / close.len() as f64,
            ended: last.ended - first.ended,
            late_evictions: late_evictions(close),
            late_comers: late_comers(close).len(),
            overtakers: late_comers(close).into_iter().filter(|overtakes| *overtakes).count(),
            moments: between.len() + 1,
            short_between: between.iter().filter(|time| **time < 0.5 * median).count(),
            beat: sorted.get(sorted.len() / 10).copied().unwrap_or(0.0),
            answers: last.answers - first.answers,
            silent: silences.iter().sum::<f64>() / seconds,
            silences,
            slow_page_ms: pages.get(pages.len() * 19 / 20).copied().unwrap_or(0),
        })
    }

    /// What it shows.
    pub fn pattern(&self) -> Pattern {
        if self.paused >= 0.6 && self.pauses.len() >= 3 && self.late_comers >= self.overtakers + 3 {
            return Pattern::StandStill;
        }
        // Of independent tasks, three in ten of the times between them are shorter than half the median.
        let expected_short = 0.29 * (self.moments as f64 - 1.0);
        if self.moments >= 14
            && self.beat >= 0.06
            && (self.short_between as f64) < 0.35 * expected_short
        {
            return Pattern::OneAtATime;
        }
        if self.paused <= 0.4 { Pattern::Independent } else { Pattern::Unclear }
    }
}

/// The times of 150 ms and longer in which no task completed and no request was answered.
fn silences(close: &[Instant]) -> Vec<f64> {
    let runs = close.chunk_by(|a, b| (a.completed, a.answers) == (b.completed, b.answers));
    let mut ends: Vec<i64> = runs.map(|run| run[0].at_ms).collect();
    ends.extend(close.last().map(|last| last.at_ms));
    let times = ends.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1000.0);
    times.filter(|time| *time >= SHORTEST_SILENCE).collect()
}

/// Tasks that arrived while others waited, and whether a task completed right after each.
fn late_comers(close: &[Instant]) -> Vec<bool> {
    let mut late_comers = Vec::new();
    let mut last = close.first().map_or(0, |first| first.at_ms);
    for at in 1..close.len() {
        let (before, now) = (close[at - 1], close[at]);
        if now.completed > before.completed || before.in_hand <= 0.0 {
            last = now.at_ms;
        }
        if now.arrived > before.arrived && now.at_ms - last >= 70 {
            let soon = close[at..].iter().take_while(|later| later.at_ms - now.at_ms <= 75);
            late_comers.push(soon.last().is_some_and(|later| later.completed > now.completed));
        }
    }
    late_comers
}

/// How often more evictions than usual were due for longer than a page or two.
fn late_evictions(close: &[Instant]) -> usize {
    let mut sorted: Vec<f64> = close.iter().map(|instant| instant.evictions_due).collect();
    sorted.sort_by(f64::total_cmp);
    // A page written during a change shows one too few or too many.
    let usual = sorted.get(sorted.len() / 4).copied().unwrap_or(0.0);
    let runs = close.chunk_by(|a, b| (a.evictions_due > usual) == (b.evictions_due > usual));
    runs.filter(|run| run[0].evictions_due > usual)
        .filter(|run| (run[run.len() - 1].at_ms - run[0].at_ms) as f64 / 1000.0 >= SHORTEST_PAUSE)
        .count()
}

/// The evictions that are due on pages that are seconds apart.
struct DueApart {
    /// By how much the most differs from the fewest.
    spread: i64,
    /// The share of the pages that have the most frequent number.
    usual: f64,
}

/// `None` if too few workflows ended to tell. A page that is the same as the one before, as those of a collector often
/// are, counts once.
fn due_apart(instants: &[Instant], ended: f64) -> Option<DueApart> {
    let mut apart: Vec<Instant> = Vec::new();
    for instant in instants {
        let is_new = |last: &Instant| {
            let again = Instant { at_ms: last.at_ms, took_ms: last.took_ms, ..*instant };
            instant.at_ms - last.at_ms >= 500 && again != *last
        };
        if apart.last().is_none_or(is_new) {
            apart.push(*instant);
        }
    }
    if ended < 8.0 || apart.len() < 8 {
        return None;
    }
    let mut due: Vec<i64> = apart.iter().map(|i| i.evictions_due.round() as i64).collect();
    due.sort_unstable();
    let most = due.chunk_by(|a, b| a == b).map(<[i64]>::len).max().unwrap_or(0);
    Some(DueApart { spread: due[due.len() - 1] - due[0], usual: most as f64 / due.len() as f64 })
}

/// Whether evictions are carried out late, judging by pages that are seconds apart: the number of due
/// evictions changes from page to page by more than one. `None` if too few workflows ended to tell.
pub fn evictions_wander(instants: &[Instant], ended: f64) -> Option<bool> {
    due_apart(instants, ended).map(|due| due.spread >= 3 && due.usual <= 0.6)
}

/// Whether evictions are carried out at once, judging by the same pages: almost none of them has one more that is due.
pub fn evictions_are_prompt(instants: &[Instant], ended: f64) -> bool {
    ended >= 60.0
        && due_apart(instants, ended).is_some_and(|due| due.spread <= 1 && due.usual >= 0.85)
}

fn longest_close_run(instants: &[Instant]) -> &[Instant] {
    let mut longest: &[Instant] = &[];
    let mut start = 0;
    for at in 1..=instants.len() {
        let ends = at == instants.len() || instants[at].at_ms - instants[at - 1].at_ms > CLOSE_MS;
        if ends {
            if at - start > longest.len() {
                longest = &instants[start..at];
            }
            start = at;
        }
    }
    longest
}

/// The times between moments at which the language completed or took a task. Two pages in a row are one
/// moment: a task that completes brings the next with it.
fn times_between_moments(close: &[Instant]) -> Vec<f64> {
    let did = |at: usize| {
        close[at].completed > close[at - 1].completed || close[at].received > close[at - 1].received
    };
    let moments: Vec<usize> = (1..close.len()).filter(|at| did(*at)).collect();
    moments
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > 1)
        .map(|pair| (close[pair[1]].at_ms - close[pair[0]].at_ms) as f64 / 1000.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages every 20 ms of tasks that arrive every 50 ms and complete as `completed` says.
    fn pages(completed: impl Fn(i64) -> f64) -> Vec<Instant> {
        let page = |at| Instant {
            at_ms: at,
            completed: completed(at),
            received: 0.0,
            arrived: (at / 50) as f64,
            in_hand: 5.0,
            ..Instant::default()
        };
        (0..150).map(|n| page(n * 20)).collect()
    }

    #[test]
    fn a_loop_that_stands_still() {
        let held = CloseUp::of(&pages(|at| (at / 400 * 8) as f64), 20.0).unwrap();
        assert_eq!(held.pattern(), Pattern::StandStill, "{held:?}");
    }

    #[test]
    fn tasks_that_wait_by_themselves() {
        // Completions at squares of odd steps: neither even nor in bursts.
        let times: Vec<i64> = (0..60).map(|n: i64| n * 50 + (n * n * 37) % 90).collect();
        let completed = |at: i64| times.iter().filter(|time| **time <= at).count() as f64;
        let slow = CloseUp::of(&pages(completed), 20.0).unwrap();
        assert_eq!(slow.pattern(), Pattern::Independent, "{slow:?}");
    }

    #[test]
    fn evictions_that_wait_are_counted() {
        let mut pages = pages(|at| (at / 400 * 8) as f64);
        assert_eq!(late_evictions(&pages), 0);
        for page in pages.iter_mut().filter(|page| page.at_ms % 1000 < 200) {
            page.evictions_due = 2.0;
        }
        // One page is no sign.
        pages[45].evictions_due = 1.0;
        assert_eq!(late_evictions(&pages), 3);
    }

    #[test]
    fn a_page_read_again_is_no_further_sign_of_late_evictions() {
        let at = |second: i64, due| Instant {
            at_ms: second * 1000,
            completed: (second / 10) as f64,
            evictions_due: due,
            ..Instant::default()
        };
        // Read each second, and changed twice, with as many evictions due as happens between two tasks.
        let page = |second| at(second, [1.0, 4.0, 2.0][second as usize / 10]);
        let pages: Vec<Instant> = (0..30).map(page).collect();
        assert_eq!(evictions_wander(&pages, 60.0), None);
        // Ten pages of their own do show it.
        let pages: Vec<Instant> =
            (0..10).map(|n| at(n * 10, [1.0, 4.0, 2.0][n as usize % 3])).collect();
        assert_eq!(evictions_wander(&pages, 60.0), Some(true));
    }

    #[test]
    fn a_runtime_that_stands_still_is_silent() {
        let mut pages = pages(|at| (at / 400 * 8) as f64);
        let silent = |pages: &[Instant]| CloseUp::of(pages, 20.0).unwrap().silent;
        for page in &mut pages {
            page.answers = (page.at_ms / 400 * 20) as f64;
        }
        assert!(silent(&pages) > 0.9, "{}", silent(&pages));
        // An event loop that stands still leaves requests to core's own threads.
        for page in &mut pages {
            page.answers = (page.at_ms / 100) as f64;
        }
        assert_eq!(silent(&pages), 0.0);
    }

    #[test]
    fn too_little_is_no_close_up() {
        assert_eq!(CloseUp::of(&[], 20.0), None);
        assert_eq!(CloseUp::of(&pages(|_| 0.0), 20.0), None);
        assert_eq!(CloseUp::of(&pages(|at| (at / 1000) as f64), 0.5), None);
        let apart: Vec<_> = pages(|at| at as f64)
            .into_iter()
            .map(|page| Instant { at_ms: page.at_ms * 50, ..page })
            .collect();
        assert_eq!(CloseUp::of(&apart, 20.0), None);
    }

    #[test]
    fn batches_are_no_stand_still() {
        // Eight tasks every 400 ms that all wait equally long: nothing arrives while nothing completes.
        let mut batches = pages(|at| (at / 400 * 8) as f64);
        for page in &mut batches {
            page.arrived = ((page.at_ms + 20) / 400 * 8) as f64;
        }
        let batches = CloseUp::of(&batches, 20.0).unwrap();
        assert_ne!(batches.pattern(), Pattern::StandStill, "{batches:?}");
    }
}
