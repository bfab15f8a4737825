//! A small load on a real server, with the attendee's codec and with the one whose weakness the step fixes,
//! in the same run. The latter is the attendee's own, if they have solved that step.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use solutions::Step;

use super::evidence::{Evidence, Finding};
use crate::{
    course::{self, Progress},
    experiment::{
        Codec, Contender, Experiment, Keys, Measured, Reference, Run, RunProgress, Scenario,
        ScenarioName, Target, Trouble, WorkerExited, random,
    },
    temporal::TemporalCli,
};

/// A codec that fixes it is at least so much faster. Measured: 4 to 8 times, on a quiet machine.
const FASTER: f64 = 2.0;
/// Workflows of each run. Of more than 20 that complete, p95 leaves the slowest one out: an activity that meets
/// two failures of the key service waits three seconds, whatever the codec does.
const WORKFLOWS: u32 = 22;
/// Workflows that fail on purpose, and others whose activities fail once.
const FAILING: u32 = 1;
/// The share of the requests to the key service that fail. The clients ask three times, so that one call in a
/// hundred fails.
const FAILURE_RATE: f64 = 0.2;
/// The share of the calls for the key to encode with that stall, at least.
const ENCODE_STALLS: f64 = 0.15;
/// The share of the calls for a key to decode with that stall, at least. They are awaited one after another, so
/// many would be what the run measures.
const DECODE_STALLS: f64 = 0.03;
/// Seconds, at least: a codec that only waits, for a few keys to decode with and one to encode with, answers a
/// workflow task within this on a busy machine, too.
const WORKFLOW_TASK_TIMEOUT: f64 = 3.0;

/// What both runs showed.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    /// The codec that is not fixed: the attendee's own of the step before (`mine_1`), or the reference.
    baseline: Codec,
    /// Seconds, with that codec; at least, if its run was cut off.
    baseline_end_to_end_p95: Option<f64>,
    baseline_cut_off: bool,
    /// Seconds, with the exercise's.
    end_to_end_p95: Option<f64>,
    workflows: u32,
    /// Those that ended as they were to: some fail on purpose.
    as_expected: usize,
    workflow_task_not_found: u64,
    /// How the worker exited in the middle of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    exited: Option<String>,
    /// Why workflows did not end as expected, from the worker's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<Trouble>,
    /// What the server stored.
    evidence: Evidence,
}

/// What a live run shows of a codec.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<'a> {
    /// It passes in a worker, too.
    Good,
    /// Not every workflow ended as expected and in time, for this reason.
    NotDone(&'static str),
    /// The server stores something that it should not: the first finding, and how many more there are.
    OnServer(&'a Finding, usize),
    /// It is not much faster than the other codec.
    Slow,
}

impl Live {
    fn of(uncured: &Run, mine: &Outcome) -> Self {
        let p95 = |run: &Run| Some(run.end_to_end_seconds?.p95);
        let run = mine.run.as_ref();
        Self {
            baseline: uncured.codec,
            baseline_end_to_end_p95: p95(uncured),
            baseline_cut_off: uncured.cut_off,
            end_to_end_p95: run.and_then(p95),
            workflows: WORKFLOWS,
            as_expected: run.map_or(0, |run| run.workflows.as_expected),
            workflow_task_not_found: run.map_or(0, |run| run.workflow_task_not_found),
            exited: mine.exited.clone(),
            trouble: mine.trouble.clone(),
            evidence: mine.evidence.clone(),
        }
    }

    /// What this means for the codec.
    pub fn verdict(&self) -> Verdict<'_> {
        match self.evidence.first() {
            Some((finding, more)) => Verdict::OnServer(finding, more),
            None if !self.is_done() => Verdict::NotDone(self.cause()),
            None if self.faster().is_some_and(|faster| faster >= FASTER) => Verdict::Good,
            None => Verdict::Slow,
        }
    }

    /// Whether every workflow ended as expected, in time, faster than with the other codec, and nothing can be
    /// read on the server.
    pub fn is_well(&self) -> bool {
        matches!(self.verdict(), Verdict::Good)
    }

    fn is_done(&self) -> bool {
        self.as_expected == self.workflows as usize && self.workflow_task_not_found == 0
    }

    fn cause(&self) -> &'static str {
        match (&self.trouble, &self.exited) {
            (Some(Trouble::Panicked { .. }), _) => "the codec panics in a worker.",
            (_, Some(_)) => "the worker exits with this codec.",
            (Some(Trouble::Logged { .. }), None) => {
                "workflows do not complete, because of an error."
            }
            (None, None) if self.as_expected == self.workflows as usize => {
                "workflow tasks are answered too late."
            }
            (None, None) => "workflows do not complete in time.",
        }
    }

    /// How many times as long the other codec took, at least.
    fn faster(&self) -> Option<f64> {
        Some(self.baseline_end_to_end_p95? / self.end_to_end_p95?)
    }

    /// What was seen, in one sentence without its full stop.
    pub fn seen(&self) -> String {
        let Self { as_expected, workflows, workflow_task_not_found: not_found, .. } = self;
        let done = format!("{as_expected} of {workflows} workflows ended as expected");
        let late = match not_found {
            0 => String::new(),
            1 => "; 1 workflow task was answered too late (\"Workflow task not found\")".to_owned(),
            more => format!(
                "; {more} workflow tasks were answered too late (\"Workflow task not found\")"
            ),
        };
        match self.verdict() {
            Verdict::NotDone(_) => {
                // A panic says why the worker exited.
                let panicked = matches!(self.trouble, Some(Trouble::Panicked { .. }));
                let exited = self.exited.as_ref().filter(|_| !panicked);
                let exited = exited.map(|how| format!("the worker exited ({how})"));
                let trouble = self.trouble.as_ref().map(Trouble::to_string);
                let why = [exited, trouble].into_iter().flatten().map(|why| format!("; {why}"));
                format!("{done}{late}{}", why.collect::<String>())
            }
            Verdict::OnServer(finding, more) => {
                let more = match more {
                    0 => String::new(),
                    1 => ", and 1 more like it".to_owned(),
                    more => format!(", and {more} more like it"),
                };
                format!("{finding}{more}")
            }
            Verdict::Slow | Verdict::Good => format!(
                "{done}, p95 {}{late}; {} payloads on the server, all encrypted",
                self.times(),
                self.evidence.payloads()
            ),
        }
    }

    /// Both p95, compared.
    fn times(&self) -> String {
        let baseline = self.baseline.in_words();
        let [mine, other] = [self.end_to_end_p95, self.baseline_end_to_end_p95]
            .map(|p95| p95.map_or("unknown".to_owned(), |seconds| format!("{seconds:.2} s")));
        let [over, at_least] = match self.baseline_cut_off {
            true => ["over ", "at least "],
            false => [""; 2],
        };
        let compared = match self.faster() {
            Some(faster) if faster >= 1.05 => {
                format!("{over}{other}, {at_least}{faster:.1} times as long")
            }
            Some(faster) if faster > 0.95 => format!("{over}{other}, about as long"),
            Some(_) => format!("{over}{other}, which is faster"),
            None => other,
        };
        format!("{mine}; {baseline} took {compared}")
    }
}

