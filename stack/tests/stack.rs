//! The real stack: process-compose, Temporal, Prometheus. Each test has a folder and ports of its
//! own. What needs process-compose is ignored unless it is asked for, since not every machine has it:
//! `cargo test --package stack -- --ignored`.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use stack::{services::Asker, settings::Settings};
use tempfile::TempDir;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

fn wait_for<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = state() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A workshop's folder with nothing running in it, and ports that are free.
struct Room {
    folder: TempDir,
    ports: Vec<(&'static str, u16)>,
}

impl Room {
    fn new() -> Self {
        let settings = Settings::from_env().unwrap();
        let names = settings.variables().map(|(name, _)| name).filter(|n| n.ends_with("_PORT"));
        // All are held until all are chosen, so that no two are the same.
        let held: Vec<_> =
            names.map(|name| (name, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
        let ports = held.iter().map(|(name, l)| (*name, l.local_addr().unwrap().port())).collect();
        Self::with(ports)
    }

    fn with(ports: Vec<(&'static str, u16)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workshop = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for part in ["nix", "grafana"] {
            symlink(workshop.join(part), folder.path().join(part)).unwrap();
        }
        Self { folder, ports }
    }

    fn port(&self, variable: &str) -> u16 {
        self.ports.iter().find(|(name, _)| *name == variable).unwrap().1
    }

    fn in_here(&self, mut command: Command) -> Command {
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, port) in &self.ports {
            command.env(name, port.to_string());
        }
        command
    }

    /// Without Grafana, which not every machine has.
    fn stack(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stack"));
        command.args(flags);
        self.in_here(command)
    }

    fn run(&self, flags: &[&str]) -> Output {
        self.stack(flags).output().unwrap()
    }

    fn up(&self, flags: &[&str]) -> Output {
        self.run(&[&["--without", "grafana", "--detach"], flags].concat())
    }

    fn status(&self) -> Vec<Value> {
        let output = self.run(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn pid(&self, service: &str) -> Pid {
        let status = self.status();
        let status = status.iter().find(|status| status["service"] == service).unwrap();
        Pid::from_raw(i32::try_from(status["pid"].as_i64().unwrap()).unwrap()).unwrap()
    }

    /// Starts it in the foreground, and waits until it is up.
    fn foreground(&self) -> Foreground {
        let stdout = self.folder.path().join("out");
        let stderr = self.folder.path().join("err");
        let mut command = self.stack(&["--without", "grafana"]);
        command
            .stdout(fs::File::create(&stdout).unwrap())
            .stderr(fs::File::create(&stderr).unwrap())
            .process_group(0);
        let mut child = command.spawn().unwrap();
        wait_for("the stack to be up", || {
            assert_eq!(child.try_wait().unwrap(), None, "{}", read(&stderr));
            read(&stdout).contains("the stack is up").then_some(())
        });
        Foreground { child, stderr }
    }

    /// Nobody listens at any port, and nobody has this folder as its own.
    fn assert_nothing_is_left(&self) {
        for (name, port) in &self.ports {
            assert!(TcpStream::connect(("127.0.0.1", *port)).is_err(), "{name} is still served");
        }
        let socket = self.folder.path().join(".workshop/stack/process-compose.sock");
        assert!(std::os::unix::net::UnixStream::connect(socket).is_err(), "it still answers");
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // A test that failed in between leaves nothing either.
        self.run(&["down"]);
    }
}

struct Foreground {
    child: Child,
    stderr: PathBuf,
}

impl Foreground {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Its exit code and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let status = wait_for("the stack to end", || self.child.try_wait().unwrap());
        (status.code(), read(&self.stderr))
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_starts() {
    let room = Room::new();
    let port = room.port("STACK_PROMETHEUS_PORT");
    let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = room.run(&["--without", "grafana", "--detach"]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    let pid = std::process::id();
    let holder = format!("port {port} is taken by ");
    assert!(said.contains(&holder) && said.contains(&format!("(process {pid})")), "{said}");
    assert!(said.contains("STACK_PROMETHEUS_PORT="), "{said}");
    assert!(!room.folder.path().join(".workshop").exists(), "something was begun");
}

#[test]
fn what_is_missing_is_said_all_at_once_with_how_to_get_it() {
    let room = Room::new();
    let output = room.stack(&[]).env("PATH", "/no/such/folder").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    for program in ["process-compose", "temporal", "prometheus", "grafana"] {
        let line = said.lines().find(|line| line.trim().starts_with(&format!("{program} is not")));
        assert!(line.is_some_and(|line| line.contains("get it: ")), "{program}: {said}");
    }
    assert!(!room.folder.path().join(".workshop").exists(), "something was begun");
}

#[test]
fn wrong_usage_is_a_sentence_and_exit_code_2() {
    let room = Room::new();
    let all = ["--without", "grafana", "--without", "temporal", "--without", "prometheus"];
    let output = room.run(&all);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = room.stack(&["status"]).env("STACK_GRAFANA_PORT", "x").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("STACK_GRAFANA_PORT=x is no port"), "{}", stderr(&output));
}

#[test]
fn where_no_stack_runs_status_says_so_and_down_is_done() {
    let room = Room::new();
    let output = room.run(&["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("no stack runs from this folder"), "{}", stderr(&output));
    let output = room.run(&["down"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
#[ignore = "needs process-compose"]
fn it_comes_up_restarts_what_is_killed_and_goes_down() {
    let room = Room::new();
    let output = room.up(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let address = format!("TEMPORAL_ADDRESS=127.0.0.1:{}", room.port("STACK_TEMPORAL_PORT"));
    assert!(said.contains(&address) && said.contains("the stack is up"), "{said}");

    // Everything listens on this machine only.
    let pids = ["temporal", "prometheus"].map(|service| room.pid(service));
    let sockets: Vec<_> = listeners::get_all()
        .unwrap()
        .into_iter()
        .filter(|listener| {
            pids.iter()
                .any(|pid| pid.as_raw_nonzero().get().cast_unsigned() == listener.process.pid)
        })
        .filter(|listener| listener.state == listeners::SocketState::Listen)
        .collect();
    assert!(sockets.len() >= 5, "{sockets:?}");
    assert!(sockets.iter().all(|listener| listener.socket.ip().is_loopback()), "{sockets:?}");

    let again = room.up(&[]);
    assert_eq!(again.status.code(), Some(3));
    assert!(stderr(&again).contains("the stack runs already"), "{}", stderr(&again));

    // Prometheus has the rules, and asks the ports that were chosen.
    let asker = Asker::default();
    let prometheus = format!("http://127.0.0.1:{}/api/v1", room.port("STACK_PROMETHEUS_PORT"));
    let rules = asker.page(&format!("{prometheus}/rules")).unwrap();
    assert!(rules.contains("ThreadHeld"), "{rules}");
    let targets = wait_for("Prometheus' targets", || {
        let targets = asker.page(&format!("{prometheus}/targets")).unwrap();
        targets.contains("\"job\":\"worker\"").then_some(targets)
    });
    for target in ["WORKER", "STARTER", "TEMPORAL"] {
        let port = room.port(&format!("STACK_{target}_METRICS_PORT"));
        assert!(targets.contains(&format!("127.0.0.1:{port}\"")), "{target}: {targets}");
    }

    // From another folder, the ports are somebody else's.
    let other = Room::with(room.ports.clone());
    let refused = stderr(&other.up(&[]));
    for (port, service) in
        [("STACK_PROMETHEUS_PORT", "prometheus"), ("STACK_TEMPORAL_PORT", "temporal")]
    {
        let pid = room.pid(service).as_raw_nonzero();
        let holder = format!("port {} is taken by {service} (process {pid})", room.port(port));
        assert!(refused.contains(&holder), "{holder}: {refused}");
    }

    for service in ["prometheus", "temporal"] {
        let killed = room.pid(service);
        kill_process(killed, Signal::KILL).unwrap();
        wait_for("it to be restarted and well", || {
            let status = room.status();
            let status = status.iter().find(|status| status["service"] == service)?;
            (status["restarts"] == 1 && status["well"] == true).then_some(())
        });
        assert_ne!(room.pid(service), killed);
    }
    let table = stdout(&room.run(&["status"]));
    assert!(table.contains("prometheus") && !table.contains("grafana"), "{table}");

    let pids = ["temporal", "prometheus"].map(|service| room.pid(service));
    let output = room.run(&["down"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    room.assert_nothing_is_left();
    assert!(pids.iter().all(|pid| test_kill_process(*pid).is_err()), "a service still runs");
}

#[test]
#[ignore = "needs process-compose"]
fn a_signal_ends_it_whole() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let room = Room::new();
        let stack = room.foreground();
        stack.signal(signal);
        let (code, said) = stack.end();
        assert_eq!(code, Some(0), "{signal:?}: {said}");
        assert!(said.contains("the stack is down"), "{said}");
        room.assert_nothing_is_left();
    }
}

#[test]
#[ignore = "needs process-compose"]
fn process_compose_down_ends_it_whole() {
    let room = Room::new();
    let stack = room.foreground();
    let mut down = Command::new("process-compose");
    down.args(["--unix-socket", ".workshop/stack/process-compose.sock", "down"]);
    assert!(room.in_here(down).output().unwrap().status.success());
    assert_eq!(stack.end().0, Some(0));
    room.assert_nothing_is_left();
}

#[test]
#[ignore = "needs process-compose"]
fn a_service_that_dies_again_and_again_ends_it_with_its_last_words() {
    let room = Room::new();
    let mut stack = room.foreground();
    // It is restarted three times.
    let mut killed = Vec::new();
    wait_for("the stack to give up", || {
        let status = room.status();
        let status = status.iter().find(|status| status["service"] == "prometheus");
        let well = status.filter(|status| status["well"] == true);
        let pid = well.and_then(|status| Pid::from_raw(status["pid"].as_i64()?.try_into().ok()?));
        if let Some(pid) = pid.filter(|pid| !killed.contains(pid)) {
            kill_process(pid, Signal::KILL).unwrap();
            killed.push(pid);
        }
        assert!(killed.len() < 10, "it is restarted for ever");
        stack.child.try_wait().unwrap()
    });
    let (code, said) = stack.end();
    assert_eq!((code, killed.len()), (Some(3), 4), "{said}");
    assert!(said.contains("prometheus died again and again, at last with exit code -1"), "{said}");
    assert!(said.contains(".workshop/stack/temporal.log:"), "{said}");
    let said = stderr(&room.run(&["status"]));
    assert!(said.contains("because prometheus died with exit code -1"), "{said}");
    room.assert_nothing_is_left();
}

#[test]
#[ignore = "needs process-compose"]
fn a_service_that_does_not_start_leaves_nothing_running() {
    for detach in [true, false] {
        let room = Room::new();
        // A configuration that Prometheus refuses.
        let folder = room.folder.path();
        fs::remove_file(folder.join("nix")).unwrap();
        fs::create_dir(folder.join("nix")).unwrap();
        let nix = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nix");
        fs::copy(nix.join("process-compose.yaml"), folder.join("nix/process-compose.yaml"))
            .unwrap();
        fs::write(folder.join("nix/prometheus.yml"), "no_such_setting: 1\n").unwrap();
        let flags = ["--without", "grafana", "--detach"];
        let output = room.run(&flags[..if detach { 3 } else { 2 }]);
        assert_eq!(output.status.code(), Some(3));
        let said = stderr(&output);
        assert!(said.contains("no_such_setting"), "{said}");
        room.assert_nothing_is_left();
    }
}

#[test]
#[ignore = "needs process-compose"]
fn interrupted_before_it_is_well_it_leaves_nothing_running() {
    let room = Room::new();
    // A Prometheus that is never well.
    let nix = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nix");
    let file = fs::read_to_string(nix.join("process-compose.yaml")).unwrap();
    let file = file.replace("exec prometheus", "exec sleep 600; exec prometheus");
    fs::remove_file(room.folder.path().join("nix")).unwrap();
    fs::create_dir(room.folder.path().join("nix")).unwrap();
    fs::write(room.folder.path().join("nix/process-compose.yaml"), file).unwrap();
    fs::copy(nix.join("prometheus.yml"), room.folder.path().join("nix/prometheus.yml")).unwrap();
    let mut command = room.stack(&["--without", "grafana", "--detach"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("Temporal to be well", || {
        let status = room.status();
        status.iter().any(|s| s["service"] == "temporal" && s["well"] == true).then_some(())
    });
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let status = wait_for("it to end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    room.assert_nothing_is_left();
}

#[test]
#[ignore = "needs process-compose"]
fn data_is_fresh_unless_it_is_kept() {
    let room = Room::new();
    let address = format!("127.0.0.1:{}", room.port("STACK_TEMPORAL_PORT"));
    let temporal = |flags: &[&str]| {
        let mut command = Command::new("temporal");
        command.args(["workflow"]).args(flags).args([
            "--workflow-id",
            "kept",
            "--address",
            &address,
        ]);
        room.in_here(command).output().unwrap()
    };
    let start = |keep: &[&str]| {
        let output = room.up(keep);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    };
    start(&["--keep"]);
    let started = temporal(&["start", "--type", "Anything", "--task-queue", "nobody"]);
    assert!(started.status.success(), "{}", stderr(&started));
    room.run(&["down"]);
    // Prometheus' folder of each kind of run, from the run before.
    let data = |kind: &str| room.folder.path().join(".workshop/stack").join(kind);
    for kind in ["data", "kept"] {
        fs::create_dir_all(data(kind)).unwrap();
        fs::write(data(kind).join("earlier"), "").unwrap();
    }
    // A fresh run in between knows nothing of it, and takes nothing from it.
    for (keep, known) in [(&[][..], false), (&["--keep"], true)] {
        start(keep);
        assert_eq!(temporal(&["describe"]).status.success(), known, "{keep:?}");
        assert!(data("kept").join("prometheus").is_dir(), "Prometheus' data was not kept");
        room.run(&["down"]);
    }
    assert!(!data("data").join("earlier").exists(), "a fresh run began with old data");
    assert!(data("kept").join("earlier").exists(), "what was kept is gone");
}
