//! Runs in the worker's process: checks the codec, and reports each finding at once. A codec may loop forever
//! or end the program; then the report ends with the check that was running.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use cli_kit::exit::Exit;
use serde::{Deserialize, Serialize};
use solutions::Step;
use tracing::Level;

use crate::{
    Check, JudgeError, MakeCodec, Outcome, Promise, limits, noise, promises, stage::TIME_LIMIT,
    verdict,
};

/// How often the examiner checks whether the codec is still being constructed.
const CONSTRUCTION_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// One line of the examiner's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The check of this promise starts.
    Judging(&'static Promise),
    /// The check is done: its result, and those of other promises that were seen to be broken meanwhile.
    Judged(&'static Promise, Vec<Check>),
    /// The machine is too busy: what was seen.
    Overloaded(String),
    /// All was judged.
    Done,
}

/// Checks the codec as that step's, for the process `parent`. This process exits when that one does.
///
/// The report goes to standard input, which has to be the writing end of a pipe. Standard output belongs to
/// the codec, and the codec knows no path to this pipe.
///
/// # Errors
/// When standard input can't be written to, or the checks can't run.
pub fn run(
    step: Step,
    codec: MakeCodec<'_>,
    seed: u64,
    parent: Option<i32>,
) -> anyhow::Result<Exit> {
    let report = Report(Mutex::new(File::from(io::stdin().as_fd().try_clone_to_owned()?)));
    let report = Arc::new(report);
    limits::impose();
    limits::end_with_parent(parent)?;
    // Everything a codec logs counts as its output, at any level.
    tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init()
        .map_err(|error| anyhow!(error))?;
    let construction = Construction::watched(step, Arc::clone(&report))?;
    let codec = |keys| {
        let _until_made = construction.begin();
        codec(keys)
    };
    let judged = judge(step, &codec, seed, &report);
    match judged.as_ref().err().and_then(|error| error.downcast_ref()) {
        Some(JudgeError::TooBusy(seen)) => {
            report.write(&Line::Overloaded(seen.clone()))?;
            Ok(Exit::Environment)
        }
        _ => judged.map(|()| Exit::Done),
    }
}

struct Report(Mutex<File>);

impl Report {
    fn write(&self, line: &Line) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)?;
        Ok(())
    }
}

/// When the construction of each codec started. A call runs on a thread that can be abandoned, but codecs are
/// constructed on the examiner's own threads.
#[derive(Default)]
struct Construction(Mutex<Vec<Instant>>);

impl Construction {
    /// Reports a codec that takes too long to construct, and ends this process.
    fn watched(step: Step, report: Arc<Report>) -> io::Result<Arc<Self>> {
        let construction = Arc::<Self>::default();
        let watched = Arc::clone(&construction);
        thread::Builder::new().name("construction".to_owned()).spawn(move || {
            while watched.under_way().first().is_none_or(|began| began.elapsed() <= TIME_LIMIT) {
                thread::sleep(CONSTRUCTION_CHECK_INTERVAL);
            }
            if let Some(promise) = promises::in_order(step).next() {
                let seen = format!("making the codec: {}", JudgeError::Stuck(TIME_LIMIT));
                let stuck = Check { promise, outcome: Outcome::Stuck, fault: None, seen };
                report.write(&Line::Judged(promise, vec![stuck])).ok();
            }
            report.write(&Line::Done).ok();
            process::exit(Exit::Done as i32);
        })?;
        Ok(construction)
    }

    fn begin(&self) -> UnderConstruction<'_> {
        let began = Instant::now();
        self.under_way().push(began);
        UnderConstruction { construction: self, began }
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A codec under construction, until this is dropped, also by a panic.
struct UnderConstruction<'a> {
    construction: &'a Construction,
    began: Instant,
}

impl Drop for UnderConstruction<'_> {
    fn drop(&mut self) {
        self.construction.under_way().retain(|began| *began != self.began);
    }
}

fn judge(step: Step, codec: MakeCodec<'_>, seed: u64, report: &Report) -> anyhow::Result<()> {
    noise::quiet()?;
    let one = |promise: &'static Promise| -> anyhow::Result<Vec<Check>> {
        report.write(&Line::Judging(promise))?;
        let checks = verdict::of(promise, step, codec, seed)?;
        report.write(&Line::Judged(promise, checks.clone()))?;
        Ok(checks)
    };
    let (alone, together): (Vec<_>, Vec<_>) =
        promises::in_order(step).partition(|promise| promise.alone);
    let mut broken = Vec::new();
    for promise in alone {
        if promise.is_implied_by(&broken) {
            continue;
        }
        let checks = one(promise)?;
        broken.extend(checks.iter().filter(|check| !check.is_kept()).map(|check| check.promise));
        if verdict::is_the_last(promise, &checks) {
            return report.write(&Line::Done);
        }
    }
    // These mostly wait, so they can run concurrently.
    let judged: Vec<anyhow::Result<Vec<Check>>> = thread::scope(|scope| {
        let due = together.iter().filter(|promise| !promise.is_implied_by(&broken));
        let running: Vec<_> = due.map(|promise| scope.spawn(|| one(promise))).collect();
        let joined = running.into_iter().map(|running| running.join());
        joined.map(|judged| judged.unwrap_or_else(|_| Err(anyhow!("a check panicked")))).collect()
    });
    let judged = judged.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    if !judged.iter().flatten().any(|check| check.outcome == Outcome::Stuck) {
        verdict::last_calls(step, codec, seed);
    }
    report.write(&Line::Done)
}
