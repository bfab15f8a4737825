//! Recordings: a folder with a page in each file, named after its moment.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::{
    exposition::{LONGEST_PAGE, Page},
    scrape::{Scrape, Trouble},
};

/// The file with a line for each scrape.
pub const INDEX: &str = "scrapes.jsonl";
/// More pages than this are not read.
const MOST_PAGES: usize = 20_000;

/// A line of the index.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When the page was asked for, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long the answer took.
    pub took_ms: u64,
    /// The HTTP status; 0 if there was no answer.
    pub status: u16,
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
}

impl Recorder {
    /// A recording in a new or empty folder.
    ///
    /// # Errors
    /// When the folder holds files already, or cannot be made.
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        if fs::read_dir(folder)?.next().is_some() {
            bail!("{} is not empty; name a new folder for the recording", folder.display());
        }
        Ok(Self { folder: folder.to_owned() })
    }

    /// Writes a scrape.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, line: Line, body: &[u8]) -> anyhow::Result<()> {
        let failed = || format!("cannot write the recording in {}", self.folder.display());
        if !body.is_empty() {
            let page = self.folder.join(format!("{}.prom", line.at_ms));
            fs::write(page, body).with_context(failed)?;
        }
        let mut index = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join(INDEX))
            .with_context(failed)?;
        writeln!(index, "{}", serde_json::to_string(&line)?).with_context(failed)
    }
}

/// The moments of a recording, in order, each with its file if there is a page.
///
/// # Errors
/// When the folder is no recording.
pub fn moments(folder: &Path) -> anyhow::Result<Vec<(Line, Option<PathBuf>)>> {
    let shown = folder.display();
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read the recording {shown}"))?;
    let mut moments: Vec<(Line, Option<PathBuf>)> = Vec::new();
    for entry in entries.take(2 * MOST_PAGES) {
        let path = entry?.path();
        let at_ms = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".prom")?.parse::<i64>().ok());
        if let Some(at_ms) = at_ms {
            moments.push((Line { at_ms, took_ms: 0, status: 200 }, Some(path)));
        }
    }
    let index = fs::read_to_string(folder.join(INDEX)).unwrap_or_default();
    if moments.is_empty() && index.is_empty() {
        bail!(
            "{shown} is not a recording: it has no file <unix-milliseconds>.prom. --record writes one"
        );
    }
    for line in
        index.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok()).take(MOST_PAGES)
    {
        match moments.iter_mut().find(|(moment, _)| moment.at_ms == line.at_ms) {
            Some((moment, _)) => *moment = line,
            None => moments.push((line, None)),
        }
    }
    moments.sort_by_key(|(line, _)| line.at_ms);
    moments.truncate(MOST_PAGES);
    Ok(moments)
}

/// Reads a page of a recording.
pub fn read(line: Line, page: Option<&Path>) -> Scrape {
    let body = page.map(|path| {
        let mut body = Vec::new();
        let limit = LONGEST_PAGE as u64 + 1;
        let read = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut body));
        read.map(|_| body)
            .map_err(|error| Trouble::NoAnswer(format!("cannot read {}: {error}", path.display())))
    });
    scrape(line, body)
}

/// A moment of a recording with its page, if there is one.
pub fn scrape(line: Line, body: Option<Result<Vec<u8>, Trouble>>) -> Scrape {
    let page = match (line.status, body) {
        (0 | 200, None) => {
            Err(Trouble::NoAnswer("the recording has no page of this moment".into()))
        }
        (200, Some(Ok(body))) if body.len() > LONGEST_PAGE => {
            Err(Trouble::TooLarge(LONGEST_PAGE as u64 >> 20))
        }
        (200, Some(Ok(body))) => Page::parse(&body).map_err(Trouble::from),
        (200, Some(Err(trouble))) => Err(trouble),
        (status, _) => Err(Trouble::Status(status)),
    };
    Scrape { at_ms: line.at_ms, took_ms: line.took_ms, page }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&folder.path().join("new")).unwrap();
        let folder = folder.path().join("new");
        recorder.write(Line { at_ms: 20, took_ms: 3, status: 200 }, b"up 1\n").unwrap();
        recorder.write(Line { at_ms: 30, took_ms: 5, status: 503 }, b"").unwrap();
        assert_eq!(
            fs::read_to_string(folder.join(INDEX)).unwrap(),
            "{\"at_ms\":20,\"took_ms\":3,\"status\":200}\n{\"at_ms\":30,\"took_ms\":5,\"status\":503}\n"
        );
        let moments = moments(&folder).unwrap();
        assert_eq!(moments.len(), 2);
        let pages: Vec<Scrape> =
            moments.iter().map(|(line, page)| read(*line, page.as_deref())).collect();
        assert!(pages[0].page.is_ok() && pages[0].took_ms == 3);
        assert_eq!(pages[1].page.as_ref().unwrap_err(), &Trouble::Status(503));
        assert!(Recorder::create(&folder).unwrap_err().to_string().contains("not empty"));
    }

    #[test]
    fn a_folder_without_pages_is_no_recording() {
        let folder = tempfile::tempdir().unwrap();
        let error = moments(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is not a recording"), "{error}");
    }
}
