//! Runs process-compose, and queries it.

use std::{
    env,
    fs::{self, File},
    io::{self, IsTerminal},
    os::unix::{
        fs::symlink,
        net::{SocketAddr, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anstream::adapter::strip_str;
use anyhow::{Context, bail};
use cli_kit::exit::Failure;
use serde::Deserialize;

use crate::{checkout::Checkout, programs, services::Service};

/// What is run, from the workshop's folder.
const FILE: &str = "stack/process-compose.yaml";
/// The variable that names the folder of its own settings, such as colours.
const ITS_SETTINGS: &str = "PROC_COMP_CONFIG";
/// Environment variables with these prefixes would change what is run. `PC_*` configure process-compose: what
/// it reads, and where it answers. `GF_*` override `grafana.ini`: with variables meant for another Grafana,
/// ours would get that one's port, database or login.
const FOREIGN: [&str; 2] = ["PC_", "GF_"];
/// The variable that names another shell than bash for commands.
const ITS_SHELL: &str = "COMPOSE_SHELL";
const SERVER: &str = "server";
const CLIENT: &str = "client";

/// What process-compose says of a process.
#[derive(Clone, Debug, Deserialize)]
pub struct ProcessState {
    /// Its name.
    pub name: String,
    /// Such as Running, Completed, Disabled.
    pub status: String,
    /// How often it was started again.
    pub restarts: u32,
    /// Its process id; 0 if it does not run.
    pub pid: u32,
}

/// The program, ready to be run.
pub struct ProcessCompose<'a> {
    program: PathBuf,
    checkout: &'a Checkout,
}

impl<'a> ProcessCompose<'a> {
    /// The program at that path.
    pub fn new(program: PathBuf, checkout: &'a Checkout) -> Self {
        Self { program, checkout }
    }

    /// The program on `PATH`.
    ///
    /// # Errors
    /// When it is missing or too old.
    pub fn find(checkout: &'a Checkout) -> Result<Self, Failure> {
        let found =
            programs::PROCESS_COMPOSE.find(checkout.root()).map_err(Failure::environment)?;
        Ok(Self::new(found.path, checkout))
    }

    /// Whether one answers already at this folder's socket.
    pub fn answers(checkout: &Checkout) -> bool {
        let socket = checkout.socket();
        match SocketAddr::from_pathname(&socket) {
            Ok(address) => UnixStream::connect_addr(&address).is_ok(),
            // The address of a socket has room for some 100 bytes.
            Err(_) => connect_by_link(&socket).is_ok(),
        }
    }

    /// The service whose crash stopped the stack, and its exit code; `None` if the stack was told to stop.
    /// This is read from process-compose's log, because nothing else is left once it has exited: its API,
    /// which knows each service's exit code, is gone, and its own exit code is that of the service it stopped
    /// last. A detached stack has no other process that could have asked the API in time.
    pub fn died(checkout: &Checkout) -> Option<(String, i32)> {
        let log = fs::read_to_string(log(checkout, SERVER)).unwrap_or_default();
        let (name, code) = first_end(&strip_str(&log).to_string())?;
        (code != 0).then_some((name, code))
    }

    /// Starts the services in this process's terminal, or without a terminal.
    ///
    /// # Errors
    /// When the program can't be run.
    pub fn up(&self, services: &[Service]) -> anyhow::Result<Child> {
        let mut command = self.command(SERVER);
        command.arg("up").args(services.iter().map(|service| service.name()));
        command.args(["--config", FILE, "--disable-dotenv"]);
        if !has_terminal() {
            // In its own process group, so that a Ctrl-C reaches it once, from us, and not twice.
            command.arg("--tui=false").process_group(0);
            // The services write to their own logs; this is process-compose's own output.
            let output = File::create(self.checkout.log("output"))?;
            command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        }
        command.spawn().context("process-compose can't be run")
    }

    /// Starts the services in the background.
    ///
    /// # Errors
    /// When process-compose does not start.
    pub fn up_detached(&self, services: &[Service]) -> anyhow::Result<()> {
        let mut command = self.command(SERVER);
        command.arg("up").args(services.iter().map(|service| service.name()));
        command.args(["--config", FILE, "--disable-dotenv", "--detached", "--tui=false"]);
        // A Ctrl-C is for us: we see to it that nothing is left running.
        command.process_group(0);
        self.done(command).map(drop)
    }

    /// Stops the stack, and waits until it has stopped.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn down(&self) -> anyhow::Result<()> {
        let mut command = self.command(CLIENT);
        command.arg("down");
        self.done(command).map(drop)
    }

    /// How its processes are.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn processes(&self) -> anyhow::Result<Vec<ProcessState>> {
        let mut command = self.command(CLIENT);
        command.args(["process", "list", "--output", "json"]);
        let output = self.done(command)?;
        serde_json::from_str(&output).context("process-compose's list of processes can't be read")
    }

    fn command(&self, role: &str) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in env::vars_os().filter(|(name, _)| is_foreign(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        // The commands of the file are written for its default shell.
        command.env_remove(ITS_SHELL);
        command.current_dir(self.checkout.root()).envs(self.checkout.variables());
        command.env("PATH", programs::search_path(self.checkout.root()));
        // With a terminal it would create a settings folder in the user's home.
        if env::var_os(ITS_SETTINGS).is_none() {
            command.env(ITS_SETTINGS, self.checkout.folder());
        }
        // The server and the client would overwrite each other's log.
        let log = log(self.checkout, role);
        // Seen from the folder that it runs in, any socket's path is short enough.
        let socket = self.checkout.socket();
        let socket = socket.strip_prefix(self.checkout.root()).unwrap_or(&socket);
        command.arg("--unix-socket").arg(socket).arg("--log-file").arg(log);
        command
    }

    fn done(&self, mut command: Command) -> anyhow::Result<String> {
        let output =
            command.stdin(Stdio::null()).output().context("process-compose can't be run")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            // The last line is the reason; those before it list its settings.
            bail!("process-compose: {}", words.lines().last().unwrap_or("no reason given"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Whether a variable of the user's shell is hidden from the stack.
fn is_foreign(name: &str) -> bool {
    FOREIGN.iter().any(|prefix| name.starts_with(prefix))
}

/// The service that exited first and was not restarted, from process-compose's log: the others were stopped
/// because of it. An exit is a line such as `… INF Exited exit_code=-1 process=prometheus`; a new start
/// follows as `… INF Restarting prometheus in 1 second(s)... Restarts: 1`.
fn first_end(log: &str) -> Option<(String, i32)> {
    let mut lines = log.lines();
    while let Some(line) = lines.next() {
        let Some((_, end)) = line.split_once("INF Exited exit_code=") else { continue };
        let (code, name) = end.trim_end().split_once(" process=")?;
        let again = format!("INF Restarting {name} in ");
        if !lines.clone().any(|line| line.contains(&again)) {
            return Some((name.to_owned(), code.parse().ok()?));
        }
    }
    None
}

/// Connects to a socket whose path is too long for an address, by a link to its folder.
fn connect_by_link(socket: &Path) -> io::Result<UnixStream> {
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let links = tempfile::tempdir()?;
    let link = links.path().join("stack");
    symlink(folder, &link)?;
    UnixStream::connect(link.join(name))
}

/// The log of process-compose itself, as the one that runs the services or as one that asks it.
fn log(checkout: &Checkout, role: &str) -> PathBuf {
    checkout.log(&format!("process-compose.{role}"))
}

/// Whether there is a terminal for process-compose's own display of the services.
pub fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIED: &str = "\
26-11-24 06:12:40.627 INF Exited exit_code=-1 process=prometheus
26-11-24 06:12:40.627 INF Restarting prometheus in 1 second(s)... Restarts: 1
26-11-24 06:12:46.976 INF Exited exit_code=-1 process=prometheus
26-11-24 06:12:48.020 INF Exited exit_code=0 process=temporal
";

    #[test]
    fn the_service_that_ended_the_stack_is_the_first_that_was_not_started_again() {
        assert_eq!(first_end(DIED), Some(("prometheus".to_owned(), -1)));
        let (_, told) = DIED.rsplit_once("26-11-24 06:12:46").unwrap();
        let (_, told) = told.split_once('\n').unwrap();
        assert_eq!(first_end(told), Some(("temporal".to_owned(), 0)));
        assert_eq!(first_end("26-11-24 06:12:38 INF Scheduler started"), None);
    }
}
