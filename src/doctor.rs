//! `workshop doctor`: checks this machine, and reports what is wrong and how to fix it.

use std::{
    env, fs,
    path::Path,
    time::{Duration, SystemTime},
};

use clap::Args;
use cli_kit::{
    exit::Exit,
    outln,
    settings::{self, Settings},
    term::wrap,
};
use greeting::connection::{Server, ServerArgs};
use jiff::{Timestamp, fmt::rfc2822};
use serde::Serialize;
use solutions::Step;
use stack::{
    checkout::Checkout,
    ports,
    process_compose::ProcessCompose,
    programs::{self, Program},
    services::{Asker, Service},
};
use sysinfo::{Disks, System};
use tokio::runtime;

const GIB: u64 = 1 << 30;
/// Enough for a debug build of everything, and for a comparison and its logs.
const DISK: u64 = 6 * GIB;
/// Enough for compiling and linking the SDK while a server runs.
const MEMORY: u64 = 2 * GIB;
/// Clocks on one machine differ by less than this, unless a virtual machine was suspended.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);

/// The flags of `workshop doctor`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop doctor
  cargo workshop doctor --no-stack           # what worker and exercises need
  cargo workshop doctor --without grafana")]
pub struct DoctorArgs {
    /// Skip a service of the stack (repeatable)
    #[arg(long, value_enum, value_name = "SERVICE")]
    without: Vec<Service>,
    /// Skip everything that only the stack needs
    #[arg(long)]
    no_stack: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// The state of a checked item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CheckState {
    /// As it should be.
    Ok,
    /// Worth knowing, but nothing to fix.
    Note,
    /// Something won't work like this.
    Wrong,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
struct DoctorCheck {
    what: &'static str,
    state: CheckState,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_to_do: Option<String>,
}

impl DoctorCheck {
    fn ok(what: &'static str, seen: impl Into<String>) -> Self {
        Self { what, state: CheckState::Ok, seen: seen.into(), what_to_do: None }
    }

    fn note(what: &'static str, seen: impl Into<String>) -> Self {
        Self { state: CheckState::Note, ..Self::ok(what, seen) }
    }

    fn wrong(what: &'static str, seen: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        let what_to_do = Some(what_to_do.into());
        Self { what, state: CheckState::Wrong, seen: seen.into(), what_to_do }
    }
}

/// Checks everything and reports it. Changes nothing.
///
/// # Errors
/// When this is not the workshop's folder, or a setting can't be read.
pub fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let checkout = Checkout::find()?;
    let (root, settings) = (checkout.root(), &checkout.settings);
    let asker = Asker::default();

    let mut checks = vec![program(programs::RUSTC, root), program(programs::CARGO, root)];
    checks.extend([program(programs::CC, root), git(root)]);
    if args.no_stack {
        checks.push(temporal_or_none(root));
    } else {
        let services = Service::all_but(&args.without);
        checks
            .extend([programs::BASH, programs::PROCESS_COMPOSE].map(|known| program(known, root)));
        checks.extend(services.iter().map(|service| service_program(*service, root)));
        checks.extend(stack_ports(&services, &checkout, &asker));
    }
    checks.extend(metrics_ports(settings, &asker));
    checks.extend([disk(root), memory(), clock(root, settings, &asker)]);
    checks.push(server(&args.server)?);
    if !args.no_stack {
        checks.push(scraped(settings, &asker));
    }

    if args.json {
        outln!("{}", serde_json::to_string_pretty(&checks)?);
    } else {
        let line = |state: &str, what: &str, text: &str| {
            // The width of the columns before the text.
            const INDENT: usize = 24;
            outln!("{}", wrap(&format!("{state:6} {what:16} {text}"), INDENT));
        };
        for DoctorCheck { what, state, seen, what_to_do } in &checks {
            let state = match state {
                CheckState::Ok => "ok",
                CheckState::Note => "note",
                CheckState::Wrong => "wrong",
            };
            line(state, what, seen);
            if let Some(what_to_do) = what_to_do {
                line("", "fix:", what_to_do);
            }
        }
        let is_wrong = |name| checks.iter().any(|c| c.what == name && c.state == CheckState::Wrong);
        let of_the_stack =
            [programs::BASH, programs::PROCESS_COMPOSE, programs::PROMETHEUS, programs::GRAFANA];
        if of_the_stack.into_iter().any(|program| is_wrong(program.name)) {
            let without = "You can do the exercises without the stack: `cargo workshop server` \
                           starts a server, and `cargo workshop doctor --no-stack` checks only \
                           what that needs.";
            outln!("\n{}", wrap(without, 0));
        }
    }
    let wrong = checks.iter().any(|check| check.state == CheckState::Wrong);
    Ok(if wrong { Exit::Environment } else { Exit::Done })
}

