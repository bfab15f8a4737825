//! Starts the process that judges a codec, keeps it within limits, and reads what it wrote.

use std::{
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{self, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use judge::{
    Check, Promise,
    examiner::Line,
    leaks::{Leak, leak},
    limits::{MEMORY, OUTPUT},
};
use rustix::process::Signal;
use sysinfo::{ProcessesToUpdate, System};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::process::ProcessGroup;

/// The slowest right codec needs a third of it.
const TIME_LIMIT: Duration = Duration::from_secs(25);
/// How often the limits are looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Characters of what was seen that are told: a codec's panic or error may be of any length.
const SHOWN_CHARACTERS: usize = 300;
/// What was found.
pub struct Examination {
    /// What was judged.
    pub checks: Vec<Check>,
    /// How it ended.
    pub ended: Ended,
    /// What could be read in its output and should not.
    pub leak: Option<Leak>,
}

/// How an examination ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// All was judged.
    Whole,
    /// The machine is too busy: what was seen.
    Overloaded(String),
    /// The codec ended the program, in the middle of judging this promise.
    Exited(Option<&'static Promise>, String),
    /// It did not come to an end, while this promise was judged.
    TooLong(Option<&'static Promise>),
    /// It took too much memory, while this promise was judged.
    TooLarge(Option<&'static Promise>),
    /// It printed too much, while this promise was judged.
    TooLoud(Option<&'static Promise>),
}

impl Examination {
    /// Has the worker judge its codec of that step.
    ///
    /// # Errors
    /// When it can't be started, or its file can't be read.
    pub async fn of(program: &Path, seed: u64, folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("judged.jsonl");
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let words = folder.join("output.log");
        let output = File::create(&words)?;
        let mut command = Command::new(program);
        command
            .args(["--seed", &seed.to_string(), "--parent", &process::id().to_string()])
            .arg("--judge")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let mut process =
            ProcessGroup::start(&mut command).context("the worker can't be started")?;
        let limit = within_limits(&mut process, &words).await;
        process.end().await?;
        let limit = limit?;
        let output = fs::read(&words)?;
        let (checks, ended) = read(&fs::read(&file).unwrap_or_default(), limit, &output);
        Ok(Self { checks, ended, leak: leak(&output) })
    }

    /// Whether all was judged, every promise is kept, and nothing was printed that should not be.
    pub fn is_well(&self) -> bool {
        self.ended == Ended::Whole && self.checks.iter().all(Check::is_kept) && self.leak.is_none()
    }
}

enum Limit {
    Ended(ExitStatus),
    Time,
    Memory,
    Output,
}

/// Waits for its end, or for the limit that it reaches.
async fn within_limits(process: &mut ProcessGroup, words: &Path) -> anyhow::Result<Limit> {
    let began = Instant::now();
    let pid = process.id().map(sysinfo::Pid::from_u32);
    let mut system = System::new();
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(Limit::Ended(status));
        }
        if began.elapsed() > TIME_LIMIT {
            return Ok(Limit::Time);
        }
        if fs::metadata(words)?.len() >= OUTPUT {
            return Ok(Limit::Output);
        }
        if let Some(pid) = pid {
            system.refresh_processes(ProcessesToUpdate::Some(&[pid]), true);
            if system.process(pid).is_some_and(|process| process.memory() > MEMORY) {
                return Ok(Limit::Memory);
            }
        }
        sleep(CHECK_INTERVAL).await;
    }
}

/// What the file of the judge says, and if it says nothing of the end, how the process ended.
fn read(file: &[u8], limit: Limit, output: &[u8]) -> (Vec<Check>, Ended) {
    let mut checks = Vec::new();
    let mut judging = None;
    let mut ended = None;
    for line in String::from_utf8_lossy(file).lines() {
        // The last line of a process that was killed may be half a one.
        let Ok(line) = serde_json::from_str(line) else { break };
        match line {
            Line::Judging(promise) => judging = Some(promise),
            Line::Judged(check) => {
                judging = None;
                checks.push(Check { seen: in_a_line(&check.seen), ..check });
            }
            Line::Overloaded(seen) => ended = Some(Ended::Overloaded(seen)),
            Line::Done => ended = Some(Ended::Whole),
        }
    }
    let ended = ended.unwrap_or_else(|| match limit {
        Limit::Ended(status) if status.signal() == Some(Signal::XFSZ.as_raw()) => {
            Ended::TooLoud(judging)
        }
        Limit::Ended(status)
            if status.signal() == Some(Signal::ABORT.as_raw()) && had_no_memory(output) =>
        {
            Ended::TooLarge(judging)
        }
        Limit::Ended(status) => Ended::Exited(judging, status.to_string()),
        Limit::Time => Ended::TooLong(judging),
        Limit::Memory => Ended::TooLarge(judging),
        Limit::Output => Ended::TooLoud(judging),
    });
    (checks, ended)
}

/// Whether a program of Rust said this that asked for memory and got none. With RUST_BACKTRACE, these
/// are not its last words.
fn had_no_memory(output: &[u8]) -> bool {
    let words = b"memory allocation of ";
    output.windows(words.len()).any(|window| window == words)
}

/// What a codec says of itself may be long, and hold new lines or a terminal's commands.
fn in_a_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(SHOWN_CHARACTERS)
        .collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {

    use judge::promises::WIRE_FORMAT;

    use super::*;

    #[test]
    fn what_a_codec_says_of_itself_is_one_short_line() {
        assert_eq!(in_a_line("a panic\nin \u{1b}[31mred"), "a panic in  [31mred");
        let long = in_a_line(&"é".repeat(1 << 20));
        assert_eq!((long.chars().count(), long.chars().last()), (SHOWN_CHARACTERS + 1, Some('…')));
    }

    #[test]
    fn rubbish_in_the_judges_file_takes_nothing_away() {
        let judging = serde_json::to_string(&Line::Judging(WIRE_FORMAT)).unwrap();
        let file = [judging.as_bytes(), b"\n\xff{\n"].concat();
        let (checks, ended) = read(&file, Limit::Time, b"");
        assert_eq!((checks.len(), ended), (0, Ended::TooLong(Some(WIRE_FORMAT))));
    }
}
