//! `workshop doctor`: what is here, what is wrong, and what to do about it.

use std::{
    env, fs,
    path::Path,
    time::{Duration, SystemTime},
};

use clap::Args;
use codec_kit::KeyService;
use serde::Serialize;
use solutions::Step;
use stack::{
    ports,
    process_compose::ProcessCompose,
    programs::{self, Program},
    root,
    services::{Asker, Service},
    settings::{self, Settings},
};
use sysinfo::{Disks, System};
use tokio::runtime;

use crate::{
    connection::{Server, ServerArgs},
    exit::Exit,
    fold::fold,
};

const GIB: u64 = 1 << 30;
/// A debug build of everything, and room for a comparison and its logs.
const DISK: u64 = 6 * GIB;
/// The compiler and the linker of the SDK, with a server beside them.
const MEMORY: u64 = 2 * GIB;
/// Clocks of one machine agree better than this; of a virtual machine that slept, they do not.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);

/// The flags of `workshop doctor`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop doctor
  cargo workshop doctor --no-stack           # what worker and exercises need
  cargo workshop doctor --without grafana")]
pub struct DoctorArgs {
    /// Leave a service of the stack out; may be given several times
    #[arg(long, value_enum, value_name = "SERVICE")]
    without: Vec<Service>,
    /// Leave out all that only the stack needs
    #[arg(long)]
    no_stack: bool,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// Worth knowing, and nothing to mend.
    Note,
    /// Something won't work like this.
    Wrong,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
struct Check {
    what: &'static str,
    state: State,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    what_to_do: Option<String>,
}

impl Check {
    fn ok(what: &'static str, seen: impl Into<String>) -> Self {
        Self { what, state: State::Ok, seen: seen.into(), what_to_do: None }
    }

    fn note(what: &'static str, seen: impl Into<String>) -> Self {
        Self { state: State::Note, ..Self::ok(what, seen) }
    }

    fn wrong(what: &'static str, seen: impl Into<String>, what_to_do: impl Into<String>) -> Self {
        let what_to_do = Some(what_to_do.into());
        Self { what, state: State::Wrong, seen: seen.into(), what_to_do }
    }
}

/// Looks at everything, and says how it is. Nothing is changed.
///
/// # Errors
/// When this is not the workshop's folder, or a setting can't be read.
pub fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let root = root::enter()?;
    let settings = Settings::from_env()?;
    let asker = Asker::default();

    let mut checks = vec![program(programs::RUSTC), program(programs::CARGO)];
    if args.no_stack {
        checks.push(temporal_or_none());
    } else {
        let services = Service::all_but(&args.without);
        checks.push(program(programs::PROCESS_COMPOSE));
        checks.extend(services.iter().map(|service| program(service.program())));
        checks.extend(stack_ports(&services, &settings, &asker));
    }
    checks.extend(metrics_ports(&settings, &asker));
    checks.extend([disk(&root), memory(), clock(&root, &settings, &asker)]);
    checks.push(server(&args.server)?);
    if !args.no_stack {
        checks.push(scraped(&settings, &asker));
    }

    if args.json {
        println!("{}", serde_json::to_string_pretty(&checks)?);
    } else {
        let line = |state: &str, what: &str, text: &str| {
            // As wide as what stands before the text.
            const INDENT: usize = 24;
            println!("{}", fold(&format!("{state:6} {what:16} {text}"), INDENT));
        };
        for Check { what, state, seen, what_to_do } in &checks {
            let state = match state {
                State::Ok => "ok",
                State::Note => "note",
                State::Wrong => "wrong",
            };
            line(state, what, seen);
            if let Some(what_to_do) = what_to_do {
                line("", "what to do:", what_to_do);
            }
        }
        let is_wrong = |name| checks.iter().any(|c| c.what == name && c.state == State::Wrong);
        let of_the_stack = [programs::PROCESS_COMPOSE, programs::PROMETHEUS, programs::GRAFANA];
        if of_the_stack.into_iter().any(|program| is_wrong(program.name)) {
            let without = "The exercises can be done without the stack: `cargo workshop server` is a \
                           server, and `cargo workshop doctor --no-stack` looks only at what it needs.";
            println!("\n{}", fold(without, 0));
        }
    }
    let wrong = checks.iter().any(|check| check.state == State::Wrong);
    Ok(if wrong { Exit::Environment } else { Exit::Done })
}

