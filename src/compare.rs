//! `workshop compare`: the codecs side by side, on a real Temporal server.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `scenario` | what each codec is put through, and the flags that override it |
//! | `contender` | who is compared, and the program that runs a worker with it |
//! | `temporal_cli`, `dev_server` | the server: found or installed, and a fresh one a run |
//! | `worker_process`, `watch` | the worker: a process of its own, watched through `/metrics` |
//! | `history` | what the server wrote down |
//! | `measure` | one run of one codec, from all of these |
//! | `results` | the figures, as JSON has them |
//! | `table`, `verdict`, `report`, `plots` | the figures as text, words, HTML and pictures |

mod contender;
mod dev_server;
mod history;
mod measure;
mod plots;
mod report;
mod results;
mod scenario;
mod table;
mod temporal_cli;
mod verdict;
mod watch;
mod worker_process;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use stack::root;

pub use contender::{Contender, Entry, mine};
pub use dev_server::DevServer;
pub use measure::{Course, Place};
pub use results::{Comparison, Ratio, Run, Versions, Workflows};
pub use scenario::{Overrides, Scenario, ScenarioName};
pub use temporal_cli::{TemporalCli, VERSION as TEMPORAL_CLI_VERSION};

use crate::{
    connection::ServerArgs,
    exit::{Exit, Failure},
    files,
    fold::fold,
    interrupt::until_interrupted,
    load::Event,
    logging::LogArgs,
};
/// The flags of `workshop compare`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop compare                    # three reference codecs
  cargo workshop compare --mine 2           # your codec of exercise 2, too
  cargo workshop compare --scenario pool    # where spawn_blocking ends
  cargo workshop compare --codec async --codec blocking --json -")]
pub struct CompareArgs {
    /// What each codec is put through
    #[arg(long, value_enum, default_value_t)]
    scenario: ScenarioName,
    /// A codec to compare; may be given several times [default: the scenario's]
    #[arg(long, value_enum, value_name = "CODEC")]
    codec: Vec<Contender>,
    /// Set your own codec of exercise N beside them; may be given several times
    #[arg(long, value_name = "N")]
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
    /// The same seed deals the same stalls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures to this file, as JSON; -: to stdout, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the HTML report to this file [default: .workshop/report.html]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write each plot to this folder as well, as an SVG file
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    log: LogArgs,
}

/// Measures the codecs one after another, and reports.
///
/// # Errors
/// When a server or a worker can't be had, a file can't be written, or it was interrupted. All
/// that was started is stopped before this returns.
pub fn run(args: &CompareArgs) -> anyhow::Result<Exit> {
    args.log.init("warn")?;
    until_interrupted(
        compare(args),
        "the servers and workers of this comparison are stopped, and nothing is reported",
    )
}

async fn compare(args: &CompareArgs) -> anyhow::Result<Exit> {
    // A workshop that was installed, by Nix say, also compares where no clone of it is.
    let root = root::find().map_or_else(env::current_dir, Ok)?.join(root::OURS);
    let logs = root.join("compare");
    fs::create_dir_all(&logs).with_context(|| format!("can't make {}", logs.display()))?;
    let report = args.report.clone().unwrap_or_else(|| root.join("report.html"));
    // Found out now, and not after the run.
    for file in [Some(&report), args.json.as_ref()].into_iter().flatten() {
        writable(file)?;
    }
    if let Some(folder) = &args.pictures {
        fs::create_dir_all(folder).map_err(|error| {
            Failure::usage(format!("{} can't be made: {error}", folder.display()))
        })?;
    }
    let entries = entries(args).await?;
    let place = match &args.address {
        None => Place::Local(TemporalCli::find_or_install(&root).await?),
        Some(address) => Place::Existing(ServerArgs {
            address: Some(address.clone()),
            namespace: args.namespace.clone(),
            profile: args.profile.clone(),
        }),
    };

    let scenario = args.overrides.apply(args.scenario.scenario());
    let course = Course {
        scenario: &scenario,
        seed: args.seed,
        place: &place,
        logs: &logs,
        id: course_id(),
    };
    let mut runs = Vec::new();
    for (number, entry) in (1..).zip(&entries) {
        let what = format!("[{number}/{}] {}", entries.len(), entry.name);
        let progress = Progress::new(&what, &scenario);
        let run =
            course.run(entry, &progress).await.with_context(|| format!("measuring {what}"))?;
        progress.finish(&run);
        runs.push(run);
    }

    let cli = match &place {
        Place::Local(cli) => Some(cli),
        Place::Existing(_) => None,
    };
    let all = Comparison::new(runs, scenario, args.seed, cli);
    publish(&all, args, &report)?;
    Ok(if all.is_complete() { Exit::Done } else { Exit::NotSolved })
}

