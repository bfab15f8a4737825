//! Starts the process that judges a codec, keeps it within limits, and reads what it wrote.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use solutions::{
    Step,
    judge::{Check, Promise},
};
use sysinfo::{ProcessesToUpdate, System};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::examine::Line;
use crate::process_group::ProcessGroup;

/// The slowest right codec needs a third of it.
const TIME: Duration = Duration::from_secs(25);
/// Bytes; a right codec needs a tenth of it.
const MEMORY: u64 = 1 << 30;
/// Bytes; a line of debugging for each call is well below.
const OUTPUT: u64 = 16 << 20;
/// How often the limits are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What was found.
pub struct Examination {
    /// What was judged.
    pub checks: Vec<Check>,
    /// How it ended.
    pub ended: Ended,
}

/// How an examination ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// All was judged.
    Whole,
    /// The machine is too busy: what was seen.
    Overloaded(String),
    /// The codec ended the program, in the middle of judging this promise.
    Exited(Option<Promise>, String),
    /// It did not come to an end, while this promise was judged.
    TooLong(Option<Promise>),
    /// It took too much memory, while this promise was judged.
    TooLarge(Option<Promise>),
    /// It printed too much, while this promise was judged.
    TooLoud(Option<Promise>),
}

impl Examination {
    /// Has the worker judge its codec of that step.
    ///
    /// # Errors
    /// When it can't be started, or its file can't be read.
    pub async fn of(program: &Path, step: Step, seed: u64, folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("judged.jsonl");
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let words = folder.join("output.log");
        let output = File::create(&words)?;
        let mut command = Command::new(program);
        command
            .args(["--exercise", &step.number().to_string(), "--seed", &seed.to_string()])
            .arg("--judge")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let process = ProcessGroup::start(&mut command).context("the worker can't be started")?;
        let limit = within_limits(process, &words).await?;
        read(&file, limit)
    }

    /// Whether all was judged, and every promise is kept.
    pub fn is_well(&self) -> bool {
        self.ended == Ended::Whole && self.checks.iter().all(Check::is_kept)
    }
}

enum Limit {
    Ended(ExitStatus),
    Time,
    Memory,
    Output,
}

/// Waits for its end, or for the limit that it reaches. Then it is gone, with all that it started.
async fn within_limits(mut process: ProcessGroup, words: &Path) -> anyhow::Result<Limit> {
    let began = Instant::now();
    let pid = process.id().map(sysinfo::Pid::from_u32);
    let mut system = System::new();
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(Limit::Ended(status));
        }
        if began.elapsed() > TIME {
            return Ok(Limit::Time);
        }
        if fs::metadata(words)?.len() > OUTPUT {
            return Ok(Limit::Output);
        }
        if let Some(pid) = pid {
            system.refresh_processes(ProcessesToUpdate::Some(&[pid]), true);
            if system.process(pid).is_some_and(|process| process.memory() > MEMORY) {
                return Ok(Limit::Memory);
            }
        }
        sleep(LOOK).await;
    }
}

fn read(file: &PathBuf, limit: Limit) -> anyhow::Result<Examination> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut checks = Vec::new();
    let mut judging = None;
    let mut ended = None;
    for line in text.lines() {
        // The last line of a process that was killed may be half a one.
        let Ok(line) = serde_json::from_str(line) else { break };
        match line {
            Line::Judging(promise) => judging = Some(promise),
            Line::Judged(check) => {
                judging = None;
                checks.push(check);
            }
            Line::Overloaded(seen) => ended = Some(Ended::Overloaded(seen)),
            Line::Done => ended = Some(Ended::Whole),
        }
    }
    let ended = ended.unwrap_or(match limit {
        Limit::Ended(status) => Ended::Exited(judging, status.to_string()),
        Limit::Time => Ended::TooLong(judging),
        Limit::Memory => Ended::TooLarge(judging),
        Limit::Output => Ended::TooLoud(judging),
    });
    Ok(Examination { checks, ended })
}
