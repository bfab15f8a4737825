//! `workshop try`: one exercise's load with the attendee's codec, in one terminal. First a guess, then a live
//! view, then both numbers side by side.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `view` | what is shown while the load runs |
//! | `outcome` | the numbers side by side, and one sentence that explains them |

mod outcome;
mod view;

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use cli_kit::{
    exit::{Exit, Failure},
    logging::LogArgs,
    root,
    term::{note, print},
};
use greeting::{args::seconds, connection::ServerArgs};
use solutions::Step;

use self::{outcome::Outcome, view::View};
use crate::{
    atomic_file,
    course::{self, Try},
    experiment::{
        Contender, Experiment, Fault, FaultArgs, LiveArgs, Measured, OnPage, Scenario, Target,
        merge_traces,
    },
    process::until_interrupted,
    temporal::TemporalCli,
};

/// The flags of `workshop try`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop try 1                 # asks for your guess first
  cargo workshop try 1 --predict 45    # or give it here, in seconds
  cargo workshop try                   # in an exercise's folder: that one")]
pub struct TryArgs {
    /// The number of the exercise [default: the one whose folder you are in, or the next one]
    #[arg(value_name = "N", value_parser = course::number)]
    exercise: Option<u8>,
    /// How long you think the workflows will take, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    predict: Option<f64>,
    /// Use the Temporal server at this address instead of starting one
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Write the codec's polls of 1 ms and longer to this file, for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    fault: FaultArgs,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Asks for a guess, runs the exercise's load with the attendee's codec, and shows both.
///
/// # Errors
/// When there is no such exercise, its codec does not compile, or no server or worker can be started. What
/// was started is stopped before this returns.
pub fn run(args: &TryArgs) -> anyhow::Result<Exit> {
    args.log.init("warn")?;
    let root = root::require()?;
    let step = course::chosen(args.exercise, &root)?;
    let mut scenario = Scenario::of_exercise(step);
    let fault = args.fault.fault(&mut scenario);
    let guess = match args.predict {
        // The exercise's question is about a healthy service.
        None if fault.is_none() => ask(step, &scenario)?,
        given => given,
    };
    until_interrupted(
        attempt(args, step, &scenario, fault, guess, &root),
        "the server and the worker of this try have been stopped; the try is not recorded",
    )
}

/// Asks the exercise's question, where a person can answer. Enter alone is no guess.
fn ask(step: Step, scenario: &Scenario) -> io::Result<Option<f64>> {
    let (input, mut output) = (io::stdin(), io::stderr());
    if !(input.is_terminal() && output.is_terminal()) {
        return Ok(None);
    }
    for line in outcome::question(step, scenario) {
        writeln!(output, "{line}")?;
    }
    loop {
        write!(output, "Your guess, in seconds (Enter to skip): ")?;
        output.flush()?;
        let mut line = String::new();
        input.lock().read_line(&mut line)?;
        let answer = line.trim().trim_end_matches('s').trim();
        if answer.is_empty() {
            return Ok(None);
        }
        match seconds(answer) {
            Ok(guess) => return Ok(Some(guess)),
            Err(_) => writeln!(output, "Type a number, such as 12 or 7.5.")?,
        }
    }
}

async fn attempt(
    args: &TryArgs,
    step: Step,
    scenario: &Scenario,
    fault: Option<Fault>,
    guess: Option<f64>,
    root: &Path,
) -> anyhow::Result<Exit> {
    let ours = root.join(root::OURS);
    let logs = ours.join("try");
    fs::create_dir_all(&logs).with_context(|| format!("can't create {}", logs.display()))?;
    if let Some(file) = &args.trace {
        atomic_file::writable(file)?;
    }
    let file = course::codec(step);
    let codec = course::source(&root.join(&file))
        .map_err(|fault| Failure::usage(format!("{} {fault}", file.display())))?;
    note(format!("Building a worker with {}", file.display()));
    let contender = Contender::mine(step.number()).await?;
    let target = match &args.address {
        None => Target::DevServer(TemporalCli::find_or_install(&ours).await?),
        Some(address) => Target::Existing(ServerArgs {
            address: Some(address.clone()),
            namespace: None,
            profile: None,
        }),
    };
    let traces = args.trace.is_some();
    let experiment = Experiment { traces, fault, ..Experiment::new(scenario, &target, &logs) };
    let page = args.live.serve(&format!("Exercise {}", step.number()))?;
    let view = View::new(step, scenario);
    let on_page = OnPage::new(&page, &file.display().to_string(), scenario, &view);
    let measured = experiment.run(&contender, &on_page).await;
    view.finish();
    let Measured { run, trace, .. } = measured?;
    on_page.finish(&run);
    if let Some(file) = &args.trace {
        merge_traces(&[(contender.codec, trace)], file)?;
    }

    if let Some(fault) = fault {
        print(outcome::with_fault(&run, fault));
        let done = run.workflows.completed == run.workflows.started;
        return Ok(if done { Exit::Done } else { Exit::NotSolved });
    }
    let this = Try {
        guess_seconds: guess,
        seconds: run.wall_seconds,
        workflows: run.workflows.started,
        completed: run.workflows.completed,
        ..Try::now(step, &codec)
    };
    let start = course::start(root, step).ok();
    let before = Try::all(root, step);
    let outcome = Outcome {
        step,
        scenario,
        run: &run,
        this: &this,
        before: &before,
        start: start.as_deref(),
    };
    print(outcome.to_string());
    if let Err(error) = this.note(root) {
        note(format!("this try could not be recorded in .workshop: {error}"));
    }
    Ok(if this.is_complete() { Exit::Done } else { Exit::NotSolved })
}
