//! In the worker's process: judges the codec, and writes down what it finds as it finds it. A codec
//! may loop for ever or end the program: what it was asked last is then in the file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use anyhow::anyhow;
use cli_kit::exit::Exit;
use codec_kit::{AnyCodec, KeyService};
use serde::{Deserialize, Serialize};
use solutions::Step;
use tracing::Level;

use crate::{Check, JudgeError, MakeCodec, Outcome, Promise, limits, noise, promises};

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// This promise is judged now.
    Judging(&'static Promise),
    /// It was judged.
    Judged(Check),
    /// The machine can't judge: what was seen.
    Overloaded(String),
    /// All was judged.
    Done,
}

/// Judges the codec as that step's, into `file`, for the process `parent`: with it, this one ends.
///
/// # Errors
/// When the file can't be written, or the judge can't work.
pub fn run(
    step: Step,
    codec: impl Fn(KeyService) -> AnyCodec,
    seed: u64,
    file: &Path,
    parent: Option<i32>,
) -> anyhow::Result<Exit> {
    limits::impose();
    limits::end_with_parent(parent)?;
    // All that a codec logs counts as its output, whoever asks for which level.
    tracing_subscriber::fmt()
        .with_max_level(Level::TRACE)
        .with_writer(io::stderr)
        .with_ansi(false)
        .try_init()
        .map_err(|error| anyhow!(error))?;
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    let judged = judge(step, &codec, seed, &mut file);
    match judged.as_ref().err().and_then(|error| error.downcast_ref()) {
        Some(JudgeError::TooBusy(seen)) => {
            write(&mut file, &Line::Overloaded(seen.clone()))?;
            Ok(Exit::Environment)
        }
        _ => judged.map(|()| Exit::Done),
    }
}

fn judge(step: Step, codec: MakeCodec<'_>, seed: u64, file: &mut File) -> anyhow::Result<()> {
    noise::quiet()?;
    for promise in promises::of(step) {
        write(file, &Line::Judging(promise))?;
        let check = promise.judge(step, codec, seed)?;
        if !check.is_kept() {
            noise::quiet()?;
        }
        let stuck = check.outcome == Outcome::Stuck;
        write(file, &Line::Judged(check))?;
        if stuck {
            // It would be stuck again, and each time the judge's patience is spent.
            break;
        }
    }
    write(file, &Line::Done)
}

fn write(file: &mut File, line: &Line) -> anyhow::Result<()> {
    writeln!(file, "{}", serde_json::to_string(line)?)?;
    Ok(())
}
