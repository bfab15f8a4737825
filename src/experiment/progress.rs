//! Shows a run while it lasts: a bar on a terminal, elsewhere a line now and then.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cli_kit::term::note;
use greeting::{load::Event, sample::Recent};
use indicatif::{ProgressBar, ProgressStyle};

use super::{result::Run, scenario::Scenario};

/// How often a line is printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What watches a run while it lasts.
pub trait Onlooker: Sync {
    /// Something happened to one workflow.
    fn event(&self, event: Event<'_>);
    /// The worker was sampled: twice a second. The samples of the last seconds, with this one.
    fn sample(&self, recent: Recent<'_>);
    /// Something happened to the key service.
    fn say(&self, what: &str);
}

/// What every view of a run does: it follows the run, and shows it in place on a terminal, elsewhere by a line
/// now and then.
pub struct Live {
    /// What is drawn on the terminal.
    pub bar: ProgressBar,
    workflows: u32,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    done: u32,
    printed: Duration,
}

impl Live {
    /// Nothing has run yet.
    pub fn new(bar: ProgressBar, scenario: &Scenario) -> Self {
        Self { bar, workflows: scenario.load.workflows, seen: Mutex::default() }
    }

    /// Counts workflows that are done; whether this one is.
    pub fn count(&self, event: Event<'_>) -> bool {
        let is_last = event.is_last();
        self.seen().done += u32::from(is_last);
        is_last
    }

    /// Shows what moves while no workflow is done, as they all end together: on a terminal what `frame` makes
    /// of it and of the number of workflows that are done, elsewhere a line that starts with `what`.
    pub fn show(&self, recent: Recent<'_>, what: &str, frame: impl FnOnce(u32) -> String) {
        let Some(last) = recent.last() else { return };
        let Seen { done, printed } = &mut *self.seen();
        if !self.bar.is_hidden() {
            self.bar.set_message(frame(*done));
        } else if last.at >= *printed + LINE_INTERVAL {
            *printed = last.at;
            note(format!("{what}: {done} of {} workflows, {recent}", self.workflows));
        }
    }

    /// Prints a line that stays.
    pub fn say(&self, line: &str) {
        match self.bar.is_hidden() {
            true => note(line),
            false => self.bar.println(line),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The progress of one run.
pub struct RunProgress {
    live: Live,
    what: String,
}

impl RunProgress {
    /// Shows that a run starts.
    pub fn new(what: &str, scenario: &Scenario) -> Self {
        let bar = ProgressBar::new(scenario.load.workflows.into());
        if bar.is_hidden() {
            note(format!("{what}: starting"));
        }
        // Within 80 columns: if a line is folded, the one above it is wiped as well.
        let template = "{prefix:24} [{bar:16}] {pos}/{len} workflows, {elapsed}\n    {wide_msg}";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(what.to_owned());
        bar.set_message(format!("at most {:.0} s", scenario.limit_seconds));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { live: Live::new(bar, scenario), what: what.to_owned() }
    }

    /// Shows how it ended.
    pub fn finish(self, run: &Run) {
        self.live.bar.finish_and_clear();
        note(format!("{}: {}", self.what, run.outcome()));
    }
}

impl Onlooker for RunProgress {
    /// Moves on with each workflow that is done.
    fn event(&self, event: Event<'_>) {
        if self.live.count(event) {
            self.live.bar.inc(1);
        }
    }

    fn sample(&self, recent: Recent<'_>) {
        self.live.show(recent, &self.what, |_| recent.to_string());
    }

    fn say(&self, what: &str) {
        self.live.say(what);
    }
}
