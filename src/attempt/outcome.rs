//! The question of an exercise, and its answer: the numbers side by side, and one sentence that explains them.

use std::fmt;

use cli_kit::term::wrap;
use greeting::totals;
use solutions::Step;

use crate::{
    course::{self, Try},
    experiment::{Fault, Run, Scenario, Workflows},
};

/// A timer that is late by more than this has seen a blocked thread: a busy machine delays it by less.
const LATE_SECONDS: f64 = 0.3;
/// Calls that block for a larger share of their time than this block the thread.
const MOSTLY: f64 = 0.5;
/// Calls that took a larger share of the run than this, all added up, are worth a sentence.
const MUCH: f64 = 0.2;
/// A run this much longer than its activities waited for something.
const QUEUED: f64 = 2.5;

/// What to think about before the load runs.
pub fn question(step: Step, scenario: &Scenario) -> Vec<String> {
    let Scenario { load, keys, runtime, .. } = scenario;
    let mut lines = vec![format!(
        "Exercise {}: {} workflows start at once. Each runs {} activities of {} s, one after another.",
        step.number(),
        load.workflows,
        load.activities,
        load.activity_seconds
    )];
    let share = |probability: f64| format!("{:.0}%", probability * 100.0);
    lines.push(match step {
        Step::BeyondAsync => format!(
            "{} of the requests for a decryption key take {} s.",
            share(keys.decode_stall_probability),
            keys.stall_seconds
        ),
        Step::Async => format!(
            "Every request for an encryption key takes {} s, and the blocking pool has {} threads.",
            keys.stall_seconds, runtime.blocking_threads
        ),
        _ => format!(
            "{} of the requests for an encryption key take {} s.",
            share(keys.stall_probability),
            keys.stall_seconds
        ),
    });
    lines.push("How long until all of them are done, with codec.rs as it is?".to_owned());
    lines.into_iter().map(|line| wrap(&line, 0)).collect()
}

/// What the exercise's starting code took, in seconds, when its text was written.
pub fn in_the_text(step: Step) -> f64 {
    match step {
        Step::Start | Step::Blocking | Step::SpawnBlocking => 48.2,
        Step::Async => 42.6,
        Step::BeyondAsync => 72.8,
    }
}

/// What a run showed in which the key service failed for a while.
pub fn with_fault(run: &Run, fault: Fault) -> String {
    let Workflows { started, completed, .. } = run.workflows;
    let recovered = fault.is_over_at();
    let end = match run.wall_seconds - recovered {
        after if run.cut_off => {
            format!("when the run was cut off, {after:.1} s after the key service had recovered")
        }
        after if after >= 0.0 => format!("{after:.1} s after the key service had recovered"),
        _ => "before the key service had recovered".to_owned(),
    };
    let mut text = wrap(
        &format!(
            "{}. {completed} of {started} workflows completed in {:.1} s, {end}.",
            fault.description(),
            run.wall_seconds
        ),
        0,
    );
    text.push('\n');
    for line in run.codec_totals.iter().flat_map(|both| totals::lines(*both)) {
        text += &format!("{line}\n");
    }
    text += &format!("{} (\"Workflow task not found\").\n", late(run.workflow_task_not_found));
    text + &failures(run)
}

/// How many workflow tasks were answered too late, in words.
pub fn late(tasks: u64) -> String {
    match tasks {
        0 => "no workflow task answered too late".to_owned(),
        1 => "1 workflow task answered too late".to_owned(),
        late => format!("{late} workflow tasks answered too late"),
    }
}

/// The first workflows that failed, a paragraph each.
fn failures(run: &Run) -> String {
    let first = run.failures.iter().take(3);
    first.map(|failure| wrap(&format!("Failed: {failure}"), 8) + "\n").collect()
}

/// What a try showed.
pub struct Outcome<'a> {
    pub step: Step,
    pub scenario: &'a Scenario,
    pub run: &'a Run,
    pub this: &'a Try,
    /// The tries of this exercise before this one.
    pub before: &'a [Try],
    /// The exercise's starting code, if it could be read.
    pub start: Option<&'a [u8]>,
}

