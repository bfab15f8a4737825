//! What the tests of every package wait for: a state, and ports that are free. It is by itself, so that the
//! tests of other packages can have it.

// Each test program uses a part of this.
#![allow(dead_code)]

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use cli_kit::settings::Settings;

/// Far longer than anything here takes; a state that is not reached by then never will be.
pub const PATIENCE: Duration = Duration::from_secs(240);

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
    // All are held until all are chosen, so that no two are the same.
    let ports = names.into_iter().filter(|name| name.ends_with("_PORT"));
    let held: Vec<_> =
        ports.map(|name| (name, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
    for (name, held) in &held {
        settings.set(name, held.local_addr().unwrap().port().to_string());
    }
    settings
}

/// A port that is free.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
