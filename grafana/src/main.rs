//! Writes Grafana's dashboards.
//!
//! Each dashboard is a Rust module that defines its panels; what all panels have in common is in [`panel`].
//! The JSON is generated, so that a change to one panel is a change of one line here. It is also committed,
//! so that Grafana needs nothing but files.

mod lesson;
mod panel;
mod temporal_worker;
#[cfg(test)]
mod tests;

use std::{fs, path::PathBuf};

use anyhow::Context;
use panel::Dashboard;

/// Every dashboard, with the name of its file.
fn dashboards() -> [(&'static str, Dashboard); 2] {
    [("lesson.json", lesson::dashboard()), ("temporal-worker.json", temporal_worker::dashboard())]
}

/// Where Grafana's provisioning looks for `name`.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dashboards").join(name)
}

#[expect(clippy::print_stdout, reason = "run by hand, after a panel was changed")]
fn main() -> anyhow::Result<()> {
    for (name, dashboard) in dashboards() {
        let path = file(name);
        fs::write(&path, dashboard.json()?)
            .with_context(|| format!("{} can't be written", path.display()))?;
        println!("wrote grafana/dashboards/{name}");
    }
    Ok(())
}
