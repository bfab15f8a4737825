//! How far a run is: a bar on a terminal, else two lines.

use std::time::Duration;

use cli_kit::term::note;
use greeting::load::Event;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    result::{Run, Workflows},
    scenario::Scenario,
};

/// The progress of one run.
pub struct RunProgress {
    bar: ProgressBar,
    what: String,
}

impl RunProgress {
    /// Shows that a run begins.
    pub fn new(what: &str, scenario: &Scenario) -> Self {
        let bar = ProgressBar::new(scenario.load.workflows.into());
        if bar.is_hidden() {
            note(format!("{what}: starting"));
        }
        // Within 80 columns: of a line that is folded, what stood above would go, too.
        let template = "{prefix:24} [{bar:16}] {pos}/{len} workflows, {elapsed}, {msg} at most";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(what.to_owned());
        bar.set_message(format!("{:.0}s", scenario.limit_seconds));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, what: what.to_owned() }
    }

    /// Moves on with each workflow that is done.
    pub fn count(&self, event: Event<'_>) {
        if event.is_last() {
            self.bar.inc(1);
        }
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
}
