//! process-compose, as a program that is run and asked.

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
/// Variables of the user's shell that start with these would change what is run. `PC_*` are
/// process-compose's own: what it reads, and where it answers. `GF_*` win over `grafana.ini`: with those
/// for another Grafana, ours would have its port, its database or its login.
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

    /// The service whose death ended the stack, and its exit code; `None` if the stack was told to
    /// end. This is read from process-compose's log, because nothing else is left after its end: its
    /// API, which knows each service's exit code, is gone with it, and its own exit code is that of
    /// the service which it stopped last. A detached stack has no other process that could have asked
    /// the API before.
    pub fn died(checkout: &Checkout) -> Option<(String, i32)> {
        let log = fs::read_to_string(log(checkout, SERVER)).unwrap_or_default();
        let (name, code) = first_end(&strip_str(&log).to_string())?;
        (code != 0).then_some((name, code))
    }

    /// Starts the services in this process' terminal, or without any.
    ///
    /// # Errors
    /// When the program can't be run.
    pub fn up(&self, services: &[Service]) -> anyhow::Result<Child> {
        let mut command = self.command(SERVER);
        command.arg("up").args(services.iter().map(|service| service.name()));
        command.args(["--config", FILE, "--disable-dotenv"]);
        if !has_terminal() {
            // In a group of its own: a Ctrl-C that reaches us is passed on once, not twice.
            command.arg("--tui=false").process_group(0);
            // What the services say is in their logs; this is what process-compose says itself.
            let output = File::create(self.checkout.log("output"))?;
            command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        }
        command.spawn().context("process-compose can't be run")
    }

    /// Starts the services, and leaves them to themselves.
    ///
    /// # Errors
    /// When process-compose does not start.
    pub fn up_detached(&self, services: &[Service]) -> anyhow::Result<()> {
        let mut command = self.command(SERVER);
        command.arg("up").args(services.iter().map(|service| service.name()));
        command.args(["--config", FILE, "--disable-dotenv", "--detached", "--tui=false"]);
        self.done(command).map(drop)
    }

    /// Ends the stack, and waits for its end.
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
        // With a terminal it would make a folder for settings in the user's home.
        if env::var_os(ITS_SETTINGS).is_none() {
            command.env(ITS_SETTINGS, self.checkout.folder());
        }
        // Server and client would write over each other's log.
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
            // Its last line is the reason; those before it tell of its settings.
            bail!("process-compose: {}", words.lines().last().unwrap_or("no reason given"));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Whether a variable of the user's shell is kept from the stack.
fn is_foreign(name: &str) -> bool {
    FOREIGN.iter().any(|prefix| name.starts_with(prefix))
}

/// The service that ended first and was not started again, in process-compose's log: the others were
/// stopped because of it. An end is a line such as `… INF Exited exit_code=-1 process=prometheus`; a
/// new start follows as `… INF Restarting prometheus in 1 second(s)... Restarts: 1`.
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

/// Whether there is a terminal for process-compose's own picture of the services.
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