fn program(program: Program) -> Check {
    match program.find() {
        Ok(found) => {
            Check::ok(program.name, format!("{} ({})", found.version, found.path.display()))
        }
        Err(unfit) => Check::wrong(program.name, unfit.seen, unfit.what_to_do),
    }
}

/// Without the stack, nobody needs a Temporal CLI beforehand.
fn temporal_or_none() -> Check {
    match programs::TEMPORAL.find() {
        Ok(_) => program(programs::TEMPORAL),
        Err(unfit) => Check::note(
            programs::TEMPORAL.name,
            format!("{}; `cargo workshop compare` will install one into .workshop/", unfit.seen),
        ),
    }
}

/// The stack's own ports: free, or held by the stack.
fn stack_ports(services: &[Service], settings: &Settings, asker: &Asker) -> Vec<Check> {
    if ProcessCompose::answers(settings) {
        return services.iter().map(|service| running(*service, settings, asker)).collect();
    }
    let variables: Vec<_> = services.iter().flat_map(|service| service.ports()).collect();
    let taken: Vec<_> =
        variables.iter().filter_map(|variable| port_taken(settings, variable)).collect();
    if !taken.is_empty() {
        return taken;
    }
    let ports: Vec<_> = variables.iter().map(|name| settings.port(name).to_string()).collect();
    vec![Check::ok("ports", format!("{} are free for the stack", ports.join(", ")))]
}

fn running(service: Service, settings: &Settings, asker: &Asker) -> Check {
    let address = service.where_it_is(settings);
    if asker.is_well(service, settings) {
        Check::ok("stack", format!("{service} is well, at {address}"))
    } else {
        Check::wrong(
            "stack",
            format!("the stack runs, and {service} does not answer at {address}"),
            format!(
                "read {}; if the stack was started without it, say --without {service} here, too",
                settings.log(service.name()).display()
            ),
        )
    }
}

fn port_taken(settings: &Settings, variable: &'static str) -> Option<Check> {
    let unfit = ports::unfit(variable, settings)?;
    Some(Check::wrong("ports", unfit.seen, unfit.what_to_do))
}

/// The ports where worker and starter serve their metrics: free, or held by one of them.
fn metrics_ports(settings: &Settings, asker: &Asker) -> Vec<Check> {
    let ports = [
        (settings::WORKER_METRICS_PORT, "workshop_worker_start_time_seconds", "a worker"),
        (settings::STARTER_METRICS_PORT, "workshop_starter_workflows_total", "a starter"),
    ];
    ports
        .into_iter()
        .map(|(variable, metric, who)| {
            let url = settings.url(variable, "/metrics");
            match port_taken(settings, variable) {
                None => {
                    Check::ok("ports", format!("{} is free for {who}", settings.port(variable)))
                }
                Some(_) if asker.page(&url).is_ok_and(|page| page.contains(metric)) => {
                    Check::ok("ports", format!("{who} serves its metrics at {url}"))
                }
                Some(taken) => taken,
            }
        })
        .collect()
}

fn disk(root: &Path) -> Check {
    let disks = Disks::new_with_refreshed_list();
    // The one that is mounted nearest above.
    let disk = disks
        .iter()
        .filter(|disk| root.starts_with(disk.mount_point()))
        .max_by_key(|disk| disk.mount_point().components().count());
    let Some(disk) = disk else {
        return Check::note("disk", "this system does not tell how much room there is");
    };
    enough("disk", "free where the workshop is", disk.available_space(), DISK, "make room")
}

fn memory() -> Check {
    let mut system = System::new();
    system.refresh_memory();
    let what_to_do = "end what else runs; with one build at a time it needs less: cargo build -j 1";
    enough("memory", "free for builds and services", system.available_memory(), MEMORY, what_to_do)
}

