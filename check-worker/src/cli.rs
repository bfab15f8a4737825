//! The flags, and what runs for them.

use std::{
    env, fs,
    io::{IsTerminal, stderr},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use cli_kit::{
    errln,
    exit::{Exit, Failure},
    outln,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::{
    anonymous::Anonymous,
    family::{Family, Overrides},
    fetch::{Access, Fetcher, now_ms, page_address},
    findings::decide,
    metric::Unit,
    model::Model,
    prometheus,
    recording::{self, Recorder},
    report,
    rules::{self, Naming},
    scrape::Scrape,
    server::{self, Queue, Seen},
    settings::Sdk,
    show::{self, Answer},
    tracker::Tracker,
    watch::{Source, Watching, watch},
};

/// How long a page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to look by default.
const LENGTH: Duration = Duration::from_secs(30);
/// How much of the past to ask Prometheus for, which may scrape only every 15 s or less often.
const PAST: Duration = Duration::from_secs(300);
/// How long Prometheus may take.
const PROMETHEUS_TIMEOUT: Duration = Duration::from_secs(30);
/// A fleet uses one thread per worker, and such a thread needs little stack.
const STACK: usize = 512 * 1024;
/// The maximum size of a fleet.
const LARGEST_FLEET: usize = 500;

/// Find what holds up a Temporal worker, in any SDK, from the metrics that it exports.
#[derive(Debug, Parser)]
#[command(name = "check-worker", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    check: CheckArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print alerts for Prometheus
    #[command(after_help = "Examples:
  check-worker rules --family core > temporal-worker.yml
  check-worker rules --family core --tests temporal-worker.yml > tests.yml
  promtool test rules tests.yml")]
    Rules(RulesArgs),
}

/// The flags of a check.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  check-worker http://127.0.0.1:9464/metrics
  check-worker worker-1:9464 worker-2:9464 --json
  check-worker http://127.0.0.1:9464/metrics --record slow --anonymous
  check-worker --replay slow --report slow.html
  check-worker --prometheus http://127.0.0.1:9090 --selector '{job=\"worker\"}' --for 10m

Exit codes: 0 healthy, 1 something holds a worker up, 2 wrong usage, 3 no answer or cannot tell")]
pub struct CheckArgs {
    /// Addresses of workers' metrics; without a path, /metrics
    #[arg(value_name = "URL")]
    addresses: Vec<String>,
    /// Read the recent past from this Prometheus server
    #[arg(long, value_name = "URL", requires = "selector", conflicts_with_all = ["addresses", "replay"])]
    prometheus: Option<String>,
    /// Selector for the workers, for --prometheus
    #[arg(long, value_name = "SELECTOR", requires = "prometheus")]
    selector: Option<String>,
    /// Read a recording instead of an address
    #[arg(long, value_name = "DIR", conflicts_with = "addresses")]
    replay: Option<PathBuf>,
    /// Write the pages to a new folder, for --replay or a bug report
    #[arg(long, value_name = "DIR", requires = "addresses")]
    record: Option<PathBuf>,
    /// Hash names of queues, namespaces, workflows and activities; leave out other metrics
    #[arg(long, requires = "addresses")]
    anonymous: bool,
    /// How long to look [default: 30s, or less if the answer is clear earlier; with --prometheus, the last
    /// 5m]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    length: Option<Duration>,
    /// Time between two pages
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1s")]
    every: Duration,
    /// Also ask this Temporal server: its round trip, and the task queues' backlog and pollers. TLS and
    /// the API key are read from the usual TEMPORAL_* variables
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// Name settings as in this SDK
    #[arg(long, value_enum)]
    sdk: Option<Sdk>,
    /// The family of the metrics, instead of detecting it
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// The unit of durations whose names do not say it, instead of detecting it
    #[arg(long, value_enum)]
    unit: Option<UnitArg>,
    /// The prefix of the metrics' names, instead of detecting it
    #[arg(long)]
    prefix: Option<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Write an HTML report with plots
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Bearer token for the addresses
    #[arg(long, env = "CHECK_WORKER_TOKEN", hide_env_values = true, conflicts_with = "basic")]
    bearer: Option<String>,
    /// User and password for the addresses
    #[arg(long, value_name = "USER:PASSWORD", env = "CHECK_WORKER_BASIC", hide_env_values = true)]
    basic: Option<String>,
    /// Trust the certificates in this PEM file, and no others
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long)]
    insecure: bool,
}

