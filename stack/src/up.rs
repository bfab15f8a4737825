//! Starts, supervises and stops the stack.

use std::{
    fs,
    path::Path,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use cli_kit::{
    errln,
    exit::{Exit, Failure},
    outln, settings,
};
use comfy_table::{Table, presets};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{
    build,
    checkout::Checkout,
    ports,
    process_compose::{ProcessCompose, has_terminal},
    programs::{self, Found},
    prometheus,
    services::{Asker, Service},
};

/// How often the state of the stack is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// A loaded machine needs seconds to start the services; what has not started by then won't.
const START_LIMIT: Duration = Duration::from_secs(120);
/// A process-compose that has not answered at all by then never will.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// How much of a log an error quotes.
const QUOTED_LINES: usize = 8;

/// The flags of `stack` without a sub-command.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// Skip a service (repeatable)
    #[arg(long, value_enum, value_name = "SERVICE")]
    without: Vec<Service>,
    /// Keep the data of Temporal and Prometheus, and reuse what was kept
    #[arg(long)]
    keep: bool,
    /// Let everyone edit in Grafana
    #[arg(long)]
    admin: bool,
    /// Return as soon as the services are healthy; `stack down` stops them
    #[arg(long)]
    detach: bool,
}

/// Starts the stack. Unless it is detached, waits until it stops.
///
/// # Errors
/// As [`run`](crate::command::run).
pub fn up(args: &UpArgs, checkout: &mut Checkout) -> anyhow::Result<Exit> {
    let services = Service::all_but(&args.without);
    if services.is_empty() {
        return Err(Failure::usage("all services are left out: there is nothing to start").into());
    }
    if args.admin {
        checkout.settings.set(settings::GRAFANA_ROLE, "Admin");
    }
    if ProcessCompose::answers(checkout) {
        return Err(Failure::environment(
            "the stack is already running, from this folder: `cargo workshop stack status` shows \
             its state, `cargo workshop stack down` stops it",
        )
        .into());
    }
    let Ready { process_compose, to_build } = check(&services, checkout)?;
    for (name, file) in build::build(&to_build, checkout.root())? {
        checkout.use_built(name, file);
    }
    if services.contains(&Service::CodecServer)
        && checkout.settings.get(settings::UI_CODEC_ENDPOINT).is_empty()
    {
        let url = checkout.settings.url(settings::CODEC_SERVER_PORT, "");
        checkout.settings.set(settings::UI_CODEC_ENDPOINT, url);
    }
    let config = services
        .contains(&Service::Prometheus)
        .then(|| prometheus::config(checkout))
        .transpose()?;
    if args.keep {
        checkout.keep_data();
    }
    make_folders(args.keep, checkout)?;
    if let Some(config) = config {
        let file = checkout.prometheus_config();
        fs::write(&file, config).with_context(|| format!("can't write {}", file.display()))?;
    }

    let process_compose = ProcessCompose::new(process_compose.path, checkout);
    let began = Instant::now();
    let stop = Stop::listen()?;
    if args.detach {
        process_compose.up_detached(&services)?;
        let mut running =
            Running { checkout, child: None, has_answered: false, began, stop: &stop };
        let outcome = running.until_healthy(&services);
        if !matches!(outcome, Ok(Outcome::Healthy)) {
            // A partly started stack must not keep running. It may already have stopped by itself.
            process_compose.down().ok();
        }
        return match outcome? {
            Outcome::Stopped => {
                Err(Failure::interrupted("interrupted; nothing is left running").into())
            }
            Outcome::Healthy => {
                say_where(&services, checkout, "`cargo workshop stack down` stops it");
                Ok(Exit::Done)
            }
        };
    }
    let child = process_compose.up(&services)?;
    let mut running =
        Running { checkout, child: Some(child), has_answered: false, began, stop: &stop };
    if !has_terminal() {
        match running.until_healthy(&services) {
            Ok(Outcome::Healthy) => say_where(&services, checkout, "Ctrl-C or SIGTERM stops it"),
            Ok(Outcome::Stopped) => {}
            Err(error) => {
                running.end()?;
                return Err(error);
            }
        }
    }
    running.until_end()
}

