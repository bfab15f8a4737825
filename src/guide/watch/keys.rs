//! What is pressed, and a terminal that is left as it was found.

use std::{
    io::{self, IsTerminal, Read},
    thread,
};

use rustix::{
    process::Signal,
    termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::UnboundedSender,
};

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
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
            b'l' => Some(Self::Live),
            b'h' => Some(Self::Hint),
            b'n' => Some(Self::Next),
            b'q' => Some(Self::Quit),
            _ => None,
        }
    }
}

/// A terminal that gives each key as it is pressed, and shows none. Dropping it puts the terminal back
/// as it was, however the watch ends: a signal, too.
///
/// Only these two modes change. Ctrl-C stays a signal, and lines end as they did, the compiler's too.
pub struct Keys {
    before: Termios,
}

impl Keys {
    /// Sends what is pressed. `None` where there is no terminal to press it at.
    pub fn listen(pressed: UnboundedSender<Key>) -> Option<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &modes).ok()?;
        // A shell sets its own modes while a program is stopped, with Ctrl-Z, and not all put ours back.
        let mut goes_on = signal(SignalKind::from_raw(Signal::CONT.as_raw())).ok()?;
        tokio::spawn(async move {
            while goes_on.recv().await.is_some() {
                tcsetattr(io::stdin(), OptionalActions::Now, &modes).ok();
            }
        });
        // A thread, as a read of a terminal can't be given up. It ends with the program.
        thread::spawn(move || {
            for byte in stdin.lock().bytes().map_while(Result::ok) {
                if let Some(key) = Key::of(byte)
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
        tcsetattr(io::stdin(), OptionalActions::Now, &self.before).ok();
    }
}
