//! Real servers, workers and starters for the end-to-end tests. Whatever a test starts is killed
//! when it goes out of scope; ports are free ones; states are waited for, never slept for.

// Each test program uses a part of this; and a test that can't go on fails where it is.
#![allow(dead_code, clippy::unwrap_used)]

pub mod room;
pub mod terminal;

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use stack::settings::Settings;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use workshop::{
    compare::{DevServer, TemporalCli},
    exercise::without_cargos_variables,
};

/// Far longer than anything here takes; a state that has not come by then will not come.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `state` is there.
pub fn wait_for<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = state() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A dev server of a test's own, and a folder for its files.
pub struct Stage {
    pub runtime: Runtime,
    pub folder: TempDir,
    server: Option<DevServer>,
}

impl Stage {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("server.log");
        let server = runtime.block_on(DevServer::start(temporal_cli(), &log)).unwrap();
        Self { runtime, folder, server: Some(server) }
    }

    pub fn address(&self) -> String {
        self.server.as_ref().unwrap().address().to_owned()
    }

    /// A worker with the reference codec of that step.
    pub fn worker(&self, name: &str, solution: u8, flags: &[&str]) -> Worker {
        self.worker_with(name, solution, flags, &[])
    }

    pub fn worker_with(
        &self,
        name: &str,
        solution: u8,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Worker {
        let mut command = program(env!("CARGO_BIN_EXE_workshop"));
        command
            .args(["worker", "--solution", &solution.to_string()])
            .args(["--address", &self.address(), "--metrics-address", "127.0.0.1:0"])
            .args(flags)
            .envs(variables.iter().copied());
        Worker::start(command, self.folder.path(), name)
    }

    /// The starter, ready to be run.
    pub fn starter(&self, flags: &[&str]) -> Command {
        let mut command = program(env!("CARGO_BIN_EXE_starter"));
        command
            .args(["--address", &self.address(), "--metrics-address", "127.0.0.1:0"])
            .args(flags);
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Its child must be reaped inside the runtime that started it.
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop()).ok();
        }
    }
}

/// The CLI of PATH or `.workshop/`, or installed there: once for all tests of a program.
pub fn temporal_cli() -> &'static TemporalCli {
    static CLI: OnceLock<TemporalCli> = OnceLock::new();
    CLI.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(".workshop");
        // Test programs run one after another, so nobody installs it at the same time.
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(TemporalCli::find_or_install(&folder))
            .unwrap()
    })
}

/// A program of ours, without the settings of whoever runs the tests.
pub fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = ["TEMPORAL_", "CODEC_", "STACK_"].iter().any(|prefix| name.starts_with(prefix));
        if ours || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    command.env("TEMPORAL_CONFIG_FILE", "/dev/null").stdin(Stdio::null());
    command
}

/// A command as somebody types it, at the root unless told otherwise.
pub fn typed(command: &str) -> Command {
    let mut shell = program("sh");
    shell.args(["-c", command]).current_dir(env!("CARGO_MANIFEST_DIR"));
    without_cargos_variables(&mut shell);
    shell
}

/// A free port for each port of the stack, by the variable that moves it.
pub fn free_ports() -> Vec<(&'static str, u16)> {
    let settings = Settings::from_env().unwrap();
    let names = settings.variables().map(|(name, _)| name).filter(|name| name.ends_with("_PORT"));
    // All are held until all are chosen, so that no two are the same.
    let held: Vec<_> =
        names.map(|name| (name, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
    held.iter().map(|(name, held)| (*name, held.local_addr().unwrap().port())).collect()
}

/// A child process that is killed when dropped.
pub struct Process(Option<Child>);

impl Process {
    pub fn new(child: Child) -> Self {
        Self(Some(child))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    pub fn pid(&self) -> Pid {
        pid(self.0.as_ref().unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait_for("a process to end", || self.child().try_wait().unwrap())
    }

    /// Waits for its end, and returns what it wrote into its pipes.
    pub fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed()).unwrap()
}

/// A worker whose log and first line are in files.
pub struct Worker {
    pub process: Process,
    log: PathBuf,
    stdout: PathBuf,
}

impl Worker {
    pub fn start(mut command: Command, folder: &Path, name: &str) -> Self {
        let log = folder.join(format!("{name}.log"));
        let stdout = folder.join(format!("{name}.out"));
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&log).unwrap());
        Self { process: Process::new(command.spawn().unwrap()), log, stdout }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What it wrote to stdout.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap()
    }

    /// Where it serves its metrics.
    pub fn address(&self) -> SocketAddr {
        let url = wait_for("the worker's first line", || {
            let text = fs::read_to_string(&self.stdout).unwrap();
            Some(text.lines().next()?.strip_prefix("metrics on http://")?.to_owned())
        });
        url.strip_suffix("/metrics").unwrap().parse().unwrap()
    }

    /// The page of its metrics.
    pub fn metrics(&self) -> String {
        let address = self.address();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scraper = workshop::telemetry::Scraper::default();
        runtime.block_on(scraper.scrape(address)).unwrap_or_default()
    }

    /// The sum of a metric over its labels. `name` may end with one label, as `{probe="worker"}`.
    pub fn metric(&self, name: &str) -> f64 {
        let (name, label) = name.split_once('{').unwrap_or((name, ""));
        let label = label.trim_end_matches('}');
        let page = self.metrics();
        let lines = page.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
        });
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    pub fn wait_for_metric(&self, name: &str, at_least: f64) {
        wait_for(&format!("{name} >= {at_least}"), || {
            (self.metric(name) >= at_least).then_some(())
        });
    }
}

/// A process in a process group of its own, with all that it starts.
pub struct Group(Process);

impl Group {
    pub fn start(mut command: Command) -> Self {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self(Process::new(command.spawn().unwrap()))
    }

    pub fn pid(&self) -> Pid {
        self.0.pid()
    }

    /// As from the keyboard: the whole group hears it.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(self.0.pid(), signal).unwrap();
    }

    /// Waits for the process, and then until nothing that it started is left.
    pub fn wait_until_gone(&mut self) -> ExitStatus {
        let status = self.0.wait();
        wait_for("all that was started to be gone", || {
            test_kill_process_group(self.0.pid()).is_err().then_some(())
        });
        status
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        kill_process_group(self.0.pid(), Signal::KILL).ok();
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}:\n{}\n{}", stdout(output), stderr(output));
    })
}
