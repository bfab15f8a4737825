//! Hands each browser a snapshot and then every change after it: no gap, no duplicate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{self, Stream};
use tokio::sync::{
    Semaphore,
    broadcast::{self, Receiver, error::RecvError},
};

use crate::{frame::Frame, history::History};

/// Changes that a browser may be behind. One that is further behind is sent a new snapshot.
const BEHIND: usize = 64;
/// Browsers at the same time.
pub const MOST_BROWSERS: usize = 20;

/// What a command reports to its page.
#[derive(Debug)]
pub enum Update {
    /// A run begins.
    Start {
        /// Which: counted from 0.
        run: u64,
        /// Its name.
        name: String,
        /// How many workflows it will run.
        workflows: u32,
    },
    /// A frame of a run.
    Frame {
        /// Which run.
        run: u64,
        /// The frame.
        frame: Frame,
    },
    /// A run is finished.
    Finish {
        /// Which run.
        run: u64,
        /// How.
        outcome: String,
    },
    /// The command is over.
    Stop,
}

/// What a browser is sent.
#[derive(Clone, Debug)]
pub enum Message {
    /// Everything so far. It replaces what the browser had.
    Snapshot(u64, Arc<str>),
    /// One change, and its number.
    Change(u64, Arc<str>),
    /// The command is over; no more follows.
    End,
}

#[derive(Debug)]
struct State {
    history: History,
    /// The command is over.
    is_over: bool,
}

/// The history, and the browsers that are sent its changes.
#[derive(Debug)]
pub struct Hub {
    // Only the page's own thread locks it. The command's threads queue their updates and wait for nothing.
    state: Mutex<State>,
    changes: broadcast::Sender<Message>,
    browsers: Arc<Semaphore>,
}

impl Hub {
    /// With an empty history.
    pub fn new(heading: &str) -> Self {
        Self {
            state: Mutex::new(State { history: History::new(heading), is_over: false }),
            changes: broadcast::channel(BEHIND).0,
            browsers: Arc::new(Semaphore::new(MOST_BROWSERS)),
        }
    }

    /// Takes an update and sends the change to every browser. Returns whether that was the last.
    pub fn apply(&self, update: Update) -> bool {
        let mut state = self.state();
        let history = &mut state.history;
        let change = match update {
            Update::Start { run, name, workflows } => history.start(run, &name, workflows),
            Update::Frame { run, frame } => history.frame(run, frame),
            Update::Finish { run, outcome } => history.finish(run, &outcome),
            Update::Stop => {
                state.is_over = true;
                // An error says that there are no browsers.
                let _ = self.changes.send(Message::End);
                return true;
            }
        };
        if let Some(change) = change {
            let _ = self.changes.send(Message::Change(history.sequence, change.into()));
        }
        false
    }

    /// Everything so far, as JSON.
    pub fn snapshot(&self) -> String {
        self.state().history.snapshot()
    }

    /// What one more browser is sent; `None` if there are too many.
    pub fn subscribe(self: &Arc<Self>) -> Option<impl Stream<Item = Message> + use<>> {
        let place = self.browsers.clone().try_acquire_owned().ok()?;
        let start = (self.clone(), Next::Snapshot, place);
        Some(stream::unfold(start, async |(hub, next, place)| {
            let (message, next) = match next {
                Next::Snapshot => hub.begin(),
                Next::Change(mut changes) => match changes.recv().await {
                    Ok(Message::End) => (Message::End, Next::Nothing),
                    Ok(message) => (message, Next::Change(changes)),
                    // It reads too slowly. What it missed is in a new snapshot.
                    Err(RecvError::Lagged(_)) => hub.begin(),
                    Err(RecvError::Closed) => return None,
                },
                Next::End => (Message::End, Next::Nothing),
                Next::Nothing => return None,
            };
            Some((message, (hub, next, place)))
        }))
    }

    /// A snapshot, and the changes after it. Both under one lock: a change is in exactly one of them.
    fn begin(&self) -> (Message, Next) {
        let State { history, is_over } = &*self.state();
        let next = if *is_over { Next::End } else { Next::Change(self.changes.subscribe()) };
        (Message::Snapshot(history.sequence, history.snapshot().into()), next)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a browser is sent next.
enum Next {
    Snapshot,
    Change(Receiver<Message>),
    End,
    Nothing,
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{FutureExt, StreamExt};

    use super::*;

    fn frame(hub: &Hub, at: u32) {
        let frame = Frame { at: at.into(), workflows_done: at, ..Frame::default() };
        hub.apply(Update::Frame { run: 0, frame });
    }

    fn hub() -> Arc<Hub> {
        let hub = Arc::new(Hub::new("x"));
        hub.apply(Update::Start { run: 0, name: "blocking".to_owned(), workflows: 100 });
        hub
    }

    #[test]
    fn a_snapshot_and_the_changes_after_it_have_no_gap_and_no_duplicate() {
        let hub = hub();
        frame(&hub, 1);
        let mut messages = pin!(hub.subscribe().unwrap());
        let Some(Message::Snapshot(mut seen, _)) = messages.next().now_or_never().flatten() else {
            panic!("the first message is no snapshot")
        };
        assert_eq!(seen, 2);
        for at in 2..50 {
            frame(&hub, at);
            // A browser that comes and goes changes nothing for the others.
            drop(hub.subscribe().unwrap());
        }
        while let Some(Some(Message::Change(sequence, _))) = messages.next().now_or_never() {
            assert_eq!(sequence, seen + 1);
            seen = sequence;
        }
        assert_eq!(seen, 50);
    }

    #[test]
    fn a_browser_that_lags_is_sent_a_new_snapshot() {
        let hub = hub();
        let mut messages = pin!(hub.subscribe().unwrap());
        assert!(matches!(messages.next().now_or_never(), Some(Some(Message::Snapshot(1, _)))));
        for at in 0..500 {
            frame(&hub, at);
        }
        let Some(Some(Message::Snapshot(sequence, json))) = messages.next().now_or_never() else {
            panic!("no snapshot")
        };
        assert_eq!(sequence, 501);
        assert!(json.contains(r#""workflows_done":499"#));
        assert!(messages.next().now_or_never().is_none(), "nothing is sent twice");
        frame(&hub, 500);
        assert!(matches!(messages.next().now_or_never(), Some(Some(Message::Change(502, _)))));
    }

    #[test]
    fn the_end_is_the_last_message() {
        let hub = hub();
        let mut messages = pin!(hub.subscribe().unwrap());
        messages.next().now_or_never();
        assert!(hub.apply(Update::Stop));
        assert!(matches!(messages.next().now_or_never(), Some(Some(Message::End))));
        assert!(matches!(messages.next().now_or_never(), Some(None)));
    }

    #[test]
    fn a_browser_that_lags_hears_of_the_end() {
        let hub = hub();
        let mut messages = pin!(hub.subscribe().unwrap());
        messages.next().now_or_never();
        for at in 0..500 {
            frame(&hub, at);
        }
        hub.apply(Update::Stop);
        assert!(matches!(messages.next().now_or_never(), Some(Some(Message::Snapshot(501, _)))));
        assert!(matches!(messages.next().now_or_never(), Some(Some(Message::End))));
        assert!(matches!(messages.next().now_or_never(), Some(None)));
    }

    #[test]
    fn browsers_are_bounded_and_leave_their_place() {
        let hub = hub();
        let all: Vec<_> = (0..MOST_BROWSERS).map(|_| hub.subscribe().unwrap()).collect();
        assert!(hub.subscribe().is_none());
        drop(all);
        assert!(hub.subscribe().is_some());
    }
}
