//! Judges each mutant in a process of its own, several at a time, and keeps what was found.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use cli_kit::errln;
use judge::{
    leaks::leak,
    limits::{MEMORY, OUTPUT},
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::{judging::Line, mutant::Mutant};

/// How long a mutant may take. The slowest that the judge accepts needs a third of it.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// How often a process is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// How often the progress is printed: every so many mutants.
const PROGRESS: usize = 25;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Rejected: by which check or limit, and what was seen.
    Rejected(String, String),
    /// Accepted, at these costs.
    Survived(Vec<String>),
}

/// A line of the results.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    id: String,
    /// The digests of the mutant's source, and of what judged it.
    mutant: String,
    judge: String,
    seed: u64,
    seconds: f64,
    verdict: Verdict,
}

/// The results of all runs.
pub struct Results {
    file: PathBuf,
    judge: String,
    seed: u64,
    /// By id and digest of the mutant: of this judge and seed only.
    found: Mutex<BTreeMap<(String, String), Verdict>>,
}

impl Results {
    /// Reads what earlier runs found with the same judge and the same seed.
    pub fn read(folder: &Path, judge: &str, seed: u64) -> Self {
        let file = folder.join("results.jsonl");
        let text = fs::read_to_string(&file).unwrap_or_default();
        // The last line of a killed run may be incomplete.
        let records = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
        let found = records
            .filter(|record| record.judge == judge && record.seed == seed)
            .map(|record| ((record.id, record.mutant), record.verdict))
            .collect();
        Self { file, judge: judge.to_owned(), seed, found: Mutex::new(found) }
    }

    /// What became of a mutant, if it is known.
    pub fn of(&self, mutant: &Mutant) -> Option<Verdict> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.get(&(mutant.id.clone(), mutant.digest.clone())).cloned()
    }

    /// Judges those of these mutants whose verdict is not known, so many at a time.
    pub fn judge(&self, program: &Path, mutants: &[Mutant], jobs: usize) -> anyhow::Result<()> {
        let folder = self.file.with_file_name("run");
        fs::create_dir_all(&folder)?;
        let rest: Vec<_> = mutants.iter().filter(|mutant| self.of(mutant).is_none()).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || -> anyhow::Result<()> {
            while let Some(mutant) = rest.get(next.fetch_add(1, Relaxed)) {
                let began = Instant::now();
                match judge_one(program, mutant, self.seed, &folder)? {
                    Ok(verdict) => self.keep(mutant, verdict, began.elapsed())?,
                    Err(TooBusy(seen)) => errln!("{}: no verdict: {seen}", mutant.id),
                }
                let done = done.fetch_add(1, Relaxed) + 1;
                if done.is_multiple_of(PROGRESS) || done == rest.len() {
                    errln!("step {}: {done} of {} judged", mutant.step, rest.len());
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })
    }

    fn keep(&self, mutant: &Mutant, verdict: Verdict, took: Duration) -> anyhow::Result<()> {
        let record = Record {
            id: mutant.id.clone(),
            mutant: mutant.digest.clone(),
            judge: self.judge.clone(),
            seed: self.seed,
            seconds: took.as_secs_f64(),
            verdict: verdict.clone(),
        };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        // One write, so that a line is there or not.
        file.write_all((serde_json::to_string(&record)? + "\n").as_bytes())?;
        found.insert((record.id, record.mutant), verdict);
        Ok(())
    }
}

/// The machine was too busy for a verdict, and what was seen.
#[derive(Debug, PartialEq)]
struct TooBusy(String);

/// How a process ended.
enum End {
    Exited(process::ExitStatus),
    Limit(&'static str),
}

/// Judges one in a process of its own.
fn judge_one(
    program: &Path,
    mutant: &Mutant,
    seed: u64,
    folder: &Path,
) -> anyhow::Result<Result<Verdict, TooBusy>> {
    let (file, log) = (
        folder.join(format!("{}.jsonl", mutant.digest)),
        folder.join(format!("{}.log", mutant.digest)),
    );
    fs::remove_file(&file).ok();
    let output = File::create(&log)?;
    let mut child = Command::new(program)
        .args([&mutant.id, &seed.to_string()])
        .arg(&file)
        .arg(process::id().to_string())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // In its own process group, so that everything it started is killed with it.
        .process_group(0)
        .spawn()
        .context("a mutant's process can't be started")?;
    let end = within_limits(&mut child, &log);
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        kill_process_group(group, Signal::KILL).ok();
    }
    child.wait()?;
    let end = end?;

