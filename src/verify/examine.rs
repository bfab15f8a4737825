//! In the worker's process: judges the codec, and writes down what it finds as it finds it. A codec
//! may loop for ever or end the program: what it was asked last is then in the file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::Duration,
};

use anyhow::anyhow;
use codec_kit::{AnyCodec, KeyService};
use serde::{Deserialize, Serialize};
use solutions::{
    Step,
    judge::{Check, JudgeError, Outcome, Promise, measure},
};
use tracing::Level;

use super::limits;
use crate::exit::Exit;

/// The stall that the machine is tried with.
const STALL: Duration = Duration::from_millis(200);

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// This promise is judged now.
    Judging(Promise),
    /// It was judged.
    Judged(Check),
    /// The machine can't judge: what was seen.
    Overloaded(String),
    /// All was judged.
    Done,
}

/// Judges the codec as that step's, into `file`.
///
/// # Errors
/// When the file can't be written, or the judge can't work.
pub fn run(
    step: Step,
    codec: impl Fn(KeyService) -> AnyCodec,
    seed: u64,
    file: &Path,
) -> anyhow::Result<Exit> {
    limits::impose();
    limits::end_with_parent()?;
    // All that a codec logs counts as its output, whoever asks for which level.
    tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init()
        .map_err(|error| anyhow!(error))?;
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    if let Some(seen) = overloaded()? {
        write(&mut file, &Line::Overloaded(seen))?;
        return Ok(Exit::Environment);
    }
    for promise in Promise::of(step) {
        write(&mut file, &Line::Judging(promise))?;
        let check = match promise.judge(step, &codec, seed) {
            Err(busy @ JudgeError::TooBusy(_)) => {
                write(&mut file, &Line::Overloaded(busy.to_string()))?;
                return Ok(Exit::Environment);
            }
            judged => judged?,
        };
        if !check.is_kept()
            && let Some(seen) = overloaded()?
        {
            write(&mut file, &Line::Overloaded(seen))?;
            return Ok(Exit::Environment);
        }
        let stuck = check.outcome == Outcome::Stuck;
        write(&mut file, &Line::Judged(check))?;
        if stuck {
            // It would be stuck again, and each time the judge's patience is spent.
            break;
        }
    }
    write(&mut file, &Line::Done)?;
    Ok(Exit::Done)
}

/// A machine on which the reference codec seems to hold its thread judges nobody.
fn overloaded() -> anyhow::Result<Option<String>> {
    let seen = measure::one_stall(&|keys| Step::Async.codec(keys), STALL)?;
    let well = seen.longest_poll < STALL / 8 && seen.wall < STALL * 3 / 2;
    Ok((!well).then(|| {
        format!(
            "the reference codec, which waits without a thread, held it for {} ms and took {} ms for \
             a stall of {} ms",
            seen.longest_poll.as_millis(),
            seen.wall.as_millis(),
            STALL.as_millis()
        )
    }))
}

fn write(file: &mut File, line: &Line) -> anyhow::Result<()> {
    writeln!(file, "{}", serde_json::to_string(line)?)?;
    Ok(())
}
