//! Starts the process that judges a codec, keeps it within limits, and reads what it wrote.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use solutions::{
    Step,
    judge::{Check, Promise},
};
use sysinfo::{ProcessesToUpdate, System};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use super::examine::Line;

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
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true);
        let mut process = Group(command.spawn().context("the worker can't be started")?);
        let limit = process.within_limits(&words).await?;
        drop(process);
        read(&file, limit)
    }
}

enum Limit {
    Ended(ExitStatus),
    Time,
    Memory,
    Output,
}

/// A process and all that it starts; killed when dropped.
struct Group(Child);

impl Group {
    /// Waits for its end, or for the limit that it reaches.
    async fn within_limits(&mut self, words: &Path) -> anyhow::Result<Limit> {
        let began = Instant::now();
        let pid = self.0.id().map(sysinfo::Pid::from_u32);
        let mut system = System::new();
        loop {
            if let Some(status) = self.0.try_wait()? {
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
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            kill_process_group(pid, Signal::KILL).ok();
        }
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
