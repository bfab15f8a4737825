//! The signals that ask a program to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// SIGINT, which Ctrl-C sends.
pub const KEYBOARD: &str = "interrupted";

/// Waits for SIGINT, SIGTERM or SIGHUP, and says which it was.
///
/// # Errors
/// When no signal handler can be installed; then a signal simply ends this program.
pub async fn next() -> io::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => KEYBOARD,
        _ = terminate.recv() => "terminated (SIGTERM)",
        _ = hangup.recv() => "the terminal is gone (SIGHUP)",
    })
}
