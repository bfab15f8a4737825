//! `workshop verify`: is an exercise solved?
//!
//! | module | what it holds |
//! | --- | --- |
//! | `subprocess` | starts the process that judges the codec, keeps it within limits, reads what it wrote |
//! | `live` | a real server and a small load, against the codec of before in the same run |
//! | `evidence` | looks at what the server stored of that load |
//! | `diagnosis` | what the first broken promise means, and where to look next |
//! | `report` | all of that, as JSON and as text |

mod diagnosis;
mod evidence;
mod live;
mod report;
mod subprocess;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use cli_kit::{
    errln,
    exit::{Exit, Failure},
    logging::LogArgs,
    outln, root,
    term::{note, wrap},
};
use console::style;
use judge::Check;
use solutions::Step;
use tokio::task;

pub use live::has_one as has_live_run;
pub use report::{Report, show_check};

use self::subprocess::{Ended, Examination};
use crate::{
    atomic_file,
    course::{self, Progress},
    process::until_interrupted,
    temporal::TemporalCli,
};

/// The flags of `workshop verify`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop verify              # the exercise of this folder, or the next
  cargo workshop verify 2            # exit code 0: solved, 1: not yet
  cargo workshop verify 2 --quick    # no live run; 0: its checks passed
  cargo workshop verify --all --json")]
pub struct VerifyArgs {
    /// The number of the exercise [default: that of the folder you are in, else the next one]
    #[arg(value_name = "N", value_parser = course::number)]
    exercise: Option<u8>,
    /// Every exercise, one after another
    #[arg(long, conflicts_with = "exercise")]
    all: bool,
    /// Only check the codec by itself; leave out the live run, which decides whether it is solved
    #[arg(long)]
    quick: bool,
    /// The same seed makes the same payloads and deals the same stalls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON instead of text; with --all, an array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// Which checks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only the codec, by itself.
    Quick,
    /// Then also on a real server.
    Live,
}

/// Builds the worker with the exercise's codec, judges it, and says what was seen.
///
/// # Errors
/// When there is no such exercise, or this machine can't judge: no cargo, no server, too busy.
pub fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    args.log.init("warn")?;
    let root = root::require()?;
    let steps = match args.all {
        true => Step::EXERCISES.to_vec(),
        false => vec![course::chosen(args.exercise, &root)?],
    };
    until_interrupted(verify(args, &steps, &root), "everything it started has been stopped")
}

async fn verify(args: &VerifyArgs, steps: &[Step], root: &Path) -> anyhow::Result<Exit> {
    let depth = if args.quick { Depth::Quick } else { Depth::Live };
    let text = !args.json;
    let mut reports = Vec::new();
    let mut no_live_run = None;
    for step in steps {
        // The command line did not say which exercise it is.
        if text && args.exercise.is_none() {
            outln!("{}\n", heading(*step));
        }
        // If one live run can't start, the others can't either.
        let depth = if no_live_run.is_some() { Depth::Quick } else { depth };
        let show = if text { show_check } else { |_: &Check| {} };
        let Judgement { report, no_live_run: failed } =
            judge(*step, depth, args.seed, root, show).await?;
        no_live_run = no_live_run.or(failed);
        if text {
            let left_out = match no_live_run {
                Some(_) => "could not run, see the error below",
                None => "left out (--quick)",
            };
            report.print(*step, left_out);
            if report.solved && !args.all {
                let folder = step.folder();
                let why =
                    format!("Why it works, and what else would: solutions/{folder}/README.md");
                outln!("{}", wrap(&why, 0));
                outln!("Next:  cargo workshop next");
            } else if report.passed && !args.all && no_live_run.is_none() {
                outln!("Next:  cargo workshop verify {}", step.number());
            }
        }
        if text && args.all {
            outln!();
        }
        reports.push(report);
    }
    if text && args.all {
        for report in &reports {
            outln!("{}", report.summary());
        }
    }
    if args.json {
        let json = match &reports[..] {
            [report] if !args.all => serde_json::to_string_pretty(report),
            all => serde_json::to_string_pretty(all),
        };
        outln!("{}", json?);
    }
    if let Some(error) = no_live_run {
        return Err(error);
    }
    let passed = reports.iter().all(|report| report.passed);
    Ok(if passed { Exit::Done } else { Exit::NotSolved })
}

