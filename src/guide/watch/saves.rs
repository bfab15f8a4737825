//! Which codecs were saved, and are not what they were.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use cli_kit::term::note;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use solutions::Step;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};

use crate::course;

/// Editors save in several steps: they empty and write the file, or rename another file to its name. After
/// this long without a step, the save is complete.
const QUIET: Duration = Duration::from_millis(100);

/// How often the codecs are read in any case: the system reports no changes behind a symbolic link, and on
/// some mounts none at all. Reading is cheap, as the files are small.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The codecs of all exercises, under watch.
pub struct Saves {
    /// Something happened in the exercises' folders.
    stirs: UnboundedReceiver<()>,
    codecs: Vec<Codec>,
    /// Stops when dropped. `None` if the system can't provide a watcher.
    _watcher: Option<RecommendedWatcher>,
}

/// Reports that something happened in that folder.
fn watcher(room: &Path, stirred: UnboundedSender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reads are reported as well: the compiler's and ours. An error may mean that a change was missed.
        if event.map_or(true, |event| !event.kind.is_access()) {
            stirred.send(()).ok();
        }
    })?;
    // The folder is watched, because a file that is renamed to `codec.rs` is a new file; recursively, because
    // `git switch` may replace whole folders.
    watcher.watch(room, RecursiveMode::Recursive)?;
    Ok(watcher)
}

struct Codec {
    step: Step,
    file: PathBuf,
    /// As it was last seen.
    content: Option<Vec<u8>>,
}

impl Saves {
    /// Watches the exercises in this repository. If the system can't report changes, this prints a line on
    /// stderr, and the files are read regularly.
    pub fn of(root: &Path) -> Self {
        let (stirred, stirs) = unbounded_channel();
        let watcher = watcher(&root.join("exercises"), stirred).map_err(|error| {
            note(format!(
                "The system can't report changes here ({error}): codec.rs is read every second instead."
            ));
        });
        Self::with(root, watcher.ok(), stirs)
    }

    fn with(
        root: &Path,
        watcher: Option<RecommendedWatcher>,
        stirs: UnboundedReceiver<()>,
    ) -> Self {
        // Read only now, so that every later save is noticed.
        let codecs = Step::EXERCISES.into_iter().map(|step| {
            let file = root.join(course::codec(step));
            Codec { step, content: course::read(&file).ok(), file }
        });
        Self { stirs, codecs: codecs.collect(), _watcher: watcher }
    }

    /// Waits for the next save that changes something.
    pub async fn next(&mut self) -> Vec<Step> {
        loop {
            match timeout(POLL_INTERVAL, self.stirs.recv()).await {
                Ok(Some(())) => self.wait_until_quiet().await,
                // No report will come. Without a watcher, that is the case at once.
                Ok(None) => sleep(POLL_INTERVAL).await,
                Err(_) => {}
            }
            let changed = self.changed();
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    async fn wait_until_quiet(&mut self) {
        while timeout(QUIET, self.stirs.recv()).await.is_ok_and(|stir| stir.is_some()) {}
    }

    fn changed(&mut self) -> Vec<Step> {
        let changed = self.codecs.iter_mut().filter_map(|codec| {
            // A missing file is about to be written, and that will be noticed.
            let content = course::read(&codec.file).ok()?;
            let differs = codec.content.as_ref() != Some(&content);
            codec.content = Some(content);
            differs.then_some(codec.step)
        });
        changed.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A workshop's folder with a codec for each exercise.
    fn room() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for step in Step::EXERCISES {
            fs::create_dir_all(root.path().join(course::folder(step))).unwrap();
            fs::write(root.path().join(course::codec(step)), "as it was").unwrap();
        }
        root
    }

    /// What is told until the codec of exercise 3 changes, which each test does last.
    async fn told(saves: &mut Saves) -> Vec<Vec<Step>> {
        let mut told = Vec::new();
        while told.last().is_none_or(|steps: &Vec<Step>| !steps.contains(&Step::Async)) {
            let patience = Duration::from_secs(20);
            told.push(timeout(patience, saves.next()).await.unwrap());
        }
        told
    }

    #[tokio::test]
    async fn every_way_to_save_is_told_once() {
        let root = room();
        let mut saves = Saves::of(root.path());
        let codec = root.path().join(course::codec(Step::Blocking));
        let ways: [fn(&Path); 3] = [
            // Emptied, written in two parts.
            |codec| {
                use std::io::Write;
                let mut file = fs::File::create(codec).unwrap();
                file.write_all(b"emptied ").unwrap();
                file.write_all(b"and written").unwrap();
            },
            // A new file takes its name.
            |codec| {
                fs::write(codec.with_extension("new"), "renamed").unwrap();
                fs::rename(codec.with_extension("new"), codec).unwrap();
            },
            // The old one is kept under another name.
            |codec| {
                fs::rename(codec, codec.with_extension("rs~")).unwrap();
                fs::write(codec, "with a backup").unwrap();
            },
        ];
        for way in ways {
            way(&codec);
            let steps = timeout(Duration::from_secs(20), saves.next()).await.unwrap();
            assert_eq!(steps, [Step::Blocking]);
        }
        fs::write(root.path().join(course::codec(Step::Async)), "changed").unwrap();
        assert_eq!(told(&mut saves).await, [[Step::Async]]);
    }

    #[tokio::test]
    async fn what_changes_nothing_is_not_told() {
        let root = room();
        let mut saves = Saves::of(root.path());
        let folder = root.path().join(course::folder(Step::Blocking));
        fs::write(folder.join("codec.rs"), "as it was").unwrap();
        fs::write(folder.join("notes.md"), "notes").unwrap();
        fs::read(folder.join("codec.rs")).unwrap();
        fs::write(root.path().join(course::codec(Step::Async)), "changed").unwrap();
        assert_eq!(told(&mut saves).await, [[Step::Async]]);
    }

    /// The system reports nothing of a file elsewhere.
    #[tokio::test]
    async fn a_save_behind_a_symbolic_link_is_found() {
        let (root, elsewhere) = (room(), tempfile::tempdir().unwrap());
        let mine = elsewhere.path().join("mine.rs");
        fs::write(&mine, "as it was").unwrap();
        let codec = root.path().join(course::codec(Step::Async));
        fs::remove_file(&codec).unwrap();
        std::os::unix::fs::symlink(&mine, &codec).unwrap();
        let mut saves = Saves::of(root.path());
        fs::write(&mine, "changed").unwrap();
        assert_eq!(told(&mut saves).await, [[Step::Async]]);
        // And in one step, as editors do.
        fs::write(mine.with_extension("new"), "renamed").unwrap();
        fs::rename(mine.with_extension("new"), &mine).unwrap();
        assert_eq!(told(&mut saves).await, [[Step::Async]]);
    }

    /// As on a machine that has no inotify instances left.
    #[tokio::test]
    async fn without_the_systems_reports_a_save_is_found_by_reading() {
        let root = room();
        let (gone, stirs) = unbounded_channel();
        drop(gone);
        let mut saves = Saves::with(root.path(), None, stirs);
        fs::write(root.path().join(course::codec(Step::Async)), "changed").unwrap();
        assert_eq!(told(&mut saves).await, [[Step::Async]]);
    }
}
