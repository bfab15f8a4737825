//! `--server` against a real Temporal server.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use check_worker::server::{Access, Seen, ask};
use port::free_port;

#[path = "../../tests/support/port.rs"]
mod port;

/// Stops with the test, also with one that fails.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// `cargo test --package check-worker --test server -- --ignored`, with Temporal's CLI on the PATH.
#[test]
#[ignore = "needs Temporal's CLI"]
fn a_real_server_answers() {
    let port = free_port();
    let mut command = Command::new("temporal");
    command.args(["server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port"]);
    command.arg(port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Server(command.spawn().unwrap());
    let address = format!("127.0.0.1:{port}");
    let asked = |namespace: &str| -> anyhow::Result<Seen> {
        let access = Access::of(&address, namespace, |_| None).unwrap();
        ask(&access, &["nothing-polls-this".to_owned()])
    };
    let until = Instant::now() + Duration::from_secs(60);
    let seen = loop {
        match asked("default") {
            Ok(seen) => break seen,
            Err(error) => assert!(Instant::now() < until, "{error:#}"),
        }
        thread::sleep(Duration::from_millis(200));
    };
    assert!(seen.round_trip > 0.0 && seen.round_trip < 5.0, "{seen:?}");
    assert_eq!(seen.queues, [], "no worker polls it");
    // A namespace that is missing leaves the round trip.
    let other = asked("missing").unwrap();
    assert!(other.round_trip > 0.0 && other.queues.is_empty(), "{other:?}");
}
