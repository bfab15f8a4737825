//! Starts the process that judges a codec, keeps it within limits, and reads what it wrote.

use std::{
    fs::{self, File},
    io,
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    path::Path,
    process::{self, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use cli_kit::term::one_line;
use judge::{
    Check, Promise,
    examiner::Line,
    leaks::{Leak, leak},
    limits::{MEMORY, OUTPUT},
    verdict,
};
use rustix::process::Signal;
use serde::Serialize;
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
use tempfile::TempDir;
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::process::{ProcessGroup, without_users_settings};

/// The slowest right codec, one that retries for as long as it may, needs half of it.
pub const TIME_LIMIT: Duration = Duration::from_secs(45);
/// How often the limits are looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// What the process has written is there at once when it has ended.
const REPORT_LIMIT: Duration = Duration::from_secs(1);
/// Characters of what was seen that are shown: a codec's panic or error may be of any length.
const SHOWN_CHARACTERS: usize = 300;

/// What was found.
pub struct Examination {
    /// What was judged.
    pub checks: Vec<Check>,
    /// How it ended.
    pub ended: Ended,
    /// What can be read in what it printed or wrote, and should not.
    pub leak: Option<Shown>,
}

/// A leak, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// What is shown.
    #[serde(flatten)]
    pub leak: Leak,
    /// Where.
    pub place: Place,
}

/// Where a codec may show what it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In what it prints and logs.
    Output,
    /// In a file that it writes, to its working folder or to the folder for temporary files.
    File,
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
        let words = folder.join("output.log");
        let output = File::create(&words)
            .with_context(|| format!("{} can't be written", words.display()))?;
        // Its own, so that what the codec leaves there is seen, and goes.
        let own = TempDir::new()?;
        // The worker writes into this pipe as its standard input: standard output is the codec's.
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(program);
        command
            .args(["--seed", &seed.to_string(), "--for", &process::id().to_string()])
            .current_dir(own.path())
            .env("TMPDIR", own.path())
            .stdin(writer)
            .stdout(output.try_clone()?)
            .stderr(output);
        without_users_settings(&mut command);
        let mut process =
            ProcessGroup::start(&mut command).context("the worker can't be started")?;
        // Ours would keep the pipe open.
        drop(command);
        let report = ReportPipe::read(reader.into())?;
        let limit = within_limits(&mut process, &words).await;
        process.end().await?;
        end_all_with(own.path());
        let limit = limit?;
        let output = fs::read(&words)?;
        let (checks, ended) = read(&report.whole().await, limit, &output);
        let printed = leak(&output).map(|leak| Shown { leak, place: Place::Output });
        let written = || Some(Shown { leak: leak_in_files(own.path())?, place: Place::File });
        Ok(Self { checks, ended, leak: printed.or_else(written) })
    }

    /// Whether all was judged, every promise is kept, and nothing was printed that should not be.
    pub fn is_well(&self) -> bool {
        self.ended == Ended::Whole && self.checks.iter().all(Check::is_kept) && self.leak.is_none()
    }
}

/// What the process writes, read as it comes: a full pipe would stop it.
struct ReportPipe {
    written: Arc<Mutex<Vec<u8>>>,
    reading: tokio::task::JoinHandle<()>,
}

impl ReportPipe {
    fn read(reader: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&reader, true)?;
        let mut reader = pipe::Receiver::from_owned_fd(reader)?;
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let shared = Arc::clone(&written);
        let reading = tokio::spawn(async move {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut some).await {
                let mut all = shared.lock().unwrap_or_else(PoisonError::into_inner);
                all.extend_from_slice(&some[..length]);
            }
        });
        Ok(Self { written, reading })
    }

    /// All of it, when the process has ended. What the codec started may hold the pipe open.
    async fn whole(mut self) -> Vec<u8> {
        if timeout(REPORT_LIMIT, &mut self.reading).await.is_err() {
            self.reading.abort();
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *written)
    }
}

/// Kills what the codec started and what left its process group, as with `setsid`: each has inherited the
/// folder for temporary files.
fn end_all_with(folder: &Path) {
    let mut system = System::new();
    let environment = ProcessRefreshKind::nothing().with_environ(UpdateKind::Always);
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, environment);
    let mark = format!("TMPDIR={}", folder.display());
    for process in system.processes().values() {
        if process.environ().iter().any(|variable| *variable == *mark) {
            process.kill();
        }
    }
}

/// What can be read in a file of this folder, or of one in it.
fn leak_in_files(folder: &Path) -> Option<Leak> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink())).find_map(
        |entry| match entry.path() {
            path if path.is_dir() => leak_in_files(&path),
            path => fs::read(path).ok().and_then(|content| leak(&content)),
        },
    )
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

/// What the process wrote of its findings, and if it wrote nothing of the end, how the process ended.
fn read(report: &[u8], limit: Limit, output: &[u8]) -> (Vec<Check>, Ended) {
    let mut checks = Vec::new();
    let mut judging = Vec::new();
    let mut ended = None;
    for line in String::from_utf8_lossy(report).lines() {
        // The last line of a process that was killed may be half a one.
        let Ok(line) = serde_json::from_str(line) else { break };
        match line {
            Line::Judging(promise) => judging.push(promise),
            Line::Judged(measured, some) => {
                judging.retain(|promise| *promise != measured);
                checks.extend(
                    some.into_iter().map(|check| Check {
                        seen: one_line(&check.seen, SHOWN_CHARACTERS),
                        ..check
                    }),
                );
            }
            Line::Overloaded(seen) => ended = Some(Ended::Overloaded(seen)),
            Line::Done => ended = Some(Ended::Whole),
        }
    }
    let checks = verdict::merged(checks);
    let judging = judging.first().copied();
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

#[cfg(test)]
mod tests {

    use judge::promises::WIRE_FORMAT;

    use super::*;

    #[test]
    fn rubbish_in_the_report_takes_nothing_away() {
        let judging = serde_json::to_string(&Line::Judging(WIRE_FORMAT)).unwrap();
        let file = [judging.as_bytes(), b"\n\xff{\n"].concat();
        let (checks, ended) = read(&file, Limit::Time, b"");
        assert_eq!((checks.len(), ended), (0, Ended::TooLong(Some(WIRE_FORMAT))));
    }
}