/// Stops the stack, and waits until it has stopped.
///
/// # Errors
/// When it does not stop.
pub fn down(checkout: &Checkout) -> anyhow::Result<Exit> {
    if !ProcessCompose::answers(checkout) {
        outln!("no stack runs from this folder");
        return Ok(Exit::Done);
    }
    ProcessCompose::find(checkout)?.down()?;
    let began = Instant::now();
    while ProcessCompose::answers(checkout) {
        if began.elapsed() > START_LIMIT {
            return Err(Failure::environment("the stack did not stop when it was told to").into());
        }
        thread::sleep(POLL_INTERVAL);
    }
    outln!("the stack is down");
    Ok(Exit::Done)
}

/// What the check found.
struct Ready {
    process_compose: Found,
    /// The workshop's own programs that `PATH` does not have.
    to_build: Vec<&'static str>,
}

/// Checks all programs and ports before anything starts. Reports all problems at once.
fn check(services: &[Service], checkout: &mut Checkout) -> Result<Ready, Failure> {
    let mut wrong = Vec::new();
    let process_compose =
        programs::PROCESS_COMPOSE.find(checkout.root()).map_err(|unfit| wrong.push(unfit)).ok();
    let mut grafana = None;
    let mut to_build = Vec::new();
    for service in services {
        let program = service.program();
        match program.find(checkout.root()) {
            Ok(found) if *service == Service::Grafana => grafana = Some(found),
            Ok(_) => {}
            Err(_) if program.is_built_here() => to_build.push(program.name),
            Err(unfit) => wrong.push(unfit),
        }
    }
    if !to_build.is_empty() {
        wrong.extend(build::unfit(checkout.root()));
    }
    if checkout.settings.get(settings::GRAFANA_HOME).is_empty()
        && let Some(grafana) = grafana
    {
        match programs::grafana_home(&grafana.path) {
            Ok(home) => checkout.settings.set(settings::GRAFANA_HOME, home.to_string_lossy()),
            Err(unfit) => wrong.push(unfit),
        }
    }
    let needed = services.iter().flat_map(|service| service.ports());
    wrong.extend(needed.filter_map(|variable| ports::unfit(variable, &checkout.settings)));
    if services.contains(&Service::Prometheus) {
        wrong.extend(prometheus::unfit(checkout.root()));
    }
    match process_compose {
        Some(process_compose) if wrong.is_empty() => Ok(Ready { process_compose, to_build }),
        _ => Err(Failure::environments("the stack can't start", &wrong)),
    }
}

