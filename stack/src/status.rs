//! `stack status`.

use cli_kit::{
    exit::{Exit, Failure},
    outln,
};
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::{
    checkout::Checkout,
    process_compose::{ProcessCompose, ProcessState},
    services::{Asker, Service},
};

/// The state of a service.
#[derive(Debug, Serialize)]
struct Status {
    service: &'static str,
    /// Whether it answers, and says that it is healthy.
    #[serde(rename = "well")]
    healthy: bool,
    /// What process-compose says: Running, Completed, Disabled, …
    process: String,
    restarts: u32,
    pid: u32,
    address: String,
}

/// Prints the state of each service.
///
/// # Errors
/// When no stack runs.
pub fn status(checkout: &Checkout, json: bool) -> anyhow::Result<Exit> {
    if !ProcessCompose::answers(checkout) {
        let why = match ProcessCompose::died(checkout) {
            Some((service, code)) => {
                format!(" (the last one ended because {service} died with exit code {code})")
            }
            None => String::new(),
        };
        return Err(Failure::environment(format!(
            "no stack runs from this folder{why}: `cargo workshop stack` starts it"
        ))
        .into());
    }
    let processes = ProcessCompose::find(checkout)?.processes()?;
    let asker = Asker::default();
    let all: Vec<_> = Service::ALL
        .into_iter()
        .filter_map(|service| {
            let process = processes.iter().find(|process| process.name == service.name())?;
            // Left out with --without.
            (process.status != "Disabled").then(|| a_status(service, process, &asker, checkout))
        })
        .collect();
    if json {
        outln!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["service", "", "process", "restarts", "address"]);
        for status in &all {
            let Status { service, process, restarts, address, .. } = status;
            table.add_row([
                (*service).to_owned(),
                if status.healthy { "healthy" } else { "not healthy" }.to_owned(),
                process.clone(),
                restarts.to_string(),
                address.clone(),
            ]);
        }
        outln!("{table}");
    }
    Ok(if all.iter().all(|status| status.healthy) { Exit::Done } else { Exit::Environment })
}

fn a_status(
    service: Service,
    process: &ProcessState,
    asker: &Asker,
    checkout: &Checkout,
) -> Status {
    Status {
        service: service.name(),
        healthy: asker.is_healthy(service, &checkout.settings),
        process: process.status.clone(),
        restarts: process.restarts,
        pid: process.pid,
        address: service.where_it_is(&checkout.settings),
    }
}
