//! Shows a run while it goes on: a bar on a terminal, elsewhere a line now and then.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cli_kit::term::note;
use greeting::load::Event;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    recent::Recent,
    result::{Run, Workflows},
    sampler::Sample,
    scenario::Scenario,
};

/// How often a line is printed where there is no terminal.
pub const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// What watches a run while it goes on.
pub trait Onlooker: Sync {
    /// Something happened to one workflow.
    fn event(&self, event: Event<'_>);
    /// The worker was sampled: twice a second.
    fn sample(&self, sample: &Sample);
}

/// The progress of one run.
pub struct RunProgress {
    bar: ProgressBar,
    what: String,
    workflows: u32,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    recent: Recent,
    printed: Duration,
}

impl RunProgress {
    /// Shows that a run starts.
    pub fn new(what: &str, scenario: &Scenario) -> Self {
        let workflows = scenario.load.workflows;
        let bar = ProgressBar::new(workflows.into());
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
        Self { bar, what: what.to_owned(), workflows, seen: Mutex::default() }
    }

    /// Shows how it ended.
    pub fn finish(self, run: &Run) {
        self.bar.finish_and_clear();
        let Workflows { started, as_expected, .. } = run.workflows;
        let end = if run.cut_off { "cut off after" } else { "done in" };
        note(format!(
            "{}: {as_expected} of {started} workflows {end} {:.1} s",
            self.what, run.wall_seconds
        ));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Onlooker for RunProgress {
    /// Moves on with each workflow that is done.
    fn event(&self, event: Event<'_>) {
        if event.is_last() {
            self.bar.inc(1);
        }
    }

    /// Shows what moves while no workflow is done: they all end together.
    fn sample(&self, sample: &Sample) {
        let mut seen = self.seen();
        seen.recent.push(sample);
        let now = seen.recent.to_string();
        if self.bar.is_hidden() && sample.at >= seen.printed + LINE_INTERVAL {
            seen.printed = sample.at;
            let done = self.bar.position();
            let (what, workflows) = (&self.what, self.workflows);
            note(format!("{what}: {done} of {workflows} workflows, {now}"));
        }
        self.bar.set_message(now);
    }
}