    let lines: Vec<Line> = fs::read_to_string(&file)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let output = fs::read(&log)?;
    fs::remove_file(&file).ok();
    fs::remove_file(&log).ok();
    Ok(verdict(lines, &end, &output))
}

fn verdict(lines: Vec<Line>, end: &End, output: &[u8]) -> Result<Verdict, TooBusy> {
    let mut check = "no check".to_owned();
    let mut busy = None;
    for line in lines {
        match line {
            Line::Judging(name) => (check, busy) = (name, None),
            Line::Busy(seen) => busy = Some(TooBusy(format!("{check}: {seen}"))),
            Line::Rejected(check, seen) => return Ok(Verdict::Rejected(check, short(&seen))),
            Line::Accepted(costs) => {
                return Ok(match leak(output) {
                    Some(leak) => {
                        let seen = format!("{} can be read in its output {}", leak.what, leak.form);
                        Verdict::Rejected("leak".to_owned(), seen)
                    }
                    None => Verdict::Survived(costs),
                });
            }
        }
    }
    let seen = match end {
        End::Limit(limit) => (*limit).to_owned(),
        End::Exited(status) => match status.signal() {
            Some(_) => status.to_string(),
            // It ended by itself, without a verdict.
            None => {
                let output = String::from_utf8_lossy(output);
                let last = output.lines().last().unwrap_or_default();
                format!("{status} {}", short(last))
            }
        },
    };
    busy.map_or_else(
        || Ok(Verdict::Rejected("did not finish".to_owned(), format!("{seen}, in {check}"))),
        Err,
    )
}

/// Waits until the process exits or reaches a limit.
fn within_limits(child: &mut Child, log: &Path) -> anyhow::Result<End> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(End::Exited(status));
        }
        if began.elapsed() > TIME_LIMIT {
            return Ok(End::Limit("it took more than 60 s"));
        }
        if fs::metadata(log)?.len() >= OUTPUT {
            return Ok(End::Limit("it printed more than 16 MiB"));
        }
        if memory(child.id()).is_some_and(|bytes| bytes > MEMORY) {
            return Ok(End::Limit("it took more than 1 GiB of memory"));
        }
        thread::sleep(CHECK_INTERVAL);
    }
}

/// Bytes of memory in use, where the system tells.
fn memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kibibytes * 1024)
}

/// A codec's message may be long.
fn short(text: &str) -> String {
    const SHOWN: usize = 200;
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exited() -> End {
        End::Exited(process::ExitStatus::from_raw(0))
    }

    #[test]
    fn a_mutant_that_hangs_is_rejected_and_a_busy_machine_rejects_nothing() {
        let judging = || Line::Judging("wire_format".to_owned());
        let hangs = verdict(vec![judging()], &End::Limit("it took more than 60 s"), b"");
        let seen = "it took more than 60 s, in wire_format".to_owned();
        assert_eq!(hangs, Ok(Verdict::Rejected("did not finish".to_owned(), seen)));
        let busy = verdict(vec![judging(), Line::Busy("it is busy".to_owned())], &exited(), b"");
        assert_eq!(busy, Err(TooBusy("wire_format: it is busy".to_owned())));
    }

    #[test]
    fn a_mutant_that_prints_a_payload_is_rejected() {
        let accepted = || vec![Line::Accepted(Vec::new())];
        assert_eq!(verdict(accepted(), &exited(), b"sealed"), Ok(Verdict::Survived(Vec::new())));
        let printed = verdict(accepted(), &exited(), judge::measure::MARKER.as_bytes());
        assert!(matches!(printed, Ok(Verdict::Rejected(check, _)) if check == "leak"));
    }
}