fn enough(what: &'static str, of_what: &str, bytes: u64, needed: u64, what_to_do: &str) -> Check {
    let gib = |bytes: u64| bytes as f64 / GIB as f64;
    let seen = format!("{:.1} GiB {of_what}", gib(bytes));
    if bytes >= needed {
        return Check::ok(what, seen);
    }
    Check::wrong(what, format!("{seen}, and {:.0} are needed", gib(needed)), what_to_do)
}

/// A clock that is wrong makes pictures empty (the browser asks for another time than Prometheus
/// has) and certificates invalid.
fn clock(root: &Path, settings: &Settings, asker: &Asker) -> Check {
    let now = SystemTime::now();
    let what_to_do = "set the clock: a virtual machine that slept is often behind";
    let written = fs::metadata(root.join("Cargo.lock")).and_then(|file| file.modified());
    if let Ok(ahead) = written.unwrap_or(now).duration_since(now)
        && ahead > CLOCKS_DIFFER
    {
        let seen = format!("Cargo.lock was written {} s in the future", ahead.as_secs());
        return Check::wrong("clock", seen, what_to_do);
    }
    let here = httpdate::fmt_http_date(now);
    let theirs = Service::ALL.into_iter().find_map(|service| {
        let date = asker.date(&service.health(settings)).ok()?;
        Some((service, httpdate::parse_http_date(&date).ok()?))
    });
    let Some((service, theirs)) = theirs else { return Check::ok("clock", here) };
    let apart = theirs.duration_since(now).unwrap_or_else(|behind| behind.duration());
    if apart > CLOCKS_DIFFER {
        let seen = format!("{here}, and {service}'s clock is {} s apart", apart.as_secs());
        return Check::wrong("clock", seen, what_to_do);
    }
    Check::ok("clock", format!("{here}, and {service}'s agrees"))
}

/// The server that worker and starter would talk to.
fn server(args: &ServerArgs) -> anyhow::Result<Check> {
    let named = args.address.is_some() || env::var_os("TEMPORAL_ADDRESS").is_some();
    let server = Server::choose(args)?;
    let codec = Step::Async.codec(KeyService::new(server.keyring().clone()));
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let connected = runtime.block_on(server.connect(codec, None));
    let address = server.address();
    Ok(match connected {
        Ok(_) => Check::ok("server", format!("a Temporal server answers at {address}")),
        // Named by somebody, it should be there.
        Err(error) if named => {
            Check::wrong("server", format!("{error:#}"), "start it, or name another")
        }
        Err(_) => Check::note(
            "server",
            format!(
                "no Temporal server answers at {address} yet: `cargo workshop stack` starts one, \
                 and so does `cargo workshop server`"
            ),
        ),
    })
}

/// Whether Prometheus has the worker's metrics.
fn scraped(settings: &Settings, asker: &Asker) -> Check {
    let worker = settings.url(settings::WORKER_METRICS_PORT, "/metrics");
    let query = "/api/v1/query?query=up%7Bjob%3D%22worker%22%7D";
    let Ok(answer) = asker.page(&settings.url(settings::PROMETHEUS_PORT, query)) else {
        return Check::note(
            "scrape",
            "no Prometheus answers yet: `cargo workshop stack` starts one",
        );
    };
    let runs = asker.page(&worker).is_ok();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let result = &answer["data"]["result"][0];
    let asked = result["metric"]["instance"].as_str().unwrap_or("nowhere");
    match (result["value"][1].as_str(), runs) {
        (Some("1"), _) => {
            Check::ok("scrape", format!("Prometheus has the metrics of the worker at {asked}"))
        }
        (_, false) => Check::note("scrape", format!("no worker runs at {worker} yet")),
        (_, true) => Check::wrong(
            "scrape",
            format!("a worker answers at {worker}, and Prometheus asks {asked} in vain"),
            format!("end the stack, set {}, start it again", settings::WORKER_METRICS_PORT),
        ),
    }
}