async fn entries(args: &CompareArgs) -> anyhow::Result<Vec<Entry>> {
    let chosen = match &args.codec[..] {
        [] => args.scenario.contenders(),
        chosen => chosen,
    };
    let mut entries = chosen.iter().map(|c| Entry::reference(*c)).collect::<Result<Vec<_>, _>>()?;
    for number in &args.mine {
        entries.push(Entry::mine(*number).await?);
    }
    for (at, entry) in entries.iter().enumerate() {
        if entries[..at].iter().any(|earlier| earlier.name == entry.name) {
            return Err(Failure::usage(format!("{} is named twice", entry.name)).into());
        }
    }
    Ok(entries)
}

fn publish(all: &Comparison, args: &CompareArgs, report: &Path) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(all)?;
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    // Whoever reads the table's first lines only, through a pipe, still gets the files.
    files::print(if to_stdout { format!("{json}\n") } else { text(all) })?;
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
    let mut text = format!("{}\n\n", table::table(all));
    for sentence in verdict::verdict(all) {
        text += &format!("{}\n", fold(&sentence, 0));
    }
    for run in all.runs.iter().filter(|run| run.cut_off) {
        let cut_off = format!(
            "The run of {} was cut off after {:.0} s, with {} of {} workflows done: ≥ marks lower \
             bounds, not figures.",
            run.codec, run.wall_seconds, run.workflows.completed, run.workflows.started
        );
        text += &format!("{}\n", fold(&cut_off, 0));
    }
    text
}

fn writable(file: &Path) -> anyhow::Result<()> {
    if file == Path::new("-") {
        return Ok(());
    }
    let existed = file.exists();
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .map_err(|error| Failure::usage(format!("{} can't be written: {error}", file.display())))?;
    // An interrupted comparison must not leave an empty file behind.
    if !existed {
        fs::remove_file(file)?;
    }
    Ok(())
}

/// Seconds since 1970: unlike any earlier comparison's on the same server.
fn course_id() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_secs().to_string()
}

/// One line on stderr.
fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// The progress of one run: a bar on a terminal, else two lines.
pub struct Progress {
    bar: ProgressBar,
    what: String,
}

impl Progress {
    /// Shows that a run begins.
    pub fn new(what: &str, scenario: &Scenario) -> Self {
        let bar = ProgressBar::new(scenario.workflows.into());
        if bar.is_hidden() {
            note(format!("{what}: starting"));
        }
        // Within 80 columns: of a line that is folded, what stood above would go, too.
        let template = "{prefix:24} [{bar:16}] {pos}/{len} workflows, {elapsed}, {msg} at most";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        bar.set_style(style);
        bar.set_prefix(what.to_owned());
        bar.set_message(format!("{:.0}s", scenario.limit_seconds));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, what: what.to_owned() }
    }

    /// Moves on with each workflow that is done.
    pub fn tell(&self, event: Event<'_>) {
        if event.is_last() {
            self.bar.inc(1);
        }
    }

    /// Shows how it ended.
    pub fn finish(self, run: &Run) {
        self.bar.finish_and_clear();
        let Workflows { started, completed, .. } = run.workflows;
        let end = if run.cut_off { "cut off after" } else { "done in" };
        note(format!(
            "{}: {completed} of {started} workflows {end} {:.1} s",
            self.what, run.wall_seconds
        ));
    }
}
