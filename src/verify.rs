//! `workshop verify N`: is the exercise solved?
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`examine`] | in the worker's process: judges the codec, and writes down what it finds |
//! | `examination` | starts that process, keeps it within limits, and reads what it wrote |
//! | `limits` | what a codec may take meanwhile |
//! | [`secrets`] | looks for plaintext and keys in what was printed |
//! | `file` | what is wrong with a `codec.rs` that no compiler need see |
//! | `live` | a real server and a small load, against the blocking codec in the same run |
//! | `diagnosis` | what the first broken promise means, and where to look next |

pub mod diagnosis;
mod examination;
pub mod examine;
mod file;
mod limits;
mod live;
pub mod secrets;

use std::{fs, path::Path};

use clap::Args;
use serde::Serialize;
use solutions::{Step, judge::Check};
use stack::root;

use crate::{
    compare::{self, TemporalCli},
    exit::{Exit, Failure},
    logging::LogArgs,
};
use examination::{Ended, Examination, Leak};
use live::Live;

/// The flags of `workshop verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// The number of the exercise
    exercise: u8,
    /// Only judge the codec by itself; leave out the run on a real server
    #[arg(long)]
    quick: bool,
    /// The same seed makes the same payloads and deals the same stalls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Report {
    exercise: u8,
    solved: bool,
    checks: Vec<Check>,
    /// What can be read in the codec's output and should not.
    #[serde(skip_serializing_if = "Option::is_none")]
    leak: Option<Leak>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
    diagnosis: Vec<String>,
}

/// Builds the worker with the exercise's codec, judges it, and says what was seen.
///
/// # Errors
/// When there is no such exercise, or this machine can't judge: no cargo, no server, too busy.
pub fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    args.log.init("warn")?;
    let step = Step::exercise(args.exercise).map_err(Failure::usage)?;
    let root = root::require()?;
    compare::until_interrupted(
        verify(args, step, &root),
        "what was started is stopped, and nothing is judged",
    )
}

async fn verify(args: &VerifyArgs, step: Step, root: &Path) -> anyhow::Result<Exit> {
    let codec = format!("exercises/{}/codec.rs", step.folder());
    let fault = file::fault(&root.join(&codec));
    let built = match fault {
        None => compare::build_worker(step).await?,
        Some(_) => None,
    };
    let Some(program) = built else {
        let diagnosis = diagnosis::of_no_program(step, &codec, fault);
        return tell(
            args,
            step,
            Report { exercise: args.exercise, diagnosis, ..Report::default() },
        );
    };
    let ours = root.join(root::OURS);
    let folder = ours.join("verify");
    fs::create_dir_all(&folder)?;
    let examination = Examination::of(&program, step, args.seed, &folder).await?;
    if let Ended::Overloaded(seen) = &examination.ended {
        return Err(Failure::environment(format!(
            "this machine is too busy to judge: {seen}. End what else runs, and try again"
        ))
        .into());
    }
    let judged_well = examination.is_well();
    // A codec that is wrong by itself has nothing to show on a server.
    let live = if judged_well && !args.quick && step != Step::Blocking {
        let cli = TemporalCli::find_or_install(&ours).await?;
        Some(live::run(step, program, cli, args.seed, &folder).await?)
    } else {
        None
    };
    let report = Report {
        exercise: args.exercise,
        solved: judged_well && live.as_ref().is_none_or(Live::is_well),
        diagnosis: diagnosis::of(step, &examination, live.as_ref()),
        checks: examination.checks,
        leak: examination.leak,
        live,
    };
    tell(args, step, report)
}

fn tell(args: &VerifyArgs, step: Step, report: Report) -> anyhow::Result<Exit> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report, args.quick, step);
    }
    Ok(if report.solved { Exit::Done } else { Exit::NotSolved })
}

fn print(report: &Report, quick: bool, step: Step) {
    for check in &report.checks {
        let mark = if check.is_kept() { "ok " } else { "NO " };
        println!("{mark} {}: {}", diagnosis::promises(check.promise), check.seen);
    }
    if !report.checks.is_empty() {
        let mark = if report.leak.is_none() { "ok " } else { "NO " };
        println!("{mark} prints no payload and no key: {}", diagnosis::seen_in_output(report.leak));
    }
    match &report.live {
        Some(live) => {
            let mark = if live.is_well() { "ok " } else { "NO " };
            println!("{mark} on a real server: {}", live.seen());
        }
        None if report.solved && quick && step != Step::Blocking => {
            println!("-   on a real server: left out, as --quick says");
        }
        None => {}
    }
    if !report.checks.is_empty() {
        println!();
    }
    for line in &report.diagnosis {
        println!("{line}");
    }
}
