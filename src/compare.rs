//! `workshop compare`: the codecs side by side, on a real Temporal server.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `results` | the figures, as JSON has them |
//! | `table`, `verdict`, `report`, `front`, `plots` | the figures as text, words, HTML and pictures |

mod front;
mod plots;
mod report;
mod results;
mod table;
mod verdict;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use cli_kit::{
    exit::{Exit, Failure},
    logging::LogArgs,
    root,
    term::{note, print, wrap},
};
use greeting::{args::Given, connection::ServerArgs};
use solutions::Step;

use self::results::Comparison;
use crate::{
    atomic_file,
    course::{self, Progress},
    experiment::{
        Contender, Experiment, FaultArgs, KeyServiceUsed, LiveArgs, Measured, OnPage, Reference,
        RunProgress, Scenario, ScenarioName, Target, merge_traces,
    },
    process::until_interrupted,
    temporal::TemporalCli,
};

/// The flags of `workshop compare`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop compare                    # three reference codecs
  cargo workshop compare --mine 2           # your exercise 2 codec, too
  cargo workshop compare --mine 4           # where caching keys pays off
  cargo workshop compare --scenario pool    # spawn_blocking at its limit
  cargo workshop compare --codec async --codec blocking --json -")]
pub struct CompareArgs {
    /// The load for each codec [default: with --mine, what shows that exercise's effect; else quick]
    #[arg(long, value_enum)]
    scenario: Option<ScenarioName>,
    /// A codec to compare (repeatable) [default: the scenario's]
    #[arg(long, value_enum, value_name = "CODEC")]
    codec: Vec<Reference>,
    /// Also measure your own codec of exercise N (repeatable)
    #[arg(long, value_name = "N", value_parser = course::number)]
    mine: Vec<u8>,
    /// Run against the server at this address instead of a fresh dev server for each codec
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// With --address: the namespace
    #[arg(long, requires = "address")]
    namespace: Option<String>,
    /// With --address: the profile in temporal.toml
    #[arg(long, requires = "address")]
    profile: Option<String>,
    /// Write the figures to this file, as JSON; -: to stdout, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the HTML report to this file [default: .workshop/report.html]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write each plot to this folder as well, as an SVG file
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    /// Write the codecs' polls of 1 ms and longer to this file, for ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    fault: FaultArgs,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten, next_help_heading = "The scenario's numbers")]
    numbers: Given<Scenario>,
    #[command(flatten)]
    log: LogArgs,
}

impl CompareArgs {
    /// The scenario that was chosen, else the one of the last exercise whose codec is compared.
    fn scenario(&self) -> ScenarioName {
        let last = self.mine.iter().max().and_then(|number| Step::exercise(*number).ok());
        self.scenario.unwrap_or_else(|| last.map_or_else(ScenarioName::default, ScenarioName::of))
    }
}

/// Whether every exercise is solved: then other advice helps.
fn has_finished() -> bool {
    let is_finished =
        |root: PathBuf| Some(course::next(&root, &Progress::read(&root).ok()?).is_none());
    root::find().and_then(is_finished).unwrap_or(false)
}

/// Measures the codecs one after another, and reports.
///
/// # Errors
/// When a server or a worker does not start, a file can't be written, or it was interrupted. All
/// that was started is stopped before this returns.
pub fn run(args: &CompareArgs) -> anyhow::Result<Exit> {
    args.log.init("warn")?;
    until_interrupted(
        compare(args),
        "the servers and workers of this comparison have been stopped; there is no report",
    )
}

async fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    // A workshop that was installed, by Nix say, also compares where no clone of it is.
    let root = root::find().map_or_else(env::current_dir, Ok)?.join(root::OURS);
    let logs = root.join("compare");
    fs::create_dir_all(&logs).with_context(|| format!("can't create {}", logs.display()))?;
    let report = args.report.clone().unwrap_or_else(|| root.join("report.html"));
    // Found out now, and not after the run.
    let json = args.json.as_ref().filter(|file| file.as_path() != Path::new("-"));
    for file in [Some(&report), json, args.trace.as_ref()].into_iter().flatten() {
        atomic_file::writable(file)?;
    }
    if let Some(folder) = &args.pictures {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::usage(format!("{} can't be created: {error}", folder.display()))
        })?;
    }
    let contenders = contenders(args).await?;
    let target = match &args.address {
        None => Target::DevServer(TemporalCli::find_or_install(&root).await?),
        Some(address) => Target::Existing(ServerArgs {
            address: Some(address.clone()),
            namespace: args.namespace.clone(),
            profile: args.profile.clone(),
        }),
    };

    let mut scenario = args.numbers.over(args.scenario().scenario())?;
    let fault = args.fault.fault(&mut scenario);
    let traces = args.trace.is_some();
    let experiment = Experiment { traces, fault, ..Experiment::new(&scenario, &target, &logs) };
    let page = args.live.serve("The codecs side by side")?;
    let (mut runs, mut traces) = (Vec::new(), Vec::new());
    let mut key_service = KeyServiceUsed::Local;
    for (number, contender) in (1..).zip(&contenders) {
        let what = format!("[{number}/{}] {}", contenders.len(), contender.codec);
        let progress = RunProgress::new(&what, &scenario);
        let on_page = OnPage::new(&page, &contender.codec.to_string(), &scenario, &progress);
        let measured = experiment.run(contender, &on_page).await;
        let Measured { run, trace, key_service: used, .. } =
            measured.with_context(|| format!("measuring {what}"))?;
        on_page.finish(&run);
        progress.finish(&run);
        key_service = used;
        runs.push(run);
        traces.push((contender.codec, trace));
    }

    let cli = match &target {
        Target::DevServer(cli) => Some(cli),
        Target::Existing(_) => None,
    };
    let finished = has_finished();
    let all = Comparison { key_service, fault, finished, ..Comparison::new(runs, scenario, cli) };
    publish(&all, args, &report)?;
    if let Some(file) = &args.trace {
        merge_traces(&traces, file)?;
        note(format!("the threads, for ui.perfetto.dev: {}", file.display()));
    }
    Ok(if all.is_complete() { Exit::Done } else { Exit::NotSolved })
}

async fn contenders(args: &CompareArgs) -> anyhow::Result<Vec<Contender>> {
    let chosen = match &args.codec[..] {
        [] => args.scenario().codecs(),
        chosen => chosen,
    };
    let reference = |chosen: &Reference| Contender::reference(*chosen);
    let mut contenders = chosen.iter().map(reference).collect::<Result<Vec<_>, _>>()?;
    for number in &args.mine {
        contenders.push(Contender::mine(*number).await?);
    }
    for (at, Contender { codec, .. }) in contenders.iter().enumerate() {
        if contenders[..at].iter().any(|earlier| earlier.codec == *codec) {
            return Err(Failure::usage(format!("{codec} is named twice")).into());
        }
    }
    Ok(contenders)
}

fn publish(all: &Comparison, args: &CompareArgs, report: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(all)?;
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    // A pipe that takes the table's first lines only must not cost the files.
    print(if to_stdout { format!("{json}\n") } else { text(all) });
    if let Some(file) = args.json.as_ref().filter(|_| !to_stdout) {
        fs::write(file, json + "\n").with_context(|| format!("can't write {}", file.display()))?;
    }
    let html = report::html(all)?;
    fs::write(report, html).with_context(|| format!("can't write {}", report.display()))?;
    note(format!("the report, with plots over time: {}", report.display()));
    if let Some(folder) = &args.pictures {
        for (name, svg) in plots::pictures(&all.runs)? {
            let file = folder.join(name);
            fs::write(&file, svg).with_context(|| format!("can't write {}", file.display()))?;
        }
        note(format!("its pictures: {}", folder.display()));
    }
    Ok(())
}

/// Table and verdict.
fn text(all: &Comparison) -> String {
    let mut text: String = table::tables(all).iter().map(|table| format!("{table}\n\n")).collect();
    text += &format!("{}\n", wrap(&format!("Key service: {}.", all.key_service), 0));
    if let Some(fault) = all.fault {
        text += &format!("{}\n", wrap(&format!("{}.", fault.description()), 0));
    }
    text += "\n";
    for sentence in verdict::verdict(all) {
        text += &format!("{}\n", wrap(&sentence, 0));
    }
    text
}
