//! Which exercises are solved, as recorded by `verify` and `watch`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use cli_kit::{exit::Failure, root, term::note};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use solutions::Step;

use crate::atomic_file;

/// Where it is kept, in the workshop's own folder.
const FILE: &str = "progress.json";
/// A process locks this file before it changes the other one: a file that is replaced can't be locked itself.
const LOCK: &str = "progress.lock";

/// The records, by the number of the exercise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
// Unknown fields are an error, because writing the file would lose them.
#[serde(deny_unknown_fields)]
pub struct Progress {
    solved: BTreeMap<u8, Solved>,
}

/// An exercise that was solved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solved {
    /// SHA-256 of the `codec.rs` that was judged, in hexadecimal.
    pub codec_sha256: String,
    /// When, in UTC.
    pub at: String,
}

impl Solved {
    /// Whether that is the `codec.rs` that was judged.
    pub fn is(&self, codec: &[u8]) -> bool {
        atomic_file::sha256(codec) == self.codec_sha256
    }
}

impl Progress {
    /// The recorded progress; empty if there is no file yet. A file that can't be parsed is renamed, and
    /// reported on stderr.
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        match load(root)? {
            Found::Progress(progress) => Ok(progress),
            Found::Garbage(_) => {
                // Read again under the lock: another process may have renamed it.
                let again = lock(root).and_then(|_lock| load_or_set_aside(root));
                again.or_else(|error| {
                    note(format!("{error}. Until then it is ignored"));
                    Ok(Self::default())
                })
            }
        }
    }

    /// When the exercise was solved, and with which codec.
    pub fn of(&self, step: Step) -> Option<&Solved> {
        self.solved.get(&step.number())
    }

    /// Records that the exercise is solved, now and with that codec. Two processes at once lose nothing.
    ///
    /// # Errors
    /// When it can't be written; what was noted before is as it was.
    pub fn note(root: &Path, step: Step, codec_sha256: String) -> Result<(), Failure> {
        let _lock = lock(root)?;
        let mut progress = load_or_set_aside(root)?;
        let at = now();
        progress.solved.insert(step.number(), Solved { codec_sha256, at });
        progress.write(root)
    }

    /// Forgets that these exercises are solved, so that they have to be done again.
    ///
    /// # Errors
    /// When it can't be written; what was noted before is as it was.
    pub fn forget(root: &Path, steps: &[Step]) -> Result<(), Failure> {
        let is_noted = |progress: &Self| steps.iter().any(|step| progress.of(*step).is_some());
        // If there is nothing to forget, nothing is written.
        if !is_noted(&Self::read(root)?) {
            return Ok(());
        }
        let _lock = lock(root)?;
        let mut progress = load_or_set_aside(root)?;
        progress.solved.retain(|number, _| steps.iter().all(|step| step.number() != *number));
        progress.write(root)
    }

    /// With the lock held.
    fn write(&self, root: &Path) -> Result<(), Failure> {
        serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .and_then(|json| atomic_file::replace(&path(root), &json, None))
            .map_err(|error| cant("written", &error))
    }
}

/// This moment in UTC, to the second, as in `2026-11-24T10:19:01Z`.
pub(super) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What is in the file.
enum Found {
    Progress(Progress),
    /// And why it can't be parsed.
    Garbage(serde_json::Error),
}

fn load(root: &Path) -> Result<Found, Failure> {
    match fs::read(path(root)) {
        Ok(content) => Ok(match serde_json::from_slice(&content) {
            Ok(progress) => Found::Progress(progress),
            Err(error) => Found::Garbage(error),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Found::Progress(Progress::default()))
        }
        Err(error) => Err(cant("read", &error)),
    }
}

/// With the lock held.
fn load_or_set_aside(root: &Path) -> Result<Progress, Failure> {
    let why = match load(root)? {
        Found::Progress(progress) => return Ok(progress),
        Found::Garbage(why) => why,
    };
    let file = path(root);
    // First a copy that is on the disk, then the old name is removed: the content can't be lost in between.
    let set_aside = fs::read(&file).and_then(|content| {
        let aside =
            atomic_file::create(&root.join(root::OURS), "progress-unread", "json", &content)?;
        fs::remove_file(&file)?;
        Ok(aside)
    });
    let shown = shown(FILE);
    match set_aside {
        Ok(aside) => {
            note(format!(
                "{shown} is not what `verify` writes ({why}): it is now {}, and no exercise \
                 counts as solved. `cargo workshop verify --all` records again what is solved",
                aside.strip_prefix(root).unwrap_or(&aside).display()
            ));
            Ok(Progress::default())
        }
        Err(error) => Err(Failure::environment(format!(
            "{shown} is not what `verify` writes ({why}), and can't be set aside: {error}"
        ))),
    }
}

/// Takes the lock. Another process holds it for milliseconds only.
fn lock(root: &Path) -> Result<File, Failure> {
    let ours = root.join(root::OURS);
    let waiting =
        || note(format!("waiting for another `cargo workshop`, which has locked {}", shown(LOCK)));
    fs::create_dir_all(&ours)
        .and_then(|()| atomic_file::lock(&ours.join(LOCK), waiting))
        .map_err(|error| Failure::environment(format!("{} can't be locked: {error}", shown(LOCK))))
}

