//! What is shown while the load runs: a few lines that change in place, or, where there is no terminal, a line
//! now and then.

use cli_kit::term::note;
use console::{Term, style, truncate_str};
use greeting::{load::Event, sample::Recent};
use indicatif::{ProgressBar, ProgressStyle};
use solutions::Step;

use super::outcome;
use crate::experiment::{Live, Onlooker, Scenario};

/// An interval in which the runtime's tasks could not run for a larger share than this counts as blocked. A thread
/// that encrypts and sends for all workflows is rarely busy for so long without a break.
const BLOCKED: f64 = 0.7;
/// The same for busy.
const BUSY: f64 = 0.5;
/// Columns where the terminal does not tell.
const USUAL_COLUMNS: usize = 80;

/// The live view of one run.
pub struct View {
    live: Live,
    step: Step,
    workflows: u32,
    activities: u32,
}

impl View {
    /// Nothing has run yet.
    pub fn new(step: Step, scenario: &Scenario) -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let starting =
            format!("Starting a Temporal server and your worker of exercise {}", step.number());
        match bar.is_hidden() {
            true => note(starting),
            false => bar.set_message(starting),
        }
        Self {
            live: Live::new(bar, scenario),
            step,
            workflows: scenario.load.workflows,
            activities: scenario.load.workflows * scenario.load.activities,
        }
    }

    /// Clears the view before the result.
    pub fn finish(&self) {
        self.live.bar.finish_and_clear();
    }

    /// The lines, each within so many columns.
    fn lines(&self, recent: Recent<'_>, done: u32, columns: usize) -> Vec<String> {
        let Some(last) = recent.last() else { return Vec::new() };
        let blocked = match recent.blocked() {
            Some(share) => {
                format!("the codec blocked it for {:.0}% of the last 10 s", share * 100.0)
            }
            None => "nothing measures this codec".to_owned(),
        };
        let late = outcome::late(last.not_found);
        [
            format!(
                "Exercise {}   {:.0} s   {} of {} workflows, {} of {} activities",
                self.step.number(),
                last.at.as_secs_f64(),
                done,
                self.workflows,
                last.activities,
                self.activities
            ),
            format!("thread  {}  {blocked}", strip(recent)),
            format!("lag     up to {:.1} s   {late}", recent.highest_lag()),
        ]
        .map(|line| truncate_str(&line, columns, "…").into_owned())
        .into()
    }
}

/// The last ten seconds of the worker's thread, two cells a second: blocked, busy, or free.
fn strip(recent: Recent<'_>) -> String {
    recent.busy().map(cell).collect()
}

fn cell(share: f64) -> String {
    match share {
        BLOCKED.. => style("█").for_stderr().red(),
        BUSY.. => style("▒").for_stderr().yellow(),
        _ => style("·").for_stderr().green(),
    }
    .to_string()
}

impl Onlooker for View {
    fn event(&self, event: Event<'_>) {
        self.live.count(event);
    }

    fn sample(&self, recent: Recent<'_>) {
        let seconds = recent.last().map_or(0.0, |last| last.at.as_secs_f64());
        self.live.show(recent, &format!("{seconds:.0} s"), |done| {
            let columns = Term::stderr()
                .size_checked()
                .map_or(USUAL_COLUMNS, |(_, columns)| usize::from(columns).saturating_sub(1));
            self.lines(recent, done, columns).join("\n")
        });
    }

    fn say(&self, what: &str) {
        self.live.say(what);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use console::measure_text_width;
    use greeting::sample::Sample;

    use super::*;

    #[test]
    fn a_busy_thread_is_not_drawn_as_a_blocked_one() {
        let drawn = [0.0, 0.45, 0.55, 0.65, 0.75, 1.0].map(cell).concat();
        assert_eq!(console::strip_ansi_codes(&drawn), "··▒▒██");
    }

    #[test]
    fn the_lines_fit_a_narrow_terminal() {
        let view = View::new(Step::Blocking, &Scenario::of_exercise(Step::Blocking));
        let samples = (0..30).map(|half| Sample {
            at: Duration::from_millis(500 * half),
            not_found: 1200,
            activities: 480,
            ..Sample::default()
        });
        let samples: Vec<_> = samples.collect();
        let recent = Recent::of(&samples);
        for columns in [40, 79, 120] {
            let lines = view.lines(recent, 0, columns);
            assert_eq!(lines.len(), 3);
            assert!(lines.iter().all(|line| measure_text_width(line) <= columns), "{lines:#?}");
        }
        let wide = view.lines(recent, 0, 120).join("\n");
        assert!(wide.contains("480 of 500 activities"), "{wide}");
        assert!(wide.contains("nothing measures this codec"), "{wide}");
        assert!(wide.contains("1200 workflow tasks answered too late"), "{wide}");
    }
}
