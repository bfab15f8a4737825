//! Judges one codec. The only place that knows how to call the checks.
//!
//! The generated program has this file as a module: it judges one mutant in its own process, and writes
//! what it finds as lines of JSON. The program that started it reads them.

use std::{
    env,
    fs::File,
    io::{self, Write},
    process::ExitCode,
};

use codec_kit::{AnyCodec, KeyService};
use judge::{JudgeError, Outcome, limits, promises, verdict};
use serde::{Deserialize, Serialize};
use solutions::Step;

/// Builds a mutant around a key service.
pub type Make = fn(KeyService) -> AnyCodec;

/// One line of what a process found.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// This check runs now.
    Judging(String),
    /// The machine is too busy for it. It is tried again.
    Busy(String),
    /// The codec is rejected: the check, and what it saw.
    Rejected(String, String),
    /// The codec is accepted, at these costs.
    Accepted(Vec<String>),
}

/// How often a check is tried again on a machine that is too busy.
const BUSY_TRIES: usize = 20;

/// Judges the codec as that step's, with one check after another up to the first that fails.
fn judge(step: Step, make: Make, seed: u64, mut tell: impl FnMut(Line)) -> Option<Line> {
    let mut costs = Vec::new();
    for promise in promises::in_order(step) {
        tell(Line::Judging(promise.name.to_owned()));
        let mut tries = 0..BUSY_TRIES;
        let checks = loop {
            match verdict::of(promise, step, &make, seed) {
                Ok(checks) => break verdict::merged(checks),
                Err(error) => {
                    tell(Line::Busy(error.to_string()));
                    if !matches!(error, JudgeError::TooBusy(_)) {
                        return None;
                    }
                    tries.next()?;
                }
            }
        };
        if let Some(cause) = verdict::cause(&checks) {
            return Some(Line::Rejected(cause.promise.name.to_owned(), cause.seen.clone()));
        }
        costs.extend(checks.into_iter().filter_map(|check| match check.outcome {
            Outcome::KeptAtACost(cost) => Some(cost),
            _ => None,
        }));
    }
    verdict::last_calls(step, &make, seed);
    Some(Line::Accepted(costs))
}

/// In the generated program: judges the mutant that the command line names. Its arguments are the
/// mutant's id, the seed, the file to write into, and the process whose end ends this one, too.
pub fn main(step: u8, mutants: &[(&str, Make)]) -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match one(step, mutants, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "{error}").ok();
            ExitCode::from(2)
        }
    }
}

fn one(step: u8, mutants: &[(&str, Make)], arguments: &[String]) -> io::Result<()> {
    let [id, seed, file, parent] = arguments else {
        return Err(io::Error::other("usage: ID SEED FILE PARENT"));
    };
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    let make = mutants.iter().find(|(name, _)| name == id);
    let (_, make) = make.ok_or_else(|| io::Error::other(format!("there is no mutant {id}")))?;
    let step = Step::exercise(step).map_err(io::Error::other)?;

    limits::impose();
    limits::end_with_parent(Some(number(parent)? as i32))?;
    let mut file = File::create(file)?;
    let mut tell = |line: Line| {
        // Without its line, the process counts as one that did not judge.
        serde_json::to_string(&line).map(|line| writeln!(file, "{line}")).ok();
    };
    let last = judge(step, *make, number(seed)?, &mut tell);
    last.into_iter().for_each(tell);
    // What the codec has left running ends here.
    std::process::exit(0)
}