fn program(program: Program, root: &Path) -> DoctorCheck {
    match program.find(root) {
        Ok(found) => {
            DoctorCheck::ok(program.name, format!("{} ({})", found.version, found.path.display()))
        }
        Err(unfit) => DoctorCheck::wrong(program.name, unfit.seen, unfit.what_to_do),
    }
}

/// The workshop's own services need not be on `PATH`: the stack builds them.
fn service_program(service: Service, root: &Path) -> DoctorCheck {
    let known = service.program();
    match known.find(root) {
        Err(unfit) if known.is_built_here() => DoctorCheck::note(
            known.name,
            format!("{}; `cargo workshop stack` will build it from this clone", unfit.seen),
        ),
        _ => program(known, root),
    }
}

/// Git is needed for a few commands only.
fn git(root: &Path) -> DoctorCheck {
    match programs::GIT.find(root) {
        Ok(_) => program(programs::GIT, root),
        Err(unfit) => DoctorCheck::note(
            programs::GIT.name,
            format!("{}; `cargo workshop branches` and `prefetch --bundle` need it", unfit.seen),
        ),
    }
}

/// Without the stack, the Temporal CLI need not be installed beforehand.
fn temporal_or_none(root: &Path) -> DoctorCheck {
    match programs::TEMPORAL.find(root) {
        Ok(_) => program(programs::TEMPORAL, root),
        Err(unfit) => DoctorCheck::note(
            programs::TEMPORAL.name,
            format!("{}; `cargo workshop compare` will install one into .workshop/", unfit.seen),
        ),
    }
}

/// The stack's own ports: free, or held by the stack.
fn stack_ports(services: &[Service], checkout: &Checkout, asker: &Asker) -> Vec<DoctorCheck> {
    if ProcessCompose::answers(checkout) {
        return services.iter().map(|service| running(*service, checkout, asker)).collect();
    }
    let settings = &checkout.settings;
    let server = services
        .contains(&Service::Temporal)
        .then(|| asker.running_server(settings))
        .flatten()
        .map(|address| {
            DoctorCheck::note(
                "ports",
                format!(
                    "a Temporal server is already running at {address}: use it, or stop it before \
                     you start the stack"
                ),
            )
        });
    let others =
        services.iter().filter(|service| server.is_none() || **service != Service::Temporal);
    let variables: Vec<_> = others.flat_map(|service| service.ports()).collect();
    let taken: Vec<_> =
        variables.iter().filter_map(|variable| port_taken(settings, variable)).collect();
    let mut checks: Vec<_> = server.into_iter().collect();
    if taken.is_empty() && !variables.is_empty() {
        let ports: Vec<_> = variables.iter().map(|name| settings.port(name).to_string()).collect();
        checks
            .push(DoctorCheck::ok("ports", format!("{} are free for the stack", ports.join(", "))));
    }
    checks.extend(taken);
    checks
}

fn running(service: Service, checkout: &Checkout, asker: &Asker) -> DoctorCheck {
    let address = service.where_it_is(&checkout.settings);
    match asker.check(service, &checkout.settings) {
        Ok(()) => DoctorCheck::ok("stack", format!("{service} is healthy, at {address}")),
        Err(error) => DoctorCheck::wrong(
            "stack",
            format!("the stack is running, but {service} at {address} is not healthy: {error:#}"),
            format!(
                "read {}; if the stack was started without it, add --without {service} here, too",
                checkout.log(service.name()).display()
            ),
        ),
    }
}

fn port_taken(settings: &Settings, variable: &'static str) -> Option<DoctorCheck> {
    let unfit = ports::unfit(variable, settings)?;
    Some(DoctorCheck::wrong("ports", unfit.seen, unfit.what_to_do))
}

/// The ports where worker and starter serve their metrics: free, or held by one of them.
fn metrics_ports(settings: &Settings, asker: &Asker) -> Vec<DoctorCheck> {
    let ports = [
        (settings::WORKER_METRICS_PORT, "workshop_worker_start_time_seconds", "a worker"),
        (settings::STARTER_METRICS_PORT, "workshop_starter_workflows_total", "a starter"),
    ];
    ports
        .into_iter()
        .map(|(variable, metric, who)| {
            let url = settings.url(variable, "/metrics");
            match port_taken(settings, variable) {
                None => DoctorCheck::ok(
                    "ports",
                    format!("{} is free for {who}", settings.port(variable)),
                ),
                Some(_) if asker.page(&url).is_ok_and(|page| page.contains(metric)) => {
                    DoctorCheck::ok("ports", format!("{who} serves its metrics at {url}"))
                }
                Some(taken) => taken,
            }
        })
        .collect()
}

