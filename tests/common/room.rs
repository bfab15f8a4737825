//! A copy of the workshop, in which a test may break what it likes: an attendee's own files are never
//! touched.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use rustix::process::Pid;
use solutions::Step;

use workshop::exercise::without_cargos_variables;

use super::{program, stderr, wait_for};

/// What is copied.
const ORIGINAL: &str = env!("CARGO_MANIFEST_DIR");
/// The version of the copy's packages.
pub const VERSION: &str = "0.0.0-room";

/// The copy. The same folder each time, and written only where it differs: what did not change is not
/// built again.
pub struct Room {
    pub root: PathBuf,
}

impl Room {
    /// The copy, with the start of each exercise in place; one test at a time.
    pub fn enter() -> MutexGuard<'static, Self> {
        static ROOM: LazyLock<Mutex<Room>> = LazyLock::new(|| Mutex::new(Room::copy()));
        // What a test that failed has left behind is put right.
        let room = ROOM.lock().unwrap_or_else(PoisonError::into_inner);
        for step in Step::EXERCISES {
            room.writes(step, start(step));
        }
        room
    }

    fn copy() -> Self {
        let room = Self { root: copied("room", VERSION) };
        for step in Step::EXERCISES {
            room.writes(step, start(step));
        }
        // What is not built yet takes its time, whatever that is.
        let mut build = room.program(env!("CARGO"));
        build.args(["build", "--package", "exercises", "--bin", "worker"]);
        build.args(["--features", "exercise-1"]);
        let built = build.output().unwrap();
        assert!(built.status.success(), "{}", stderr(&built));
        room
    }

    /// The exercise's codec.rs.
    pub fn codec(&self, step: Step) -> PathBuf {
        self.root.join("exercises").join(step.folder()).join("codec.rs")
    }

    /// The attendee writes this into the exercise's codec.rs, whatever was there.
    pub fn writes(&self, step: Step, codec: impl AsRef<[u8]>) {
        let path = self.codec(step);
        if !fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
            self.removes(step);
        }
        write(&path, codec.as_ref());
    }

    /// The exercise's codec.rs is gone, whatever it was.
    pub fn removes(&self, step: Step) {
        let path = self.codec(step);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir(path).unwrap(),
            Ok(_) => fs::remove_file(path).unwrap(),
            Err(_) => {}
        }
    }

    /// A program that runs here, and has cargo build here.
    pub fn program(&self, path: &str) -> Command {
        let mut command = program(path);
        without_cargos_variables(&mut command);
        command.current_dir(&self.root);
        builds_in(&mut command, &self.root);
        command
    }

    /// What `workshop` says here, asked for a verdict. A machine that is too busy to judge is so for a
    /// while: then it is asked again.
    pub fn judged(&self, words: &[&str]) -> Output {
        wait_for("a verdict", || {
            let mut command = self.program(env!("CARGO_BIN_EXE_workshop"));
            let output = command.args(words).output().unwrap();
            (!stderr(&output).contains("too busy to judge")).then_some(output)
        })
    }

    /// The processes whose program is one of the copy's, or which were started in its folder. None where
    /// the system does not tell (it does on Linux).
    pub fn processes(&self) -> Vec<(Pid, PathBuf)> {
        let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
        let here = |entry: fs::DirEntry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let link = |name| fs::read_link(entry.path().join(name)).ok();
            let (program, folder) = (link("exe")?, link("cwd")?);
            let ours = [&program, &folder].iter().any(|path| path.starts_with(&self.root));
            ours.then_some((pid, program))
        };
        all.flatten().filter_map(here).collect()
    }

    /// Whether a worker of this copy runs.
    pub fn has_workers(&self) -> bool {
        let workers = self.root.join(".workshop/workers");
        self.processes().iter().any(|(_, program)| program.starts_with(&workers))
    }
}

/// A copy of the workshop in a folder of that name, the same each time. Its packages have that version.
pub fn copied(name: &str, version: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let original = Path::new(ORIGINAL);
    copy(original, &root);
    // In `builds_in`, one folder is for what cargo builds of all. It tells packages by name, version
    // and place in their workspace, and would take the worker of one for that of the other.
    let manifest = fs::read_to_string(original.join("Cargo.toml")).unwrap();
    let manifest = manifest.lines().map(|line| match line.starts_with("version = ") {
        true => format!("version = \"{version}\"\n"),
        false => format!("{line}\n"),
    });
    write(&root.join("Cargo.toml"), manifest.collect::<String>().as_bytes());
    // Where a bundle was installed, cargo's settings name its crates from the folder they are in.
    let (bundled, here) = (original.join(".workshop/crates"), root.join(".workshop/crates"));
    if bundled.exists() && !here.exists() {
        fs::create_dir_all(root.join(".workshop")).unwrap();
        std::os::unix::fs::symlink(bundled, here).unwrap();
    }
    root
}

/// Has cargo build the copy beside the workshop.
pub fn builds_in(command: &mut Command, copy: &Path) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    command
        // The SDK is not built once more; and no worker of this copy takes the other one's place.
        .env("CARGO_BUILD_BUILD_DIR", target)
        .env("CARGO_TARGET_DIR", copy.join("target"));
}

/// The reference codec.
pub fn solution(step: Step) -> String {
    let folder = Path::new(ORIGINAL).join("solutions").join(step.folder());
    fs::read_to_string(folder.join("codec.rs")).unwrap()
}

/// What its exercise starts with.
pub fn start(step: Step) -> String {
    solution(step.start())
}

/// Only if it is not there: cargo goes by the time of a file. What is there instead, and is no file, a test
/// that failed has left.
fn write(path: &Path, content: &[u8]) {
    let found = fs::symlink_metadata(path);
    let is_file = found.as_ref().is_ok_and(|found| found.is_file());
    if is_file && fs::read(path).is_ok_and(|there| there == content) {
        return;
    }
    match found {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(found) if !found.is_file() => fs::remove_file(path).unwrap(),
        _ => {}
    }
    fs::write(path, content).unwrap();
}

/// What a clone of the workshop holds: nothing hidden but cargo's settings, and nothing built. What is
/// in the copy only is removed, but for what was built there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let held = |name: &std::ffi::OsStr| {
        let hidden = name.as_encoded_bytes().starts_with(b".") && name != ".cargo";
        !hidden && name != "target"
    };
    let entries = |folder| fs::read_dir(folder).unwrap().map(Result::unwrap);
    for entry in entries(to).filter(|entry| held(&entry.file_name())) {
        if !from.join(entry.file_name()).exists() {
            let path = entry.path();
            if entry.file_type().unwrap().is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
    for entry in entries(from).filter(|entry| held(&entry.file_name())) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&from, &to);
        } else if kind.is_file() && from != Path::new(ORIGINAL).join("Cargo.toml") {
            write(&to, &fs::read(&from).unwrap());
        }
    }
}