impl CheckArgs {
    /// Checks the worker at this address, which uses this SDK, unless the flags name another source.
    #[must_use]
    pub fn or_worker(mut self, address: String, sdk: Sdk) -> Self {
        let Self { addresses, replay, prometheus, .. } = &self;
        if addresses.is_empty() && replay.is_none() && prometheus.is_none() {
            self.addresses.push(address);
            self.sdk = self.sdk.or(Some(sdk));
        }
        self
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum UnitArg {
    /// Milliseconds
    Ms,
    /// Seconds
    S,
}

impl From<UnitArg> for Unit {
    fn from(unit: UnitArg) -> Self {
        match unit {
            UnitArg::Ms => Self::Milliseconds,
            UnitArg::S => Self::Seconds,
        }
    }
}

/// The flags of `rules`.
#[derive(Clone, Debug, Args)]
pub struct RulesArgs {
    /// The family of the metrics
    #[arg(long, value_enum)]
    family: Family,
    /// The prefix of the metrics' names
    #[arg(long, default_value = "temporal_")]
    prefix: String,
    /// Names of counters end in _total (core, Go with OpenTelemetry; always so for the others)
    #[arg(long)]
    total: bool,
    /// Names of durations end in their unit (core; always so for the others)
    #[arg(long)]
    unit_suffix: bool,
    /// Durations are in seconds (core; always so for the others)
    #[arg(long)]
    seconds: bool,
    /// Print tests for promtool instead, of rules in this file
    #[arg(long, value_name = "FILE")]
    tests: Option<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is not a time; write it as 30s, 500ms or 5m");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let scale = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let seconds = number * scale;
    if !(0.1..=86_400.0).contains(&seconds) {
        return Err(format!("{text} is out of range: 100ms to 24h"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

impl Cli {
    /// Runs what the flags ask for.
    ///
    /// # Errors
    /// When the usage is wrong, or what is asked for cannot be reached, read or written.
    pub fn run(&self) -> anyhow::Result<Exit> {
        match &self.command {
            Some(Command::Rules(args)) => Ok(print_rules(args)),
            None => check(&self.check),
        }
    }
}

fn print_rules(args: &RulesArgs) -> Exit {
    let mut naming = Naming::of(args.family);
    naming.prefix.clone_from(&args.prefix);
    naming.totals |= args.total;
    if args.family == Family::Core {
        naming.per_second = if args.seconds { 1 } else { 1000 };
        naming.duration = match (args.unit_suffix, args.seconds) {
            (false, _) => "",
            (true, false) => "_milliseconds",
            (true, true) => "_seconds",
        };
    }
    let text = match &args.tests {
        Some(file) => rules::tests(&naming, file),
        None => rules::rules(&naming),
    };
    cli_kit::term::print(text);
    Exit::Done
}

/// Checks the workers that the flags name.
///
/// # Errors
/// When the usage is wrong, or what is asked for cannot be reached, read or written.
pub fn check(args: &CheckArgs) -> anyhow::Result<Exit> {
    let overrides = Overrides {
        family: args.family,
        unit: args.unit.map(Unit::from),
        prefix: args.prefix.clone(),
    };
    let mut seen: Vec<(String, Model)> = if let Some(folder) = &args.replay {
        replay(folder, &overrides)?
    } else if let Some(address) = &args.prometheus {
        past(args, address, &overrides)?
    } else {
        live(args, overrides)?
    };
    let server = args.server.as_deref().map(|address| ask(address, &seen)).transpose()?;
    let answers: Vec<Answer> = seen
        .drain(..)
        .map(|(source, mut model)| {
            model.sdk = args.sdk.or(model.sdk);
            if let Some(server) = &server {
                let own = model.task_queues();
                let of_worker = |queue: &&Queue| own.contains(&queue.name);
                model.queues = server.queues.iter().filter(of_worker).cloned().collect();
                model.round_trip = Some(server.round_trip);
            }
            let mut found = decide(&model);
            found[0].evidence.extend(show::of_server(&model));
            Answer { source, model, found }
        })
        .collect();
    if args.json {
        outln!("{}", show::json(&answers)?);
    } else if let [answer] = answers.as_slice() {
        outln!("{}", show::text(answer));
    } else {
        outln!("{}", show::fleet(&answers));
    }
    if let Some(server) = server.filter(|_| !args.json) {
        outln!("{}", show::server(&server));
    }
    if let Some(file) = &args.report {
        fs::write(file, report::html(&answers)?)
            .with_context(|| format!("cannot write the report {}", file.display()))?;
        errln!("report: {}", file.display());
    }
    Ok(show::exit(&answers))
}

/// Asks the server for its round trip, and for the task queues of the workers.
fn ask(address: &str, seen: &[(String, Model)]) -> anyhow::Result<Seen> {
    let mut queues: Vec<String> = seen.iter().flat_map(|(_, model)| model.task_queues()).collect();
    queues.sort();
    queues.dedup();
    let namespace = seen.iter().find_map(|(_, model)| model.namespace());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    server::ask(&server::Access::of(address, &namespace, |name| env::var(name).ok())?, &queues)
}

fn replay(folder: &Path, overrides: &Overrides) -> anyhow::Result<Vec<(String, Model)>> {
    // A fleet's recording has a folder for each worker.
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .with_context(|| format!("cannot read the recording {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    if folders.is_empty() {
        folders.push(folder.to_owned());
    }
    folders
        .into_iter()
        .map(|folder| {
            let mut tracker = Tracker::new(overrides.clone());
            for (line, page) in recording::moments(&folder)? {
                tracker.push(&recording::read(line, page.as_deref()));
            }
            Ok((folder.display().to_string(), tracker.model()))
        })
        .collect()
}

fn past(
    args: &CheckArgs,
    address: &str,
    overrides: &Overrides,
) -> anyhow::Result<Vec<(String, Model)>> {
    let fetcher = Fetcher::new(&access(args), PROMETHEUS_TIMEOUT)?;
    let selector = args.selector.as_deref().unwrap_or("{}");
    let address =
        if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let pages = prometheus::pages(
        &fetcher,
        &address,
        selector,
        args.length.unwrap_or(PAST).as_secs().max(1),
        now_ms(),
    )?;
    let model = |scrapes: Vec<Scrape>| {
        let mut tracker = Tracker::new(overrides.clone());
        scrapes.iter().for_each(|scrape| tracker.push(scrape));
        tracker.model()
    };
    Ok(pages.into_iter().map(|(worker, scrapes)| (worker, model(scrapes))).collect())
}

fn access(args: &CheckArgs) -> Access {
    Access {
        bearer: args.bearer.clone(),
        basic: args.basic.clone(),
        ca: args.ca.clone(),
        insecure: args.insecure,
    }
}

fn live(args: &CheckArgs, overrides: Overrides) -> anyhow::Result<Vec<(String, Model)>> {
    if args.addresses.is_empty() {
        return Err(Failure::usage(
            "which worker? Give the address of its metrics, such as http://127.0.0.1:9464/metrics, or \
             --prometheus, or --replay",
        )
        .into());
    }
    if args.addresses.len() > LARGEST_FLEET {
        return Err(Failure::usage(format!(
            "{} addresses are too many: at most {LARGEST_FLEET} at a time. Use --prometheus",
            args.addresses.len()
        ))
        .into());
    }
    let urls: Vec<String> =
        args.addresses.iter().map(|given| page_address(given)).collect::<Result<_, _>>()?;
    let fetcher = Fetcher::new(&access(args), PAGE_TIMEOUT)?;
    let anonymous = args.anonymous.then(Anonymous::new).transpose()?;
    let recorder = |at: usize| -> anyhow::Result<Option<Recorder>> {
        let Some(folder) = &args.record else { return Ok(None) };
        let folder =
            if urls.len() == 1 { folder.clone() } else { folder.join(format!("{:03}", at + 1)) };
        Recorder::create(&folder).map(Some)
    };
    let recorders: Vec<Option<Recorder>> =
        (0..urls.len()).map(recorder).collect::<Result<_, _>>()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // A second Ctrl-C ends the program at once.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let length = args.length.unwrap_or(LENGTH);
    let watching = Watching { length, every: args.every, overrides };
    let progress = Progress::new(urls.len(), length);
    let turn = Mutex::new(());
    let results: Vec<anyhow::Result<Model>> = thread::scope(|scope| {
        let started: Vec<_> = urls
            .iter()
            .zip(&recorders)
            .map(|(url, recorder)| {
                let source = Source {
                    url,
                    fetcher: &fetcher,
                    recorder: recorder.as_ref(),
                    anonymous: anonymous.as_ref(),
                    turn: &turn,
                };
                let (watching, stop, progress) = (&watching, &stop, &progress);
                let run = move || {
                    let show = |model: &Model, elapsed| progress.show(model, elapsed);
                    let result = watch(source, watching, stop, &show);
                    progress.done();
                    result
                };
                thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run)
            })
            .collect();
        let join = |thread: std::io::Result<thread::ScopedJoinHandle<'_, _>>| match thread?.join() {
            Ok(result) => result,
            Err(_) => Err(anyhow::anyhow!("a thread that watched a worker panicked")),
        };
        started.into_iter().map(join).collect()
    });
    progress.clear();
    if stop.load(Ordering::Relaxed) {
        errln!("Stopped early. This is what is known so far.");
    }
    let models = urls.into_iter().zip(results);
    models.map(|(url, model)| Ok((url, model?))).collect()
}

/// A progress line on stderr; without a terminal, a single line at the start.
struct Progress {
    workers: usize,
    length: Duration,
    done: Mutex<usize>,
    is_terminal: bool,
}

impl Progress {
    fn new(workers: usize, length: Duration) -> Self {
        let is_terminal = stderr().is_terminal();
        if !is_terminal {
            errln!("looking for up to {} s; Ctrl-C stops it early", length.as_secs());
        }
        Self { workers, length, done: Mutex::new(0), is_terminal }
    }

    fn done(&self) {
        if let Ok(mut done) = self.done.lock() {
            *done += 1;
        }
    }

    fn show(&self, model: &Model, elapsed: Duration) {
        if !self.is_terminal {
            return;
        }
        let done = self.done.lock().map_or(0, |done| *done);
        let what = if self.workers == 1 {
            let tasks = model.duration(crate::metric::Metric::WorkflowExecution).count;
            let activities = model.duration(crate::metric::Metric::ActivityExecution).count;
            format!("{tasks:.0} workflow tasks, {activities:.0} activities")
        } else {
            format!("{done} of {} workers done", self.workers)
        };
        let (now, end) = (elapsed.as_secs(), self.length.as_secs());
        self.write(&format!("\r\x1b[K{now} of {end} s: {what}; Ctrl-C stops it early"));
    }

    fn clear(&self) {
        if self.is_terminal {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        use std::io::Write;
        let mut stderr = stderr().lock();
        stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()).ok();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(duration("30s").unwrap(), Duration::from_secs(30));
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("2m").unwrap(), Duration::from_secs(120));
        for wrong in ["", "x", "5y", "0s", "99h", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