fn disk(root: &Path) -> DoctorCheck {
    let disks = Disks::new_with_refreshed_list();
    // The file system with the longest mount point above the folder.
    let disk = disks
        .iter()
        .filter(|disk| root.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().components().count());
    let Some(disk) = disk else {
        return DoctorCheck::note("disk", "this system does not report how much space is free");
    };
    enough("disk", "free where the workshop is", disk.available_space(), DISK, "make room")
}

fn memory() -> DoctorCheck {
    let mut system = System::new();
    system.refresh_memory();
    let what_to_do = "stop other programs, or build with less memory: cargo build -j 1";
    enough("memory", "free for builds and services", system.available_memory(), MEMORY, what_to_do)
}

fn enough(
    what: &'static str,
    of_what: &str,
    bytes: u64,
    needed: u64,
    what_to_do: &str,
) -> DoctorCheck {
    let gib = |bytes: u64| bytes as f64 / GIB as f64;
    let seen = format!("{:.1} GiB {of_what}", gib(bytes));
    if bytes >= needed {
        return DoctorCheck::ok(what, seen);
    }
    DoctorCheck::wrong(what, format!("{seen}; {:.0} are needed", gib(needed)), what_to_do)
}

/// With a wrong clock, dashboards are empty, because the browser asks for another time than Prometheus has,
/// and certificates look invalid.
fn clock(root: &Path, settings: &Settings, asker: &Asker) -> DoctorCheck {
    let now = SystemTime::now();
    let what_to_do = "set the clock: in a virtual machine that was suspended, it is often slow";
    let written = fs::metadata(root.join("Cargo.lock")).and_then(|file| file.modified());
    if let Ok(ahead) = written.unwrap_or(now).duration_since(now)
        && ahead > CLOCKS_DIFFER
    {
        let seen = format!("Cargo.lock was written {} s in the future", ahead.as_secs());
        return DoctorCheck::wrong("clock", seen, what_to_do);
    }
    let here = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    let theirs = Service::ALL.into_iter().find_map(|service| {
        let date = asker.date(service, settings).ok()?;
        let date = rfc2822::parse(&date).ok()?;
        // Asking the services before it may have taken some time.
        Some((service, SystemTime::from(date.timestamp()), SystemTime::now()))
    });
    let Some((service, theirs, now)) = theirs else { return DoctorCheck::ok("clock", here) };
    let apart = theirs.duration_since(now).unwrap_or_else(|behind| behind.duration());
    if apart > CLOCKS_DIFFER {
        let seen = format!("{here}, and {service}'s clock is {} s apart", apart.as_secs());
        return DoctorCheck::wrong("clock", seen, what_to_do);
    }
    DoctorCheck::ok("clock", format!("{here}, and {service}'s agrees"))
}

/// The server that the worker and the starter would connect to.
fn server(args: &ServerArgs) -> anyhow::Result<DoctorCheck> {
    let named = args.address.is_some() || env::var_os("TEMPORAL_ADDRESS").is_some();
    let server = Server::choose(args)?;
    let codec = Step::Async.codec(server.keys()?);
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let connected = runtime.block_on(server.connect(codec, None));
    let address = server.address();
    Ok(match connected {
        Ok(_) => DoctorCheck::ok("server", format!("a Temporal server answers at {address}")),
        // A server that was named explicitly should be there.
        Err(error) if named => {
            DoctorCheck::wrong("server", format!("{error:#}"), "start it, or name another")
        }
        Err(_) => DoctorCheck::note(
            "server",
            format!(
                "no Temporal server answers at {address} yet: `cargo workshop stack` starts one, \
                 and so does `cargo workshop server`"
            ),
        ),
    })
}

/// Whether Prometheus has the worker's metrics.
fn scraped(settings: &Settings, asker: &Asker) -> DoctorCheck {
    let worker = settings.url(settings::WORKER_METRICS_PORT, "/metrics");
    let query = "/api/v1/query?query=up%7Bjob%3D%22worker%22%7D";
    let Ok(answer) = asker.page(&settings.url(settings::PROMETHEUS_PORT, query)) else {
        return DoctorCheck::note(
            "scrape",
            "no Prometheus answers yet: `cargo workshop stack` starts one",
        );
    };
    let runs = asker.page(&worker).is_ok();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let result = &answer["data"]["result"][0];
    let asked = result["metric"]["instance"].as_str().unwrap_or("nowhere");
    match (result["value"][1].as_str(), runs) {
        (Some("1"), _) => DoctorCheck::ok(
            "scrape",
            format!("Prometheus has the metrics of the worker at {asked}"),
        ),
        (_, false) => DoctorCheck::note("scrape", format!("no worker runs at {worker} yet")),
        (_, true) => DoctorCheck::wrong(
            "scrape",
            format!(
                "a worker answers at {worker}, but Prometheus scrapes {asked}, where no worker answers"
            ),
            format!("stop the stack, set {}, start it again", settings::WORKER_METRICS_PORT),
        ),
    }
}
