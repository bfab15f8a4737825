//! Find the call that blocks.

use std::io;

use codec_kit::{Observed, PayloadCodec, Watchdog};

/// Your codec, measured, and a watchdog that logs a warning while a call holds its thread for over 100 ms. Keep the
/// watchdog: dropping it stops it.
///
/// # Errors
/// When the system has no thread for the watchdog.
pub fn watched<C: PayloadCodec>(codec: C) -> io::Result<(Observed<C>, Watchdog)> {
    Ok((Observed::new(codec), Watchdog::start(Watchdog::THRESHOLD)?))
}
