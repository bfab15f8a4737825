//! What the tests of every package need next to others: a state to wait for, ports that are free, scripts that can
//! be run. It is by itself, so that the tests of other packages can have it.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use cli_kit::settings::Settings;

#[path = "port.rs"]
mod port;

pub use port::free_port;

/// Far longer than anything here takes, a build in a copy of the repository included; a state that is not reached
/// by then never will be.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Waits until `state` is there.
pub fn wait_for<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = state() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come in time");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The stack's settings with free ports.
pub fn free_ports() -> Settings {
    let mut settings = Settings::from_env().unwrap();
    let names: Vec<_> = settings.variables().map(|(name, _)| name).collect();
    for name in names.into_iter().filter(|name| name.ends_with("_PORT")) {
        settings.set(name, free_port().to_string());
    }
    settings
}

/// Writes a shell script that can be run at once. A process of its own writes it: a file that this one has open
/// for writing is also open in what another test starts at that moment, and the system runs no such file.
pub fn script(path: &Path, text: &str) {
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().unwrap();
    let script = format!("#!/bin/sh\n{text}\n");
    writer.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success(), "can't write {}", path.display());
}
