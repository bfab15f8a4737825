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

/// The slowest correct codec, which retries for as long as it may, needs half of this.
pub const TIME_LIMIT: Duration = Duration::from_secs(45);
/// How often the limits are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Once the process has exited, what it wrote arrives at once; on a busy machine, a little later.
const REPORT_LIMIT: Duration = Duration::from_secs(10);
/// How many characters of a finding are shown: a codec's panic or error may have any length.
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
    /// Every check ran.
    Whole,
    /// The machine is too busy: what was seen.
    Overloaded(String),
    /// The codec ended the program while this promise was checked.
    Exited(Option<&'static Promise>, String),
    /// It did not finish while this promise was checked.
    TooLong(Option<&'static Promise>),
    /// It took too much memory while this promise was checked.
    TooLarge(Option<&'static Promise>),
    /// It printed too much while this promise was checked.
    TooLoud(Option<&'static Promise>),
}

impl Examination {
    /// Starts the worker's program so that it checks its codec. `show` gets each check when it is done, and one
    /// that passed again if another check finds that it is broken.
    ///
    /// # Errors
    /// When it can't be started, or its file can't be read.
    pub async fn of(
        program: &Path,
        seed: u64,
        folder: &Path,
        show: impl FnMut(&Check),
    ) -> anyhow::Result<Self> {
        let words = folder.join("output.log");
        let output = File::create(&words)
            .with_context(|| format!("{} can't be written", words.display()))?;
        // A temporary folder for this run: what the codec leaves there is found, and then removed.
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
        // Our copy of the writing end would keep the pipe open.
        drop(command);
        let report = ReportPipe::read(reader.into())?;
        let mut news = News { show, lines: 0, shown: Vec::new() };
        let limit = within_limits(&mut process, &words, || news.show(&report.so_far())).await;
        process.end().await?;
        end_all_with(own.path());
        let limit = limit?;
        let output = fs::read(&words)?;
        let report = report.whole().await;
        news.show(&report);
        let (checks, ended) = read(&report, limit, &output);
        let printed = leak(&output).map(|leak| Shown { leak, place: Place::Output });
        let written = || Some(Shown { leak: leak_in_files(own.path())?, place: Place::File });
        Ok(Self { checks, ended, leak: printed.or_else(written) })
    }

    /// Whether every check ran and passed, and nothing was leaked.
    pub fn is_well(&self) -> bool {
        self.ended == Ended::Whole && self.checks.iter().all(Check::is_kept) && self.leak.is_none()
    }
}

/// What the process writes, read as it arrives, because a full pipe would block it.
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

    fn so_far(&self) -> Vec<u8> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All that was written, once the process has exited. What the codec started may hold the pipe open.
    async fn whole(mut self) -> Vec<u8> {
        if timeout(REPORT_LIMIT, &mut self.reading).await.is_err() {
            self.reading.abort();
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *written)
    }
}

/// Shows the checks in a report that is still being written.
struct News<F> {
    show: F,
    /// How many of its lines were looked at already.
    lines: usize,
    shown: Vec<Check>,
}

impl<F: FnMut(&Check)> News<F> {
    fn show(&mut self, report: &[u8]) {
        for line in lines(report).skip(self.lines) {
            self.lines += 1;
            let Line::Judged(_, checks) = line else { continue };
            for check in checks.into_iter().map(shortened) {
                let known = |shown: &Check| shown.promise == check.promise;
                let known = self.shown.iter().position(known);
                match known.map(|at| &mut self.shown[at]) {
                    // A check that fails outweighs one that passes, as in the verdict.
                    Some(shown) if !shown.is_kept() || check.is_kept() => continue,
                    Some(shown) => *shown = check.clone(),
                    None => self.shown.push(check.clone()),
                }
                (self.show)(&check);
            }
        }
    }
}

/// The lines of a report. The last one may be incomplete: the process still writes it, or was killed.
fn lines(report: &[u8]) -> impl Iterator<Item = Line> {
    report.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}

/// Its finding at a length that can be shown.
fn shortened(check: Check) -> Check {
    Check { seen: one_line(&check.seen, SHOWN_CHARACTERS), ..check }
}

/// Kills processes that the codec started and that left its process group, for example with `setsid`. They
/// are found by the temporary folder that they have inherited.
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

/// Waits until the process exits or reaches a limit, and calls `meanwhile` again and again.
async fn within_limits(
    process: &mut ProcessGroup,
    words: &Path,
    mut meanwhile: impl FnMut(),
) -> anyhow::Result<Limit> {
    let began = Instant::now();
    let pid = process.id().map(sysinfo::Pid::from_u32);
    let mut system = System::new();
    loop {
        meanwhile();
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

/// The findings that the process wrote. If its report has no end, the process's own exit tells why.
fn read(report: &[u8], limit: Limit, output: &[u8]) -> (Vec<Check>, Ended) {
    let mut checks = Vec::new();
    let mut judging = Vec::new();
    let mut ended = None;
    for line in lines(report) {
        match line {
            Line::Judging(promise) => judging.push(promise),
            Line::Judged(measured, some) => {
                judging.retain(|promise| *promise != measured);
                checks.extend(some.into_iter().map(shortened));
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

/// Whether a Rust program reported that an allocation failed. With `RUST_BACKTRACE`, that message is not the
/// last line.
fn had_no_memory(output: &[u8]) -> bool {
    let words = b"memory allocation of ";
    output.windows(words.len()).any(|window| window == words)
}

#[cfg(test)]
mod tests {
    use std::slice;

    use judge::{
        Outcome,
        promises::{PAYLOADS, WIRE_FORMAT},
    };

    use super::*;

    #[test]
    fn rubbish_in_the_report_takes_nothing_away() {
        let judging = serde_json::to_string(&Line::Judging(WIRE_FORMAT)).unwrap();
        let file = [judging.as_bytes(), b"\n\xff{\n"].concat();
        let (checks, ended) = read(&file, Limit::Time, b"");
        assert_eq!((checks.len(), ended), (0, Ended::TooLong(Some(WIRE_FORMAT))));
    }

    #[test]
    fn each_check_is_shown_once_and_again_when_it_turns_out_to_be_broken() {
        let check = |promise, outcome| Check { promise, outcome, fault: None, seen: String::new() };
        let line = |measured, checks: &[Check]| {
            serde_json::to_string(&Line::Judged(measured, checks.to_vec())).unwrap() + "\n"
        };
        let [kept, broken] = [Outcome::Kept, Outcome::Broken];
        let payloads = check(PAYLOADS, kept.clone());
        let format = check(WIRE_FORMAT, kept);
        let at_fault = check(PAYLOADS, broken);
        let report = [
            line(PAYLOADS, slice::from_ref(&payloads)),
            "rubbish\n".to_owned(),
            line(WIRE_FORMAT, &[format.clone(), at_fault.clone()]),
            line(PAYLOADS, slice::from_ref(&payloads)),
        ]
        .concat();
        let mut shown = Vec::new();
        let show = |check: &Check| shown.push(check.clone());
        let mut news = News { show, lines: 0, shown: Vec::new() };
        for end in 0..=report.len() {
            news.show(&report.as_bytes()[..end]);
        }
        assert_eq!(shown, [payloads, format, at_fault]);
    }
}
