//! Work that a signal ends.

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::exit::{Exit, Failure};

/// Does the work on a runtime of its own, and gives it up at a signal: dropping it kills what it
/// started. `lost` says what that means.
///
/// # Errors
/// Those of the work, or that it was interrupted.
pub fn until_interrupted(
    work: impl Future<Output = anyhow::Result<Exit>>,
    lost: &str,
) -> anyhow::Result<Exit> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            signal = interrupted() => Err(Failure::interrupted(format!("{}; {lost}", signal?)).into()),
        }
    });
    runtime.shutdown_background();
    result
}

/// Waits for SIGINT, SIGTERM or SIGHUP, and says which it was.
async fn interrupted() -> anyhow::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "interrupted",
        _ = terminate.recv() => "terminated (SIGTERM)",
        _ = hangup.recv() => "the terminal is gone (SIGHUP)",
    })
}
