//! Whether a port is taken, and by which process.
//!
//! A service that finds its port taken can look healthy because another one answers there. So the ports are
//! checked before anything starts.

use std::{
    fmt,
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use cli_kit::settings::Settings;
use listeners::{Protocol, SocketState};

use crate::programs::Unfit;

/// Longer than an answer on this machine takes.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// Why a port is not available.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A process listens there; which one, if the system tells.
    By(Option<Holder>),
    /// The system does not permit it, usually because the port is below 1024.
    Refused(String),
}

/// A process that listens at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its program.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::By(Some(Holder { name, pid })) => write!(f, "is taken by {name} (process {pid})"),
            Self::By(None) => {
                write!(f, "is taken, and this system does not report by which process")
            }
            Self::Refused(reason) => write!(f, "can't be used ({reason})"),
        }
    }
}

/// Why the port of that setting can't be used; `None` if it is free.
pub fn unfit(variable: &str, settings: &Settings) -> Option<Unfit> {
    let port = settings.port(variable);
    let taken = taken(settings.address(variable))?;
    let another = port.checked_add(10_000).unwrap_or_else(|| port - 10_000);
    Some(Unfit {
        seen: format!("port {port} {taken}"),
        what_to_do: format!("stop that process, or pick another port: {variable}={another}"),
    })
}

/// `None` if the port is free.
pub fn taken(address: SocketAddr) -> Option<Taken> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => Some(Taken::By(holder(address))),
        Err(error) => Some(Taken::Refused(error.to_string())),
        // Some systems let one process listen at 127.0.0.1 while another listens at all addresses.
        Ok(listener) => {
            drop(listener);
            TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).ok()?;
            Some(Taken::By(holder(address)))
        }
    }
}

/// The process that listens there, if it may be seen: not every user may see other users' processes.
fn holder(address: SocketAddr) -> Option<Holder> {
    let listener = listeners::get_all().ok()?.into_iter().find(|listener| {
        listener.protocol == Protocol::TCP
            && listener.state == SocketState::Listen
            && listener.socket.port() == address.port()
    })?;
    Some(Holder { name: listener.process.name, pid: listener.process.pid })
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Instant};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn who_listens_is_told() {
        for all_addresses in [false, true] {
            let ip = if all_addresses { [0, 0, 0, 0] } else { [127, 0, 0, 1] };
            let listener = TcpListener::bind((std::net::Ipv4Addr::from(ip), 0)).unwrap();
            let address = ([127, 0, 0, 1], listener.local_addr().unwrap().port()).into();
            // A program that another test is starting still has all open files until it runs.
            let wait_for = |what, is_so: fn(Option<Taken>) -> bool| {
                let began = Instant::now();
                while !is_so(taken(address)) {
                    assert!(began.elapsed() < PATIENCE, "{what}: {:?}", taken(address));
                    thread::sleep(Duration::from_millis(5));
                }
            };
            wait_for(
                "this process",
                |taken| matches!(taken, Some(Taken::By(Some(by))) if by.pid == std::process::id()),
            );
            drop(listener);
            wait_for("nothing", |taken| taken.is_none());
        }
    }
}