/// What the run of the exercise's codec showed.
struct Outcome {
    /// None, if the worker exited.
    run: Option<Run>,
    exited: Option<String>,
    trouble: Option<Trouble>,
    evidence: Evidence,
}

impl Outcome {
    /// If the worker exits, the codec is the cause: with the other codec, it did not.
    fn of(measured: anyhow::Result<Measured>, keys: &Keys) -> anyhow::Result<Self> {
        match measured {
            Ok(Measured { run, histories, worker_log, .. }) => {
                let failed = run.workflows.as_expected < WORKFLOWS as usize;
                Ok(Self {
                    trouble: failed.then(|| Trouble::read(&worker_log)).flatten(),
                    evidence: Evidence::of(&histories, keys)?,
                    exited: None,
                    run: Some(run),
                })
            }
            Err(error) => {
                let WorkerExited { status, log } = error.downcast()?;
                Ok(Self {
                    trouble: Trouble::read(&log),
                    evidence: Evidence::default(),
                    exited: Some(status.to_string()),
                    run: None,
                })
            }
        }
    }
}

/// The step whose weakness this one fixes, and the load that shows it. `None` for exercise 1, whose solution
/// still blocks.
fn cures(step: Step) -> Option<(Step, Reference, ScenarioName)> {
    let (before, reference) = match step {
        Step::Start | Step::Blocking => return None,
        Step::SpawnBlocking | Step::Async => (Step::Blocking, Reference::Blocking),
        Step::BeyondAsync => (Step::Async, Reference::Async),
    };
    Some((before, reference, ScenarioName::of(step)))
}

/// Whether the step has a live run.
pub fn has_one(step: Step) -> bool {
    cures(step).is_some()
}

/// Runs the load with the codec that has the weakness, and with the exercise's.
///
/// # Errors
/// When no server or worker can be started, or the step has no such run.
pub async fn run(
    step: Step,
    program: PathBuf,
    cli: TemporalCli,
    seed: u64,
    root: &Path,
    folder: &Path,
) -> anyhow::Result<Live> {
    let (before, reference, name) = cures(step).context("it fixes nothing that a load shows")?;
    // Small enough for both runs to be over in twenty seconds.
    let mut scenario = Scenario { limit_seconds: 12.0, ..name.scenario() };
    scenario.load.workflows = WORKFLOWS;
    let timeout = &mut scenario.load.workflow_task_timeout_seconds;
    *timeout = timeout.max(WORKFLOW_TASK_TIMEOUT);
    let service = &mut scenario.keys;
    service.seed = seed;
    service.failure_rate = FAILURE_RATE;
    service.stall_probability = service.stall_probability.max(ENCODE_STALLS);
    service.decode_stall_probability = service.decode_stall_probability.max(DECODE_STALLS);
    let target = Target::DevServer(cli);
    let keys = Keys::generate()?;
    let experiment = Experiment {
        scenario: &scenario,
        target: &target,
        logs: folder,
        id: "verify".to_owned(),
        name: format!("Ada {:016x}", u64::from_be_bytes(random()?)),
        failing: FAILING,
        keys: Some(keys.clone()),
        fault: None,
        traces: false,
    };
    let reference = Contender::reference(reference)?;
    let own = own(before, root).await?;
    let uncured = measure(&experiment, own.as_ref().unwrap_or(&reference)).await?.run;
    let mine = measure(&experiment, &Contender::built(step, program)).await;
    let mine = Outcome::of(mine, &keys)?;
    let live = Live::of(&uncured, &mine);
    // An earlier codec that already has this exercise's fix is no comparison.
    if own.is_some() && matches!(live.verdict(), Verdict::Slow) {
        return Ok(Live::of(&measure(&experiment, &reference).await?.run, &mine));
    }
    Ok(live)
}

