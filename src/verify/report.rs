//! The result of `verify`, as JSON and as text.

use cli_kit::{outln, term::wrap};
use console::style;
use judge::{Check, Outcome};
use serde::Serialize;
use solutions::Step;

use super::{
    diagnosis,
    live::{self, Live},
    subprocess::{Examination, Shown},
};

/// The report on one exercise. `--json` prints it as it is.
#[derive(Debug, Serialize)]
pub struct Report {
    exercise: u8,
    compiles: bool,
    /// Every check passed, and none was left out.
    pub solved: bool,
    /// Every check that ran passed. The live run may have been left out.
    pub passed: bool,
    checks: Vec<Check>,
    /// What can be read in what the codec printed or wrote, and should not.
    #[serde(skip_serializing_if = "Option::is_none")]
    leak: Option<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
    diagnosis: Vec<String>,
}

impl Report {
    /// The report on a codec that was checked.
    pub fn new(step: Step, examined: Examination, live: Option<Live>) -> Self {
        let passed = examined.is_well() && live.as_ref().is_none_or(Live::is_well);
        let solved = passed && (live.is_some() || !live::has_one(step));
        let diagnosis = diagnosis::of(step, &examined, live.as_ref());
        let Examination { checks, leak, .. } = examined;
        let exercise = step.number();
        Self { exercise, compiles: true, solved, passed, checks, leak, live, diagnosis }
    }

    /// The report on a codec that could not be built: it does not compile, or `fault` says why its file can't
    /// be read.
    pub fn of_no_program(step: Step, fault: Option<String>) -> Self {
        Self {
            exercise: step.number(),
            compiles: false,
            solved: false,
            passed: false,
            checks: Vec::new(),
            leak: None,
            live: None,
            diagnosis: diagnosis::of_no_program(step, fault),
        }
    }

    /// Prints what [`show_check`] has not shown: the end of the list of checks, then the verdict, every other
    /// failure, and how many checks passed. `left_out` says why there is no live run, where there could be one.
    pub fn print(&self, step: Step, left_out: &str) {
        if self.compiles {
            let seen = diagnosis::seen_of(self.leak);
            item(Mark::of(self.leak.is_none()), &format!("leaks no payload and no key: {seen}"));
        }
        match &self.live {
            Some(live) => {
                item(Mark::of(live.is_well()), &format!("on a real server: {}", live.seen()));
            }
            None if self.passed && live::has_one(step) => {
                item(Mark::NotRun, &format!("on a real server: {left_out}"));
            }
            None => {}
        }
        if self.compiles {
            outln!();
        }
        let mut lines = self.diagnosis.iter();
        if let Some(verdict) = lines.next() {
            outln!("{}", coloured(&wrap(verdict, 0), self.passed));
        }
        for line in lines {
            outln!("{}", wrap(line, LABEL));
        }
        if self.compiles {
            for check in diagnosis::others(&self.checks) {
                outln!(
                    "{}",
                    wrap(&format!("Also:  {}: {}", check.promise.says, check.seen), LABEL)
                );
                outln!("{}", wrap(&format!("Means: {}", check.promise.means), LABEL));
                outln!("{}", wrap(&format!("Next:  {}", check.promise.next), LABEL));
            }
            let passed = self.checks.iter().filter(|check| check.is_kept()).count()
                + usize::from(self.leak.is_none())
                + usize::from(self.live.as_ref().is_some_and(Live::is_well));
            let checks = if passed == 1 { "check" } else { "checks" };
            outln!("{passed} {checks} passed.");
        }
    }

    /// Its line in the summary.
    pub fn summary(&self) -> String {
        let what = match self {
            Self { compiles: false, .. } => "does not compile",
            Self { solved: true, .. } => "solved",
            Self { passed: true, .. } => "quick checks passed; the live run decides",
            _ => "not solved",
        };
        format!("exercise {}: {}", self.exercise, coloured(what, self.passed))
    }
}

/// How wide a line's label is: "Means: ".
const LABEL: usize = 7;

/// The check's line in the list.
pub fn show_check(check: &Check) {
    item(Mark::of_check(check), &check.to_string());
}

/// How a line of the list begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Passed,
    /// Passed as well: the verdict names the cost.
    AtACost,
    Failed,
    NotRun,
}

impl Mark {
    fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }

    fn of_check(check: &Check) -> Self {
        match check.outcome {
            Outcome::KeptAtACost(_) => Self::AtACost,
            _ => Self::of(check.is_kept()),
        }
    }
}

/// A line of the list.
fn item(mark: Mark, text: &str) {
    let label = match mark {
        Mark::Passed => "ok  ",
        Mark::AtACost => "cost",
        Mark::Failed => "FAIL",
        Mark::NotRun => "-   ",
    };
    let shown = style(label);
    let shown = match mark {
        Mark::Passed => shown.green(),
        Mark::AtACost => shown.yellow(),
        Mark::Failed => shown.red(),
        Mark::NotRun => shown,
    };
    let line = wrap(&format!("{label} {text}"), label.len() + 1);
    outln!("{}", line.replacen(label, &shown.to_string(), 1));
}

/// In green or red, on a terminal that allows colours.
fn coloured(text: &str, well: bool) -> String {
    let text = style(text);
    if well { text.green() } else { text.red() }.to_string()
}

#[cfg(test)]
mod tests {
    use judge::promises::STALLS_TOGETHER;

    use super::*;

    #[test]
    fn a_check_at_a_cost_is_told_from_one_that_passed() {
        let mark = |outcome| {
            let seen = String::new();
            Mark::of_check(&Check { promise: STALLS_TOGETHER, outcome, fault: None, seen })
        };
        assert_eq!(mark(Outcome::Kept), Mark::Passed);
        assert_eq!(mark(Outcome::KeptAtACost("slow".to_owned())), Mark::AtACost);
        assert_eq!(mark(Outcome::Broken), Mark::Failed);
    }
}
