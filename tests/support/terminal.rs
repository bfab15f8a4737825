//! A terminal on which a program of ours runs, and what it shows.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Command, ExitStatus},
    sync::{Arc, Mutex},
    thread,
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use super::{Group, wait_for};

/// What a program has written so far, and how far a test has read.
pub struct Screen {
    written: Arc<Mutex<String>>,
    read: usize,
}

impl Screen {
    pub fn of(mut source: impl Read + Send + 'static) -> Self {
        let written = Arc::new(Mutex::new(String::new()));
        let writes = Arc::clone(&written);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Reading a terminal that no process writes to any more fails.
            while let Ok(count @ 1..) = source.read(&mut bytes) {
                writes.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { written, read: 0 }
    }

    /// Waits until `text` appears, after what was waited for before; returns what is between.
    pub fn expect(&mut self, text: &str) -> String {
        let written = Arc::clone(&self.written);
        let read = self.read;
        let at = wait_for(&format!("{text:?}, after:\n{}", self.rest()), || {
            written.lock().unwrap()[read..].find(text)
        });
        let between = self.written.lock().unwrap()[read..read + at].to_owned();
        self.read += at + text.len();
        between
    }

    pub fn rest(&self) -> String {
        self.written.lock().unwrap()[self.read..].to_owned()
    }
}

/// A program on a terminal of 80 columns.
pub struct Terminal {
    keyboard: File,
    pub screen: Screen,
    pub program: Group,
}

impl Terminal {
    pub fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open =
            || rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        command.stdin(open()).stdout(open()).stderr(open());
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        let program = Group::start(&mut command);
        let keyboard = File::from(master);
        let screen = Screen::of(keyboard.try_clone().unwrap());
        Self { keyboard, screen, program }
    }

    pub fn press(&mut self, key: &str) {
        self.keyboard.write_all(key.as_bytes()).unwrap();
    }

    /// Whether it shows what is typed, and gives it a line at a time: as a shell expects it.
    pub fn is_as_it_was(&self) -> bool {
        let modes = tcgetattr(&self.keyboard).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    pub fn end(&mut self) -> ExitStatus {
        self.program.wait_until_gone()
    }
}