/// The heading of a report, where the exercise was not named on the command line.
pub fn heading(step: Step) -> String {
    let heading = format!("Exercise {}, {}", step.number(), course::codec(step).display());
    style(heading).bold().to_string()
}

/// The result of a judgement.
pub struct Judgement {
    /// What was checked.
    pub report: Report,
    /// Why there was no live run, although one was asked for.
    pub no_live_run: Option<anyhow::Error>,
}

impl From<Report> for Judgement {
    fn from(report: Report) -> Self {
        Self { report, no_live_run: None }
    }
}

/// Its lock: one at a time.
const LOCK: &str = "lock";

/// The folder for the files of a judgement.
///
/// # Errors
/// When nothing can be written there.
pub fn workplace(root: &Path) -> Result<PathBuf, Failure> {
    let shown = Path::new(root::OURS).join("verify");
    let folder = root.join(&shown);
    let writable = fs::create_dir_all(&folder).and_then(|()| {
        fs::File::options().create(true).append(true).open(folder.join(LOCK)).map(drop)
    });
    writable.map_err(|error| {
        Failure::environment(format!(
            "{}/ can't be written: {error}. `verify` and `watch` keep the codec's output there. \
             Make it writable, or clone the workshop into a folder of your own",
            shown.display()
        ))
    })?;
    Ok(folder)
}

/// Builds the worker with the codec of that step, and judges it. `show` gets each check when it is done. Dropping
/// this cancels it: what it started is killed.
///
/// # Errors
/// When this machine can't judge: no cargo, too busy.
pub async fn judge(
    step: Step,
    depth: Depth,
    seed: u64,
    root: &Path,
    show: fn(&Check),
) -> anyhow::Result<Judgement> {
    let ours = root.join(root::OURS);
    let folder = workplace(root)?;
    // Two at a time, say a `verify` beside a `watch`, would write into each other's files, and each would
    // be measured while the other uses the machine.
    let lock = folder.join(LOCK);
    let _alone = task::spawn_blocking(move || {
        atomic_file::lock(&lock, || {
            note("another `verify` or `watch` is running here: waiting until it is done");
        })
    })
    .await??;
    let codec = root.join(course::codec(step));
    let before = match course::source(&codec) {
        Ok(content) => content,
        Err(fault) => return Ok(Report::of_no_program(step, Some(fault)).into()),
    };
    let Some(program) = course::build_worker(step).await? else {
        return Ok(Report::of_no_program(step, None).into());
    };
    // The file is the same before and after the build, so this is what was built.
    let judged =
        (course::read(&codec).as_ref() == Ok(&before)).then(|| atomic_file::sha256(&before));
    let examined = Examination::of(&program, seed, &folder, show).await?;
    if let Ended::Overloaded(seen) = &examined.ended {
        return Err(Failure::environment(format!(
            "this machine is too busy to judge: {seen}. Stop other programs, and try again"
        ))
        .into());
    }
    // A codec that fails by itself need not run on a server.
    let (live, no_live_run) = if examined.is_well() && depth == Depth::Live && has_live_run(step) {
        let live = async {
            let cli = TemporalCli::find_or_install(&ours).await?;
            live::run(step, program, cli, seed, root, &folder).await
        };
        match live.await {
            Ok(live) => (Some(live), None),
            Err(error) => (None, Some(error)),
        }
    } else {
        (None, None)
    };
    let report = Report::new(step, examined, live);
    if report.solved {
        note_solved(step, judged, root);
    }
    Ok(Judgement { report, no_live_run })
}

/// Records that the codec with that digest solves the exercise. If that fails, the verdict stands.
fn note_solved(step: Step, judged: Option<String>, root: &Path) {
    let number = step.number();
    let noted = match judged {
        Some(judged) => Progress::note(root, step, judged).map_err(|error| error.to_string()),
        None => Err("its codec.rs was saved during the build".to_owned()),
    };
    if let Err(why) = noted {
        errln!(
            "exercise {number} is solved, but `cargo workshop status` will not show it: {why}. To record it, run \
             `cargo workshop verify {number}` again\n"
        );
    }
}
