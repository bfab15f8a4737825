//! Reads key presses, and restores the terminal.

use std::{
    io::{self, IsTerminal, Read},
    thread,
    time::Duration,
};

use rustix::{
    io::ioctl_fionread,
    process::{Signal, getpgrp},
    termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
    },
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::UnboundedSender,
};

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// `c`
    Check,
    /// `l`
    Live,
    /// `h`
    Hint,
    /// `n`
    Next,
    /// `q`
    Quit,
}

impl Key {
    fn of(byte: u8) -> Option<Self> {
        match byte.to_ascii_lowercase() {
            b'c' => Some(Self::Check),
            b'l' => Some(Self::Live),
            b'h' => Some(Self::Hint),
            b'n' => Some(Self::Next),
            b'q' => Some(Self::Quit),
            _ => None,
        }
    }
}

/// How often the terminal is checked for key presses.
const LOOK_INTERVAL: Duration = Duration::from_millis(30);

/// Whether this program is in the foreground, rather than started with `&`. Without job control, it always
/// is.
fn is_in_foreground() -> bool {
    tcgetpgrp(io::stdin()).map_or(true, |foreground| foreground == getpgrp())
}

/// A terminal that delivers each key as it is pressed, and does not echo it. Dropping it restores the
/// terminal, however the watch ends, even by a signal.
///
/// Only these two modes change. Ctrl-C is still a signal, and line endings stay the same, also for the
/// compiler's output.
pub struct Keys {
    before: Termios,
}

impl Keys {
    /// Sends what is pressed.
    ///
    /// # Errors
    /// Why keys can't be read: there is no terminal, or another program is in its foreground.
    pub fn listen(pressed: UnboundedSender<Key>) -> Result<Self, &'static str> {
        if !io::stdin().is_terminal() {
            return Err("Not a terminal, so keys are off. Press Ctrl-C to stop.");
        }
        // The system would stop this program if it read or changed the terminal now.
        if !is_in_foreground() {
            return Err("Running in the background, so keys are off. `fg` and Ctrl-C stop it.");
        }
        Self::of_terminal(pressed)
            .ok_or("This terminal does not report key presses. Press Ctrl-C to stop.")
    }

    fn of_terminal(pressed: UnboundedSender<Key>) -> Option<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &modes).ok()?;
        // While a program is stopped with Ctrl-Z, the shell sets its own modes, and not every shell restores
        // ours.
        let mut goes_on = signal(SignalKind::from_raw(Signal::CONT.as_raw())).ok()?;
        tokio::spawn(async move {
            while goes_on.recv().await.is_some() {
                // Not with `bg`.
                if is_in_foreground() {
                    tcsetattr(io::stdin(), OptionalActions::Now, &modes).ok();
                }
            }
        });
        // On a thread, because a read of a terminal can't be cancelled. The thread ends with the program. In
        // the background a read would stop the program, so it reads only input that is already there.
        thread::spawn(move || {
            let mut byte = [0];
            loop {
                let there = ioctl_fionread(io::stdin());
                match there.map(|there| there > 0 && is_in_foreground()) {
                    Ok(true) => {}
                    Ok(false) => {
                        thread::sleep(LOOK_INTERVAL);
                        continue;
                    }
                    Err(_) => break,
                }
                let Ok(1) = io::stdin().read(&mut byte) else { break };
                if let Some(key) = Key::of(byte[0])
                    && pressed.send(key).is_err()
                {
                    break;
                }
            }
        });
        Some(Self { before })
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if is_in_foreground() {
            tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
        }
    }
}
