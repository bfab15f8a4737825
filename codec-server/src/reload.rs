//! Files that are read again when they change: keys, tokens, grants, key sets, certificates.
//!
//! Looking at their content works where notifications do not: in network file systems, and for the symbolic links
//! by which Kubernetes replaces secrets.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ring::digest::{Context, SHA256};
use tokio::{task::spawn_blocking, time::sleep};
use zeroize::Zeroizing;

use crate::metrics::Metrics;

/// Some files, and what to do when one of them has changed.
pub struct Watched {
    what: &'static str,
    files: Vec<PathBuf>,
    seen: Option<[u8; 32]>,
    read_again: Box<dyn FnMut() -> Result<String, String> + Send>,
}

impl Watched {
    /// Watches these files from what they are now. `read_again` returns what is new, for the log.
    pub fn new<E: fmt::Display>(
        what: &'static str,
        files: &[&Path],
        mut read_again: impl FnMut() -> Result<String, E> + Send + 'static,
    ) -> Self {
        let files: Vec<_> = files.iter().map(|file| (*file).to_owned()).collect();
        let seen = fingerprint(&files);
        let read_again = move || read_again().map_err(|error| error.to_string());
        Self { what, files, seen, read_again: Box::new(read_again) }
    }

    /// Looks once. Blocks. `None` if nothing has changed.
    fn look(&mut self) -> Option<Result<String, String>> {
        let now = fingerprint(&self.files);
        if now == self.seen {
            return None;
        }
        // Also after a failure: the same content would fail again.
        self.seen = now;
        Some((self.read_again)())
    }
}

/// SHA-256 of the contents, so that no copy of a key is kept. `None` if one can't be read.
fn fingerprint(files: &[PathBuf]) -> Option<[u8; 32]> {
    let mut hash = Context::new(&SHA256);
    for file in files {
        let content = Zeroizing::new(fs::read(file).ok()?);
        hash.update(&content.len().to_le_bytes());
        hash.update(&content);
    }
    hash.finish().as_ref().try_into().ok()
}

/// Looks at all of them, again and again, for ever. A file that can't be used changes nothing.
pub async fn watch(mut all: Vec<Watched>, every: Duration, metrics: Metrics) {
    loop {
        sleep(every).await;
        let looked = spawn_blocking(move || {
            let news: Vec<_> =
                all.iter_mut().filter_map(|one| Some((one.what, one.look()?))).collect();
            (all, news)
        });
        let Ok((back, news)) = looked.await else {
            tracing::error!("files are not watched any longer");
            return;
        };
        all = back;
        for (what, result) in news {
            match &result {
                Ok(new) => tracing::info!("{what} changed: {new}"),
                Err(error) => {
                    tracing::error!("{what} changed, and the old ones stay in use: {error}")
                }
            }
            // Counted last: by then it is in the log.
            metrics.reloads(result.is_ok()).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_once_and_so_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        fs::write(&one, "1").unwrap();
        fs::write(&two, "2").unwrap();
        let mut times = 0;
        let mut watched = Watched::new("they", &[&one, &two], move || {
            times += 1;
            if times == 2 { Err("broken") } else { Ok(times.to_string()) }
        });
        assert_eq!(watched.look(), None);
        fs::write(&two, "3").unwrap();
        assert_eq!(watched.look(), Some(Ok("1".into())));
        assert_eq!(watched.look(), None);
        fs::remove_file(&one).unwrap();
        assert_eq!(watched.look(), Some(Err("broken".into())));
        assert_eq!(watched.look(), None);
        // The same bytes, at another place.
        fs::write(&one, "13").unwrap();
        fs::write(&two, "").unwrap();
        assert_eq!(watched.look(), Some(Ok("3".into())));
    }
}