impl Outcome<'_> {
    /// What the starting code took: a name for it, the seconds, and where that comes from.
    fn of_starting_code(&self) -> (&'static str, f64, &'static str) {
        let of_start = |one: &&Try| self.start.is_some_and(|start| one.ran(start));
        match self.before.iter().filter(of_start).find(|one| one.is_complete()) {
            Some(first) => ("before the fix", first.seconds, "your first try of the starting code"),
            None => ("in the README", in_the_text(self.step), "with the starting code"),
        }
    }

    /// The least that the activities of a workflow take, in seconds.
    fn activities_seconds(&self) -> f64 {
        f64::from(self.scenario.load.activities) * self.scenario.load.activity_seconds
    }

    /// One sentence that explains the difference, from this run's numbers.
    fn why(&self) -> String {
        let Self { run, scenario, .. } = self;
        let wall = run.wall_seconds;
        let activities = self.activities_seconds();
        let Some([encode, decode]) = run.codec_totals else {
            let lag = run.lag_seconds.worker;
            return match lag > LATE_SECONDS {
                true => format!(
                    "A 10 ms timer on the worker's thread was up to {lag:.1} s late, so something blocks \
                     that thread. Nothing measures this codec yet."
                ),
                false => {
                    "Nothing measures this codec, but nothing blocks the worker's thread either: \
                          its 10 ms timer was never more than 0.3 s late."
                        .to_owned()
                }
            };
        };
        let calls = encode.call_seconds + decode.call_seconds;
        let blocking = encode.blocking_seconds + decode.blocking_seconds;
        if blocking > MOSTLY * calls && blocking > MUCH * wall {
            return format!(
                "The codec blocked the worker's thread for {blocking:.1} of {wall:.1} s. Every stall \
                 held up all {} workflows.",
                scenario.load.workflows
            );
        }
        if wall <= QUEUED * activities && calls > activities {
            return format!(
                "The calls took {calls:.1} s in total but blocked the thread for only {blocking:.1} s: \
                 the waits overlapped."
            );
        }
        if calls > wall {
            let slower =
                if decode.call_seconds > encode.call_seconds { "decode" } else { "encode" };
            return format!(
                "The thread was free: the calls blocked it for {blocking:.1} s. But they took \
                 {calls:.1} s in total, most of it in {slower}, and the workflows waited for them."
            );
        }
        format!(
            "The calls took {calls:.1} s in total and blocked the thread for {blocking:.1} s. The \
             activities alone take {activities:.1} s."
        )
    }
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, run, this, before, .. } = self;
        let end = if run.cut_off { "stopped after" } else { "in" };
        writeln!(
            f,
            "Exercise {}: {} of {} workflows completed {end} {:.1} s",
            step.number(),
            this.completed,
            this.workflows,
            this.seconds
        )?;
        let (name, start, source) = self.of_starting_code();
        let guess = this
            .guess_seconds
            .map_or_else(|| "     -".to_owned(), |guess| format!("{guess:6.1} s"));
        writeln!(f, "  your guess        {guess}")?;
        writeln!(f, "  measured          {:6.1} s", this.seconds)?;
        if let Some(last) = before.last() {
            let same = match last.codec_sha256 == this.codec_sha256 {
                true => "the same code",
                false => "before your last change",
            };
            writeln!(f, "  last try          {:6.1} s, {same}", last.seconds)?;
        }
        writeln!(f, "  {name:<18}{start:6.1} s, {source}")?;
        for line in run.codec_totals.iter().flat_map(|both| totals::lines(*both)) {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "{}", wrap(&format!("Why: {}", self.why()), 5))?;
        f.write_str(&failures(run))?;
        let next = format!(
            "Next: see the task in {}/README.md. cargo workshop verify {} says whether it is done.",
            course::folder(*step).display(),
            step.number()
        );
        writeln!(f, "{}", wrap(&next, 6))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use greeting::totals::Totals;

    use super::*;
    use crate::experiment::{Codec, Workflows};

    fn took(call_seconds: f64, blocking_seconds: f64) -> Totals {
        Totals { calls: 1050, call_seconds, blocking_seconds }
    }

    fn why(step: Step, wall: f64, codec_totals: Option<[Totals; 2]>) -> String {
        let scenario = Scenario::of_exercise(step);
        let mut run = Run { wall_seconds: wall, codec_totals, ..Run::empty(Codec::Mine(step)) };
        run.lag_seconds.worker = wall / 10.0;
        let this = Try::now(step, b"");
        Outcome { step, scenario: &scenario, run: &run, this: &this, before: &[], start: None }
            .why()
    }

    #[test]
    fn the_sentence_follows_from_the_numbers() {
        let nothing = took(0.1, 0.1);
        let unseen = why(Step::Blocking, 50.4, None);
        assert!(unseen.contains("up to 5.0 s late"), "{unseen}");
        let blocked = why(Step::Blocking, 50.4, Some([took(45.3, 45.3), nothing]));
        assert!(blocked.contains("blocked the worker's thread for 45.4 of 50.4 s"), "{blocked}");
        let fixed = why(Step::SpawnBlocking, 8.0, Some([took(45.3, 0.2), nothing]));
        assert!(fixed.contains("the waits overlapped"), "{fixed}");
        let pool = why(Step::Async, 42.1, Some([took(900.0, 0.2), nothing]));
        assert!(pool.contains("most of it in encode"), "{pool}");
        let decode = why(Step::BeyondAsync, 73.8, Some([took(45.0, 0.2), took(140.0, 0.1)]));
        assert!(decode.contains("most of it in decode"), "{decode}");
        let cached = why(Step::BeyondAsync, 6.8, Some([took(1.0, 0.2), took(0.4, 0.1)]));
        assert!(cached.contains("activities alone take 5.0 s"), "{cached}");
    }

    #[test]
    fn guess_measure_last_and_before_stand_side_by_side() {
        let scenario = Scenario::of_exercise(Step::Blocking);
        let workflows = Workflows { started: 50, completed: 50, ..Workflows::default() };
        let run = Run {
            workflows,
            wall_seconds: 8.1,
            codec_totals: Some([took(45.3, 0.2), took(0.1, 0.1)]),
            ..Run::empty(Codec::Mine(Step::Blocking))
        };
        let start: &[u8] = b"the start";
        let numbers = |seconds, codec: &[u8]| Try {
            guess_seconds: Some(9.0),
            seconds,
            workflows: 50,
            completed: 50,
            ..Try::now(Step::Blocking, codec)
        };
        let this = numbers(8.1, b"mine");
        let before = [numbers(48.0, start), numbers(49.0, start)];
        let said = |before| {
            let step = Step::Blocking;
            let start = Some(start);
            Outcome { step, scenario: &scenario, run: &run, this: &this, before, start }.to_string()
        };
        let lines = said(&before);
        for line in [
            "Exercise 1: 50 of 50 workflows completed in 8.1 s\n",
            "  your guess           9.0 s\n",
            "  measured             8.1 s\n",
            "  last try            49.0 s, before your last change\n",
            "  before the fix      48.0 s, your first try of the starting code\n",
            "encode: 1,050 calls, 45.3 s in calls, 0.2 s blocking the thread (0%)\n",
        ] {
            assert!(lines.contains(line), "{line}{lines}");
        }
        assert!(
            said(&[]).contains("  in the README       48.2 s, with the starting code\n"),
            "{}",
            said(&[])
        );
        let next = "Next: see the task in exercises/01-blocking-codec/README.md. cargo workshop verify 1 says whether";
        assert!(lines.replace("\n      ", " ").contains(next), "{lines}");
    }

    /// The figure and the flags are those that the exercise's text has.
    #[test]
    fn the_texts_say_the_same() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for step in Step::EXERCISES {
            let readme = root.join(course::folder(step)).join("README.md");
            let text = fs::read_to_string(&readme).unwrap();
            let workflows = Scenario::of_exercise(step).load.workflows;
            let line = format!(
                "{workflows} workflows started, {workflows} completed, 0 failed, in {:.1} s",
                in_the_text(step)
            );
            assert!(text.contains(&line), "{}: {line}", readme.display());
        }
    }
}
