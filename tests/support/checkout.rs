//! Copies of the repository, in which a test may break what it likes: an attendee's own files are never
//! touched.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rustix::process::Pid;
use solutions::Step;

use super::{ROOT, WORKSHOP, program, stderr, wait_for};

/// How many tests may have a copy at a time. Each takes room on the disk, and its packages are built once.
const COPIES: usize = 5;

/// A copy. The same folders each time, and written only where they differ: what did not change is not built
/// again.
pub struct Checkout {
    pub root: PathBuf,
    number: usize,
    /// Held for as long as a test has this copy, also from tests in other processes.
    _lock: File,
}

impl Checkout {
    /// One that no other test has, with the start of each exercise in place.
    pub fn take() -> Self {
        // The first one last: some tests can only have that.
        Self::when_free(|| (0..COPIES).rev().find_map(Self::try_take))
    }

    /// Always the same one: for what takes long to build.
    pub fn take_first() -> Self {
        Self::when_free(|| Self::try_take(0))
    }

    /// Does all this, in as many copies at a time as there are: most of it waits.
    pub fn side_by_side<T: Sync>(all: &[T], one: impl Fn(&Self, &T) + Sync) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..COPIES {
                scope.spawn(|| {
                    let checkout = Self::take();
                    while let Some(case) = all.get(next.fetch_add(1, Relaxed)) {
                        one(&checkout, case);
                    }
                });
            }
        });
    }

    /// The other tests have them for as long as they need.
    fn when_free(take: impl Fn() -> Option<Self>) -> Self {
        loop {
            match take() {
                Some(checkout) => return checkout,
                None => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn try_take(number: usize) -> Option<Self> {
        let copies = copies();
        fs::create_dir_all(&copies).unwrap();
        let lock = File::create(copies.join(format!("copy-{number}.lock"))).unwrap();
        lock.try_lock().ok()?;
        let root = copied(&format!("copy-{number}"), &version(number));
        let checkout = Self { root, number, _lock: lock };
        // What a test that failed has left behind is put right.
        for step in Step::EXERCISES {
            checkout.writes(step, start(step));
        }
        // Once: what is built of a codec, the test's own commands build.
        static BUILT: [Once; COPIES] = [const { Once::new() }; COPIES];
        BUILT[number].call_once(|| checkout.builds());
        Some(checkout)
    }

    /// All exercises are built. What is not built yet takes its time, whatever that is.
    fn builds(&self) {
        let mut build = self.program(env!("CARGO"));
        build.args(["build", "--features", "exercises"]);
        for step in Step::EXERCISES {
            build.args(["--bin", &format!("exercise-{}", step.number())]);
        }
        let built = build.output().unwrap();
        assert!(built.status.success(), "{}", stderr(&built));
    }

    /// The version of its packages.
    pub fn version(&self) -> String {
        version(self.number)
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
        command.current_dir(&self.root);
        builds_in(&mut command, &self.root);
        command
    }

    /// The output of `workshop` here, asked for a verdict. A busy machine stays busy for a while, so it is
    /// asked again.
    pub fn judged(&self, words: &[&str]) -> Output {
        wait_for("a verdict", || {
            let mut command = self.program(WORKSHOP);
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
        let built = self.root.join("target/debug/exercise-");
        let built = built.to_str().unwrap();
        self.processes().iter().any(|(_, program)| program.to_string_lossy().starts_with(built))
    }
}

/// The version of the packages of a copy, which tells them from another one's.
fn version(number: usize) -> String {
    format!("0.0.0-copy-{number}")
}

/// Where the copies are. Not in the target folder: cargo notes what lies there by its place in there. It would then
/// look at the copy's files, not at the originals, to see whether what was built from both is fresh.
fn copies() -> PathBuf {
    Path::new(ROOT).join(".workshop/copies")
}

/// A copy of the workshop in a folder of that name, the same each time. Its root package has that version.
pub fn copied(name: &str, version: &str) -> PathBuf {
    let original = Path::new(ROOT);
    let root = copies().join(name);
    copy(original, &root, false);
    // In `builds_in`, one folder is for what cargo builds of all. It tells packages by name, version
    // and place in their workspace, and would take the worker of one for that of the other. The other
    // packages are the same in all copies, and built once.
    let manifest = fs::read_to_string(original.join("Cargo.toml")).unwrap();
    let own = manifest.replacen(
        "\nversion.workspace = true\n",
        &format!("\nversion = \"{version}\"\n"),
        1,
    );
    assert_ne!(own, manifest, "the root package's version is not where it was");
    write(&root.join("Cargo.toml"), own.as_bytes());
    // Where a bundle was installed, cargo's settings name its crates from the folder they are in.
    let (bundled, here) = (original.join(".workshop/vendor"), root.join(".workshop/vendor"));
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
    let folder = Path::new(ROOT).join("solutions").join(step.folder());
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
/// in the copy only is removed, but for what was built there. The files of a package get the `times` of the
/// originals: what was built from those is then not built again. The exercises' must not: a codec that comes
/// back would look older than what was built from another one.
fn copy(from: &Path, to: &Path, times: bool) {
    fs::create_dir_all(to).unwrap();
    let held = |name: &std::ffi::OsStr| {
        let hidden = name.as_encoded_bytes().starts_with(b".") && name != ".cargo";
        !hidden && name != "target" && name != "node_modules"
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
            let times = times || from.join("Cargo.toml").is_file();
            copy(&from, &to, times);
        } else if kind.is_file() && from != Path::new(ROOT).join("Cargo.toml") {
            write(&to, &fs::read(&from).unwrap());
            if times {
                let original = fs::metadata(&from).unwrap().modified().unwrap();
                File::options().append(true).open(&to).unwrap().set_modified(original).unwrap();
            }
        }
    }
}
