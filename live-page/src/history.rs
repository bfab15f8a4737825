//! What the page remembers, so that a page opened late shows everything. Every part of it is bounded.

use std::collections::VecDeque;

use serde::Serialize;

use crate::frame::{Frame, Segment};

/// Runs that are kept.
const MOST_RUNS: usize = 16;
/// Frames that are kept of a run.
pub const MOST_FRAMES: usize = 2400;
/// Segments that are kept of a run.
pub const MOST_SEGMENTS: usize = 10_000;
/// How many of the latest segments a continued one is looked for in.
const STILL_OPEN: usize = 64;
/// Longer names and outcomes are cut.
const LONGEST_TEXT: usize = 400;

/// Everything that the page shows.
#[derive(Debug, Serialize)]
pub struct History {
    /// The page's heading.
    pub heading: String,
    /// How many changes there have been.
    pub sequence: u64,
    runs: VecDeque<Run>,
}

/// One run.
#[derive(Debug, Serialize)]
struct Run {
    run: u64,
    name: String,
    workflows: u32,
    outcome: Option<String>,
    frames: Vec<Frame>,
    thread: VecDeque<Segment>,
    /// Since when the timeline is known, in seconds: later than 0 if segments were dropped.
    thread_from: f64,
}

/// A change, as a browser is sent it.
#[derive(Debug, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change<'a> {
    /// A run began.
    Start {
        /// Which.
        run: u64,
        /// Its name.
        name: &'a str,
        /// How many workflows it will run.
        workflows: u32,
    },
    /// A run has a new frame.
    Frame {
        /// Which.
        run: u64,
        /// The frame.
        frame: &'a Frame,
        /// What is new on its timeline.
        thread: &'a [Segment],
    },
    /// A run finished.
    Finish {
        /// Which.
        run: u64,
        /// How.
        outcome: &'a str,
    },
}

impl History {
    /// Nothing has run yet.
    pub fn new(heading: &str) -> Self {
        Self { heading: cut(heading), sequence: 0, runs: VecDeque::new() }
    }

    /// A run begins. Returns the change as JSON.
    pub fn start(&mut self, run: u64, name: &str, workflows: u32) -> Option<String> {
        if self.runs.len() == MOST_RUNS {
            self.runs.pop_front();
        }
        let name = cut(name);
        self.sequence += 1;
        let change = json(&Change::Start { run, name: &name, workflows });
        self.runs.push_back(Run {
            run,
            name,
            workflows,
            outcome: None,
            frames: Vec::new(),
            thread: VecDeque::new(),
            thread_from: 0.0,
        });
        change
    }

    /// A frame of a run. Returns the change as JSON, or `None` if the frame makes no sense.
    pub fn frame(&mut self, run: u64, mut frame: Frame) -> Option<String> {
        let found = self.runs.iter_mut().find(|known| known.run == run)?;
        if !frame.at.is_finite() {
            return None;
        }
        // Time does not go back; the charts rely on it.
        frame.at = frame.at.max(found.frames.last().map_or(0.0, |last| last.at));
        let mut thread = std::mem::take(&mut frame.thread);
        thread.retain(|s| s.from.is_finite() && s.to.is_finite() && s.to > s.from);
        for segment in &thread {
            found.extend_thread(*segment);
        }
        self.sequence += 1;
        let change = json(&Change::Frame { run, frame: &frame, thread: &thread });
        found.frames.push(frame);
        if found.frames.len() > MOST_FRAMES {
            found.thin();
        }
        change
    }

    /// A run is finished. Returns the change as JSON.
    pub fn finish(&mut self, run: u64, outcome: &str) -> Option<String> {
        let found = self.runs.iter_mut().find(|known| known.run == run)?;
        self.sequence += 1;
        let outcome = found.outcome.insert(cut(outcome));
        json(&Change::Finish { run, outcome })
    }

    /// All of it, as JSON.
    pub fn snapshot(&self) -> String {
        json(self).unwrap_or_else(|| "{}".to_owned())
    }
}

impl Run {
    /// Adds a segment, or lengthens the one that it continues.
    fn extend_thread(&mut self, segment: Segment) {
        let latest = self.thread.iter_mut().rev().take(STILL_OPEN);
        for known in latest {
            if (known.from - segment.from).abs() < 1e-6 && known.doing == segment.doing {
                known.to = known.to.max(segment.to);
                return;
            }
        }
        self.thread.push_back(segment);
        while self.thread.len() > MOST_SEGMENTS {
            if let Some(dropped) = self.thread.pop_front() {
                self.thread_from = self.thread_from.max(dropped.to);
            }
        }
    }