/// The attendee's own codec of that step, if it is still the one that `verify` passed.
async fn own(step: Step, root: &Path) -> anyhow::Result<Option<Contender>> {
    let progress = Progress::read(root).unwrap_or_default();
    let Some(solved) = progress.of(step) else { return Ok(None) };
    let codec = course::read(&root.join(course::codec(step)));
    if !codec.is_ok_and(|codec| solved.is(&codec)) {
        return Ok(None);
    }
    Ok(course::build_worker(step).await?.map(|program| Contender::built(step, program)))
}

async fn measure(experiment: &Experiment<'_>, contender: &Contender) -> anyhow::Result<Measured> {
    let what = format!("live run, {}", contender.codec.in_words());
    let progress = RunProgress::new(&what, experiment.scenario);
    let measured = experiment.run(contender, &progress).await?;
    progress.finish(&measured.run);
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(mine: f64, other: f64) -> Live {
        Live {
            baseline: Codec::Mine(Step::Blocking),
            baseline_end_to_end_p95: Some(other),
            baseline_cut_off: false,
            end_to_end_p95: Some(mine),
            workflows: WORKFLOWS,
            as_expected: WORKFLOWS as usize,
            workflow_task_not_found: 0,
            exited: None,
            trouble: None,
            evidence: Evidence::default(),
        }
    }

    #[test]
    fn a_codec_is_compared_in_words_that_make_sense() {
        let said = |mine, other| {
            let live = live(mine, other);
            (live.is_well(), live.seen())
        };
        let seen = |well: bool, compared: &str| {
            let done = "22 of 22 workflows ended as expected, p95";
            let payloads = "0 payloads on the server, all encrypted";
            (well, format!("{done} {compared}; {payloads}"))
        };
        let mine = "your exercise 1 codec took";
        assert_eq!(
            said(2.0, 9.0),
            seen(true, &format!("2.00 s; {mine} 9.00 s, 4.5 times as long"))
        );
        assert_eq!(said(9.0, 9.1), seen(false, &format!("9.00 s; {mine} 9.10 s, about as long")));
        assert_eq!(
            said(12.0, 7.0),
            seen(false, &format!("12.00 s; {mine} 7.00 s, which is faster"))
        );
        let cut_off = Live { baseline_cut_off: true, ..live(2.0, 12.0) };
        let compared = format!("2.00 s; {mine} over 12.00 s, at least 6.0 times as long");
        assert_eq!((cut_off.is_well(), cut_off.seen()), seen(true, &compared));
    }

    #[test]
    fn what_is_not_done_has_a_cause_and_no_ratio() {
        let few = |as_expected, workflow_task_not_found, exited: Option<&str>, trouble| Live {
            as_expected,
            workflow_task_not_found,
            exited: exited.map(str::to_owned),
            trouble,
            ..live(12.0, 7.0)
        };
        let done = "22 of 22 workflows ended as expected";
        let late = "answered too late (\"Workflow task not found\")";
        let one = few(22, 1, None, None);
        assert!(!one.is_well());
        assert_eq!(one.seen(), format!("{done}; 1 workflow task was {late}"));
        assert_eq!(few(22, 2, None, None).seen(), format!("{done}; 2 workflow tasks were {late}"));
        let none = "0 of 22 workflows ended as expected";
        let panic = Trouble::Panicked { place: "codec.rs:1:2".into(), message: "enough".into() };
        let exited = few(0, 0, Some("exit status: 101"), Some(panic));
        assert_eq!(exited.seen(), format!("{none}; the worker panicked at codec.rs:1:2: enough"));
        let exited = few(0, 0, Some("exit status: 7"), None);
        assert_eq!(exited.seen(), format!("{none}; the worker exited (exit status: 7)"));
        let logged = Trouble::Logged { error: "no key".into(), times: 2 };
        assert_eq!(
            few(0, 0, None, Some(logged)).seen(),
            format!("{none}; the worker logged this error 2 times: no key")
        );
    }
}