/// A run's data is removed when the next run starts, so it can still be inspected. Kept data has a folder of
/// its own, which only `--keep` touches.
fn make_folders(keep: bool, checkout: &Checkout) -> anyhow::Result<()> {
    let (folder, data) = (checkout.folder(), checkout.data());
    if !keep && data.exists() {
        fs::remove_dir_all(data).with_context(|| format!("can't empty {}", data.display()))?;
    }
    for folder in [&folder, data] {
        fs::create_dir_all(folder).with_context(|| format!("can't create {}", folder.display()))?;
    }
    // An error must not quote an earlier run.
    for entry in fs::read_dir(&folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "log") {
            fs::remove_file(&file).with_context(|| format!("can't remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// Whether a signal has asked the stack to stop.
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn listen() -> anyhow::Result<Self> {
        let stop = Arc::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Self(stop))
    }

    fn is_asked(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A stack that was started: in a child process, or detached.
struct Running<'a> {
    checkout: &'a Checkout,
    child: Option<Child>,
    has_answered: bool,
    began: Instant,
    stop: &'a Stop,
}

enum Outcome {
    Healthy,
    Stopped,
}

impl Running<'_> {
    /// Waits until all services are healthy, and reports each one.
    fn until_healthy(&mut self, services: &[Service]) -> anyhow::Result<Outcome> {
        let asker = Asker::default();
        let mut waiting = services.to_vec();
        while !waiting.is_empty() {
            if self.stop.is_asked() {
                return Ok(Outcome::Stopped);
            }
            if self.has_ended()? {
                return Err(self.ended_by_itself());
            }
            let mut reasons = Vec::new();
            waiting.retain(|service| match asker.check(*service, &self.checkout.settings) {
                Ok(()) => {
                    let seconds = self.began.elapsed().as_secs_f64();
                    errln!("{service} is healthy after {seconds:.1} s");
                    false
                }
                Err(error) => {
                    reasons.push(format!("{service} is not healthy: {error:#}"));
                    true
                }
            });
            if self.began.elapsed() > START_LIMIT {
                return Err(Failure::environment(format!(
                    "after {} s, {}{}",
                    START_LIMIT.as_secs(),
                    reasons.join(", and "),
                    self.log_tails(&waiting)
                ))
                .into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(Outcome::Healthy)
    }

    /// Waits until the stack stops, and stops it when a signal asks for that.
    fn until_end(&mut self) -> anyhow::Result<Exit> {
        loop {
            if self.stop.is_asked() {
                self.end()?;
                errln!("the stack is down");
                return Ok(Exit::Done);
            }
            if self.has_ended()? {
                break;
            }
            thread::sleep(POLL_INTERVAL);
        }
        let status = self.child.as_mut().map(Child::wait).transpose()?;
        // Stopped by `stack down`, or from process-compose's own display: no error.
        if ProcessCompose::died(self.checkout).is_some() || status.is_some_and(|s| !s.success()) {
            return Err(self.ended_by_itself());
        }
        errln!("the stack is down");
        Ok(Exit::Done)
    }

    /// Tells process-compose to stop, and waits for it.
    fn end(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        if child.try_wait()?.is_none() {
            let pid = Pid::from_raw(child.id().cast_signed()).context("no process id")?;
            kill_process(pid, Signal::TERM)?;
        }
        child.wait()?;
        Ok(())
    }

    fn has_ended(&mut self) -> anyhow::Result<bool> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?.is_some()),
            None if ProcessCompose::answers(self.checkout) => {
                self.has_answered = true;
                Ok(false)
            }
            // It may need a moment before it answers at all.
            None => Ok(self.has_answered || self.began.elapsed() > ANSWER_LIMIT),
        }
    }

    fn ended_by_itself(&self) -> anyhow::Error {
        let why = match ProcessCompose::died(self.checkout) {
            Some((service, code)) => {
                format!("{service} crashed repeatedly, last with exit code {code}")
            }
            None => "process-compose exited".to_owned(),
        };
        Failure::environment(format!(
            "the stack has stopped: {why}{}",
            self.log_tails(&Service::ALL)
        ))
        .into()
    }

    /// The last lines of the logs that have any.
    fn log_tails(&self, services: &[Service]) -> String {
        let logs = services.iter().map(|service| self.checkout.log(service.name()));
        let own = self.checkout.log("output");
        let tails: Vec<_> = logs.filter_map(|log| tail(&log)).collect();
        let tails = if tails.is_empty() { tail(&own).into_iter().collect() } else { tails };
        tails.iter().map(|tail| format!("\n{tail}")).collect()
    }
}

fn tail(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(QUOTED_LINES)..];
    (!last.is_empty()).then(|| format!("{}:\n  {}", log.display(), last.join("\n  ")))
}

fn say_where(services: &[Service], checkout: &Checkout, end: &str) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for service in services {
        table.add_row([service.name().to_owned(), service.where_it_is(&checkout.settings)]);
    }
    outln!("{table}");
    if checkout.settings.is_moved(settings::TEMPORAL_PORT) {
        let address = checkout.settings.address(settings::TEMPORAL_PORT);
        outln!("the worker and the starter need: export TEMPORAL_ADDRESS={address}");
    }
    outln!("the stack is up; {end}; its logs are in {}", checkout.folder().display());
}
