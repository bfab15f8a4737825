//! Which exercises were solved: noted by `verify` and `watch`, never guessed.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Serialize};
use solutions::Step;
use stack::root;

use crate::{exit::Failure, files, utc};

/// Where it is kept, in the workshop's own folder.
const FILE: &str = "progress.json";
/// Whoever changes it holds a lock on this one: a file that is replaced can't be locked itself.
const LOCK: &str = "progress.lock";
/// Writing takes milliseconds; who holds the lock for so long is stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is noted, by the number of the exercise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
// What we don't know we would lose when we write.
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
        files::sha256(codec) == self.codec_sha256
    }
}

impl Progress {
    /// What is noted; nothing where there is no file yet. One that is not understood is set aside, and
    /// that is said on stderr.
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        match load(root)? {
            Found::Progress(progress) => Ok(progress),
            Found::Garbage(_) => {
                // Looked at again with the lock: somebody else may have set it aside.
                let again = lock(root).and_then(|_lock| load_or_set_aside(root));
                again.or_else(|error| {
                    eprintln!("{error}. What it says does not count meanwhile");
                    Ok(Self::default())
                })
            }
        }
    }

    /// When the exercise was solved, and with which codec.
    pub fn of(&self, step: Step) -> Option<&Solved> {
        self.solved.get(&step.number())
    }

    /// The first exercise that is not noted as solved.
    pub fn next(&self) -> Option<Step> {
        Step::EXERCISES.into_iter().find(|step| self.of(*step).is_none())
    }

    /// Notes that the exercise is solved, now and with that codec. Two at once lose nothing.
    ///
    /// # Errors
    /// When it can't be written; what was noted before is as it was.
    pub fn note(root: &Path, step: Step, codec_sha256: String) -> Result<(), Failure> {
        let _lock = lock(root)?;
        let mut progress = load_or_set_aside(root)?;
        let at = utc::timestamp(SystemTime::now());
        progress.solved.insert(step.number(), Solved { codec_sha256, at });
        serde_json::to_vec_pretty(&progress)
            .map_err(io::Error::from)
            .and_then(|json| files::replace(&path(root), &json, None))
            .map_err(|error| cant("written", &error))
    }
}

/// What is in the file.
enum Found {
    Progress(Progress),
    /// And why it is not understood.
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
    // A copy that is on the disk, and then the name is free: it is not lost between the two.
    let set_aside = fs::read(&file).and_then(|content| {
        let aside = files::create(&root.join(root::OURS), "progress-unread", "json", &content)?;
        fs::remove_file(&file)?;
        Ok(aside)
    });
    let shown = shown(FILE);
    match set_aside {
        Ok(aside) => {
            eprintln!(
                "{shown} is not what `verify` writes ({why}): it is now {}, and nothing is noted any \
                 more. `cargo workshop verify --all` notes what is solved",
                aside.strip_prefix(root).unwrap_or(&aside).display()
            );
            Ok(Progress::default())
        }
        Err(error) => Err(Failure::environment(format!(
            "{shown} is not what `verify` writes ({why}), and can't be set aside: {error}"
        ))),
    }
}

/// Lets one in at a time. The lock ends with whoever holds it, whatever ends that: a file that is left
/// locks nothing.
fn lock(root: &Path) -> Result<File, Failure> {
    const LOOK: Duration = Duration::from_millis(20);
    let cant = |error: io::Error| {
        Failure::environment(format!("{} can't be locked: {error}", shown(LOCK)))
    };
    let ours = root.join(root::OURS);
    fs::create_dir_all(&ours).map_err(cant)?;
    let open = File::options().create(true).truncate(false).write(true).open(ours.join(LOCK));
    let lock = open.map_err(cant)?;
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(cant(error)),
            Err(TryLockError::WouldBlock) if began.elapsed() < PATIENCE => sleep(LOOK),
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::environment(format!(
                    "{} has been locked for {} s: another `cargo workshop` is stopped while it \
                     writes. Let it go on, or end it",
                    shown(LOCK),
                    PATIENCE.as_secs()
                )));
            }
        }
    }
}

fn path(root: &Path) -> PathBuf {
    root.join(root::OURS).join(FILE)
}

fn shown(name: &str) -> String {
    Path::new(root::OURS).join(name).display().to_string()
}

fn cant(be: &str, error: &io::Error) -> Failure {
    Failure::environment(format!(
        "{} can't be {be}: {error}. It holds which exercises are solved; your codecs are not in it",
        shown(FILE)
    ))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_noted_is_read() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Progress::read(root.path()).unwrap(), Progress::default());
        assert!(!root.path().join(root::OURS).exists(), "who only asks writes nothing");
        Progress::note(root.path(), Step::Async, files::sha256(b"codec")).unwrap();
        let progress = Progress::read(root.path()).unwrap();
        assert_eq!(progress.of(Step::Async).unwrap().codec_sha256, files::sha256(b"codec"));
        assert_eq!(progress.of(Step::Blocking), None);
        assert_eq!(
            files::sha256(b"abc"),
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
}