    /// Every two neighbours in the older half become one.
    fn thin(&mut self) {
        let newer = self.frames.split_off(self.frames.len() / 2);
        let mut older = std::mem::take(&mut self.frames).into_iter();
        while let Some(first) = older.next() {
            self.frames.push(match older.next() {
                Some(second) => Frame::joined(&first, second),
                None => first,
            });
        }
        self.frames.extend(newer);
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

/// Numbers, strings and lists: nothing in them can fail.
fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::frame::Doing;

    fn history() -> History {
        let mut history = History::new("x");
        history.start(0, "blocking", 100);
        history
    }

    fn segment(from: f64, to: f64, doing: Doing) -> Segment {
        Segment { from, to, doing }
    }

    fn parsed(history: &History) -> Value {
        serde_json::from_str(&history.snapshot()).unwrap()
    }

    #[test]
    fn frames_are_bounded_and_peaks_and_ends_stay() {
        let mut history = history();
        for i in 0..50_000_u32 {
            let lag_worker = Some(if i == 777 { 9.0 } else { 0.001 });
            let at = f64::from(i) / 2.0;
            history.frame(0, Frame { at, workflows_done: i, lag_worker, ..Frame::default() });
            assert!(history.runs[0].frames.len() <= MOST_FRAMES);
        }
        let frames = &history.runs[0].frames;
        assert!(frames.len() > MOST_FRAMES / 2, "{}", frames.len());
        assert_eq!(frames.last().unwrap().workflows_done, 49_999);
        assert!(frames.windows(2).all(|pair| pair[0].at < pair[1].at));
        assert!(frames.iter().any(|frame| frame.lag_worker == Some(9.0)));
    }

    #[test]
    fn segments_are_bounded_and_the_page_learns_from_when_on() {
        let mut history = history();
        for i in 0..3 * MOST_SEGMENTS {
            let at = i as f64;
            let thread = vec![segment(at, at + 0.5, Doing::Busy)];
            history.frame(0, Frame { at, thread, ..Frame::default() });
        }
        let run = &history.runs[0];
        assert_eq!(run.thread.len(), MOST_SEGMENTS);
        assert!(run.thread_from <= run.thread[0].from);
        assert_eq!(run.thread_from, run.thread[0].from - 0.5);
        // What the documentation says of a run's memory: the vectors, and the JSON made of them.
        let bytes = MOST_FRAMES * size_of::<Frame>() + MOST_SEGMENTS * size_of::<Segment>();
        assert!(bytes < 600_000, "{bytes}");
    }

    #[test]
    fn a_segment_that_continues_is_lengthened() {
        let mut history = history();
        let mut push = |at, thread| history.frame(0, Frame { at, thread, ..Frame::default() });
        push(0.5, vec![segment(0.1, 0.2, Doing::Busy), segment(0.3, 0.5, Doing::Encode)]);
        push(1.0, vec![segment(0.3, 0.7, Doing::Encode), segment(0.3, 0.4, Doing::Busy)]);
        push(1.5, vec![segment(1.0, f64::NAN, Doing::Busy), segment(1.2, 1.1, Doing::Busy)]);
        let thread = &parsed(&history)["runs"][0]["thread"];
        let expected =
            serde_json::json!([[0.1, 0.2, "busy"], [0.3, 0.7, "encode"], [0.3, 0.4, "busy"]]);
        assert_eq!(*thread, expected);
    }

    #[test]
    fn runs_and_texts_are_bounded() {
        let mut history = History::new(&"h".repeat(10_000));
        for run in 0..100 {
            history.start(run, &"é".repeat(10_000), 1);
            history.finish(run, &"o".repeat(10_000));
        }
        assert_eq!(history.runs.len(), MOST_RUNS);
        assert_eq!(history.runs.back().unwrap().run, 99);
        assert!(history.snapshot().len() < MOST_RUNS * 4 * LONGEST_TEXT);
    }

    #[test]
    fn a_frame_that_makes_no_sense_changes_nothing() {
        let mut history = history();
        assert!(history.frame(0, Frame { at: 3.0, ..Frame::default() }).is_some());
        let before = history.snapshot();
        assert_eq!(history.frame(0, Frame { at: f64::NAN, ..Frame::default() }), None);
        assert_eq!(history.frame(7, Frame::default()), None, "no such run");
        assert_eq!(history.finish(7, "x"), None);
        assert_eq!(history.snapshot(), before);
        // Time does not go back.
        history.frame(0, Frame { at: 2.0, ..Frame::default() });
        assert_eq!(history.runs[0].frames[1].at, 3.0);
    }
}
