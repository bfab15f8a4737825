//! What the tests share: real servers, workers and starters; programs on a terminal; copies of the
//! repository. What a test starts is killed when it goes out of scope. Ports are free ones. States are
//! waited for, never slept for.

// Each test program uses a part of this; and a test that can't go on fails where it is.
#![allow(dead_code, clippy::unwrap_used)]

pub mod checkout;
pub mod terminal;
mod waiting;

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use cli_kit::{
    cargo::without_cargos_variables,
    settings::{self, Settings},
};
use codec_kit::AnyCodec;
use greeting::connection::{Server, ServerArgs};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, test_kill_process_group,
    waitid,
};
use stack::{
    programs,
    services::{Asker, Service},
};
use tempfile::TempDir;
use temporalio_client::Client;
use tokio::runtime::Runtime;

// Each test program uses a part of these.
#[allow(unused_imports)]
pub use waiting::{PATIENCE, free_port, free_ports, script, wait_for};

/// The program `cargo workshop` runs.
pub const WORKSHOP: &str = env!("CARGO_BIN_EXE_workshop");
/// The program that puts a load on a worker.
pub const STARTER: &str = env!("CARGO_BIN_EXE_starter");
/// The repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A dev server of a test's own, and a folder for its files.
pub struct Stage {
    pub runtime: Runtime,
    pub folder: TempDir,
    port: u16,
    _server: Group,
}

impl Stage {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (server, settings) = server(&folder.path().join("server.log"));
        Self { runtime, folder, port: settings.port(settings::TEMPORAL_PORT), _server: server }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
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
        let mut command = program(WORKSHOP);
        command
            .args(["worker", "--solution", &solution.to_string()])
            .args(["--address", &self.address(), "--metrics-address", "127.0.0.1:0"])
            .args(flags)
            .envs(variables.iter().copied());
        Worker::start(command, self.folder.path(), name)
    }

    /// A client of the server, with that codec.
    pub fn client(&self, codec: AnyCodec) -> Client {
        let args = ServerArgs { address: Some(self.address()), ..ServerArgs::default() };
        let server = Server::local(&args).unwrap();
        self.runtime.block_on(server.connect(codec, None)).unwrap()
    }

    /// The starter, ready to be run.
    pub fn starter(&self, flags: &[&str]) -> Command {
        let mut command = program(STARTER);
        command
            .args(["--address", &self.address(), "--metrics-address", "127.0.0.1:0"])
            .args(flags);
        command
    }
}

/// Temporal's dev server at free ports, as `workshop server` starts it.
fn server(log: &Path) -> (Group, Settings) {
    temporal();
    wait_for("a Temporal server", || {
        let settings = free_ports();
        let mut command = program(WORKSHOP);
        let output = File::create(log).unwrap();
        command.arg("server").envs(settings.variables()).stdout(output.try_clone().unwrap());
        let mut server = Group::start(command.stderr(output));
        let asker = Asker::default();
        // A port may be taken by another test since it was free: then the server ends, and others are
        // tried.
        let began = Instant::now();
        while !asker.is_healthy(Service::Temporal, &settings) {
            if server.has_ended() || began.elapsed() > PATIENCE / 4 {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Some((server, settings))
    })
}

/// Sees to it that there is a Temporal CLI: the one on PATH or in `.workshop/`, or installed there as for
/// people, once for all tests of a program.
pub fn temporal() -> PathBuf {
    static CLI: OnceLock<PathBuf> = OnceLock::new();
    let found = || programs::TEMPORAL.find(Path::new(ROOT)).ok().map(|found| found.path);
    CLI.get_or_init(|| {
        found().unwrap_or_else(|| {
            let log = tempfile::NamedTempFile::new().unwrap();
            let mut command = program(WORKSHOP);
            command.arg("server").envs(free_ports().variables()).stderr(log.reopen().unwrap());
            let _server = Group::start(command.stdout(Stdio::null()));
            wait_for("a Temporal CLI to be installed", found)
        })
    })
    .clone()
}

/// A program of ours, without the settings of the user who runs the tests.
pub fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    // With them, a cargo that it runs would build half of the SDK again, and the next one without them, too.
    without_cargos_variables(&mut command);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours =
            ["TEMPORAL_", "CODEC_", "STACK_", "AWS_"].iter().any(|prefix| name.starts_with(prefix));
        if ours || name == "RUST_LOG" {
            command.env_remove(&*name);
        }
    }
    // Where a copy of the repository is the current folder, it has no CLI of its own.
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = Path::new(ROOT).join(".workshop/bin");
    let path = env::join_paths(env::split_paths(&path).chain([installed])).unwrap();
    command.env("PATH", path).env("TEMPORAL_CONFIG_FILE", "/dev/null").stdin(Stdio::null());
    command
}

/// A command as typed by a user, in the repository root by default.
pub fn typed(command: &str) -> Command {
    let mut shell = program("sh");
    shell.args(["-c", command]).current_dir(ROOT);
    shell
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

    /// Whether it has not ended yet. How it ended is still there for `wait`.
    pub fn is_running(&self) -> bool {
        let asked = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error: it has ended, and was waited for.
        matches!(waitid(WaitId::Pid(self.pid()), asked), Ok(None))
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

    /// As `wait_for`. A worker that has ended does not reach a state any more, and its log says why it has ended.
    fn wait_for<T>(&self, what: &str, mut state: impl FnMut() -> Option<T>) -> T {
        wait_for(what, || {
            let runs = self.process.is_running();
            let found = state();
            assert!(runs || found.is_some(), "{what}: the worker has ended\n{}", self.log());
            found
        })
    }

    /// Where it serves its metrics.
    pub fn address(&self) -> SocketAddr {
        let url = self.wait_for("the worker's first line", || {
            let text = fs::read_to_string(&self.stdout).unwrap();
            Some(text.lines().next()?.strip_prefix("metrics on http://")?.to_owned())
        });
        url.strip_suffix("/metrics").unwrap().parse().unwrap()
    }

    /// The page of its metrics. On a busy machine, one request may take too long.
    pub fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.address());
        self.wait_for("the worker's metrics", || Asker::default().page(&url).ok())
    }

    /// How late the worker's main task is, in seconds.
    pub fn lag(&self) -> f64 {
        self.metric("workshop_lag_current_seconds{probe=\"worker\"}")
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

    pub fn wait_for_log(&self, text: &str) {
        self.wait_for(&format!("{text} in the log"), || self.log().contains(text).then_some(()));
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
    pub fn start(command: &mut Command) -> Self {
        std::os::unix::process::CommandExt::process_group(command, 0);
        Self(Process::new(command.spawn().unwrap()))
    }

    pub fn pid(&self) -> Pid {
        self.0.pid()
    }

    /// What it writes to its piped standard output.
    pub fn stdout(&mut self) -> ChildStdout {
        self.0.child().stdout.take().unwrap()
    }

    /// What it writes to its piped standard error.
    pub fn stderr(&mut self) -> ChildStderr {
        self.0.child().stderr.take().unwrap()
    }

    /// As from the keyboard: the signal reaches the whole group.
    pub fn signal(&self, signal: Signal) {
        kill_process_group(self.0.pid(), signal).unwrap();
    }

    /// Whether the process itself has ended.
    pub fn has_ended(&mut self) -> bool {
        self.0.child().try_wait().unwrap().is_some()
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
