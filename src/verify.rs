//! `workshop verify N`: is the exercise solved?
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`examine`] | in the worker's process: judges the codec, and writes down what it finds |
//! | `examination` | starts that process, keeps it within limits, and reads what it wrote |
//! | `live` | a real server and a small load, against the blocking codec in the same run |
//! | `diagnosis` | what the first broken promise means, and where to look next |

pub mod diagnosis;
mod examination;
pub mod examine;
mod live;

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
use examination::{Ended, Examination};
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
#[derive(Debug, Serialize)]
struct Report {
    exercise: u8,
    solved: bool,
    checks: Vec<Check>,
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
    let ours = root::require()?.join(root::OURS);
    compare::until_interrupted(
        verify(args, step, &ours),
        "what was started is stopped, and nothing is judged",
    )
}

async fn verify(args: &VerifyArgs, step: Step, ours: &Path) -> anyhow::Result<Exit> {
    let Some(program) = compare::build_worker(step).await? else {
        println!(
            "exercises/{}/codec.rs does not compile, so there is nothing to judge yet: the compiler's \
             words are above.",
            step.folder()
        );
        return Ok(Exit::NotSolved);
    };
    let folder = ours.join("verify");
    fs::create_dir_all(&folder)?;
    let Examination { checks, ended } = Examination::of(&program, step, args.seed, &folder).await?;
    if let Ended::Overloaded(seen) = &ended {
        return Err(Failure::environment(format!(
            "this machine is too busy to judge: {seen}. End what else runs, and try again"
        ))
        .into());
    }
    let judged_well = ended == Ended::Whole && checks.iter().all(Check::is_kept);
    // A codec that is wrong by itself has nothing to show on a server.
    let live = if judged_well && !args.quick && step != Step::Blocking {
        let cli = TemporalCli::find_or_install(ours).await?;
        Some(live::run(step, program, cli, args.seed, &folder).await?)
    } else {
        None
    };
    let solved = judged_well && live.as_ref().is_none_or(Live::is_well);
    let diagnosis = diagnosis::of(step, &checks, &ended, live.as_ref());
    let report = Report { exercise: args.exercise, solved, checks, live, diagnosis };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report, args.quick, step);
    }
    Ok(if solved { Exit::Done } else { Exit::NotSolved })
}

fn print(report: &Report, quick: bool, step: Step) {
    for check in &report.checks {
        let mark = if check.is_kept() { "ok " } else { "NO " };
        println!("{mark} {}: {}", diagnosis::promises(check.promise), check.seen);
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
    println!();
    for line in &report.diagnosis {
        println!("{line}");
    }
}