fn path(root: &Path) -> PathBuf {
    root.join(root::OURS).join(FILE)
}

fn shown(name: &str) -> String {
    Path::new(root::OURS).join(name).display().to_string()
}

fn cant(be: &str, error: &io::Error) -> Failure {
    Failure::environment(format!(
        "{} can't be {be}: {error}. It records which exercises are solved; your codecs are not in it",
        shown(FILE)
    ))
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        process::{Command, Stdio},
        sync::atomic::{AtomicUsize, Ordering},
        thread::{self, sleep},
        time::Duration,
    };

    use super::*;

    /// Names the folder in which [`notes_without_end_when_told`] is to note.
    const NOTE_IN: &str = "NOTE_IN";

    #[test]
    fn what_is_noted_is_read() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Progress::read(root.path()).unwrap(), Progress::default());
        assert!(!root.path().join(root::OURS).exists(), "who only asks writes nothing");
        Progress::note(root.path(), Step::Async, atomic_file::sha256(b"codec")).unwrap();
        let progress = Progress::read(root.path()).unwrap();
        assert_eq!(progress.of(Step::Async).unwrap().codec_sha256, atomic_file::sha256(b"codec"));
        assert_eq!(progress.of(Step::Blocking), None);
        assert_eq!(
            atomic_file::sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let root = tempfile::tempdir().unwrap();
        for _ in 0..10 {
            fs::remove_dir_all(root.path().join(root::OURS)).ok();
            thread::scope(|scope| {
                for step in Step::EXERCISES {
                    let root = root.path();
                    scope.spawn(move || Progress::note(root, step, String::new()).unwrap());
                }
            });
            let progress = Progress::read(root.path()).unwrap();
            assert_eq!(progress.solved.len(), Step::EXERCISES.len());
        }
    }

    #[test]
    fn what_is_not_understood_is_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let ours = root.path().join(root::OURS);
        fs::create_dir(&ours).unwrap();
        let from_later = r#"{"solved": {}, "what a later version adds": 1}"#;
        for garbage in [&b"\xff\0"[..], b"", b"{\"solved\": {\"1\":", from_later.as_bytes()] {
            fs::write(path(root.path()), garbage).unwrap();
            assert_eq!(Progress::read(root.path()).unwrap(), Progress::default());
            let aside = fs::read_dir(&ours).unwrap().map(|entry| entry.unwrap().path());
            let found = aside.filter(|path| fs::read(path).unwrap() == garbage);
            assert!(found.into_iter().any(|path| path.to_string_lossy().contains("unread")));
        }
    }

    /// In the place of a digest: who noted it.
    fn by(pid: u32) -> String {
        format!("by {pid}.")
    }

    /// Not a test of its own: what `progress_survives_kills` starts, and kills.
    #[test]
    fn notes_without_end_when_told() {
        let Some(root) = env::var_os(NOTE_IN) else { return };
        for step in Step::EXERCISES.into_iter().cycle() {
            Progress::note(Path::new(&root), step, by(std::process::id())).unwrap();
        }
    }

    #[test]
    fn progress_survives_kills() {
        let root = tempfile::tempdir().unwrap();
        let ours = root.path().join(".workshop");
        fs::create_dir(&ours).unwrap();
        // From earlier kills: a lock that no process holds, half of what should have been written.
        fs::write(ours.join("progress.lock"), "").unwrap();
        fs::write(ours.join(".new-abc"), "{\"solv").unwrap();
        let kills = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for offset in 0..2 {
                let (root, kills) = (root.path(), &kills);
                scope.spawn(move || {
                    for round in 0..15_u64 {
                        let mut child = Command::new(env::current_exe().unwrap())
                            .args([
                                "--exact",
                                "course::progress::tests::notes_without_end_when_told",
                            ])
                            .env(NOTE_IN, root)
                            .stdout(Stdio::null())
                            .stderr(Stdio::null())
                            .spawn()
                            .unwrap();
                        let noted = format!("{:?}", by(child.id()));
                        while !fs::read_to_string(path(root))
                            .is_ok_and(|file| file.contains(&noted))
                        {
                            sleep(Duration::from_millis(1));
                        }
                        // Killed at another moment each time.
                        sleep(Duration::from_micros(round * 700 + offset * 300));
                        assert!(child.try_wait().unwrap().is_none(), "it failed by itself");
                        child.kill().unwrap();
                        child.wait().unwrap();
                        kills.fetch_add(1, Ordering::Relaxed);
                        Progress::read(root).unwrap();
                    }
                });
            }
        });
        assert_eq!(kills.into_inner(), 30);
        let names = fs::read_dir(&ours).unwrap().map(|entry| entry.unwrap().file_name());
        let unread = names.filter(|name| name.to_string_lossy().contains("unread")).count();
        assert_eq!(unread, 0, "it was garbage at some moment");
        for step in Step::EXERCISES {
            Progress::note(root.path(), step, String::new()).unwrap();
        }
        let progress = Progress::read(root.path()).unwrap();
        assert!(Step::EXERCISES.into_iter().all(|step| progress.of(step).is_some()));
    }
}
