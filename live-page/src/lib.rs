//! The live page: a picture of a worker's thread and of the work that waits for it, while a command runs.
//!
//! A command serves the page with [`LivePage::serve`], calls [`LivePage::start`] for each run, and pushes a
//! [`Frame`] at least twice a second. The page answers on this machine only, from a thread of its own.
//!
//! | module | |
//! |---|---|
//! | `frame` | what a command reports: [`Frame`], [`Segment`], [`Doing`] |
//! | `history` | what the page remembers, within limits |
//! | `hub` | hands each browser a snapshot and then every change |
//! | `server` | HTTP: the routes, the headers, who may ask |
//! | `assets` | the page's own files, and uPlot |
//!
//! The page itself is hand-written, in `src/page/`.
//!
//! # Memory
//! The history keeps 16 runs. Each keeps at most 2,400 frames, 20 minutes at two a second, and 10,000 segments
//! of the thread's timeline. When there are more frames, every two neighbours in the older half become one.
//! When there are more segments, the oldest are dropped. A run takes at most 0.6 MB, the whole history 9 MB. A
//! browser that reads slowly costs one snapshot and at most 64 changes; there are at most 20 browsers.

mod assets;
mod frame;
mod history;
mod hub;
mod server;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio::{runtime, sync::mpsc};

pub use crate::frame::{Doing, Frame, Segment};
use crate::hub::Update;

/// Updates that may wait for the page's thread. At two frames a second it never has more than a few.
const WAITING: usize = 1024;
/// Places among these that frames leave free, so that a start or a finish always finds one.
const RESERVED: usize = 64;

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The address is not one of this machine only.
    #[error(
        "the live page is for this machine only: {0} is not a loopback address. Use 127.0.0.1:{port}",
        port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// The address can't be bound.
    #[error("the live page cannot listen at {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Its thread or its runtime can't be started.
    #[error("the live page's server does not start: {0}")]
    Start(#[source] std::io::Error),
}

/// The page of one command. Clones are the same page; it is served until the last one is dropped.
#[derive(Clone, Debug)]
pub struct LivePage(Arc<Server>);

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    updates: mpsc::Sender<Update>,
    runs: AtomicU64,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LivePage {
    /// Binds `address`, where port 0 is a free port, and serves the page there. The server has a thread and a
    /// runtime of its own, so it answers whatever its caller's threads do.
    ///
    /// # Errors
    /// When `address` is not a loopback address, or is in use.
    pub fn serve(address: SocketAddr, heading: &str) -> Result<Self, LiveError> {
        if !address.ip().is_loopback() {
            return Err(LiveError::NotLoopback(address));
        }
        let bound = |error| LiveError::Bind { address, error };
        let listener = TcpListener::bind(address).map_err(bound)?;
        listener.set_nonblocking(true).map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LiveError::Start)?;
        let (updates, received) = mpsc::channel(WAITING);
        let heading = heading.to_owned();
        let thread = thread::Builder::new()
            .name("live-page".to_owned())
            .spawn(move || runtime.block_on(server::run(listener, heading, received)))
            .map_err(LiveError::Start)?;
        let (runs, thread) = (AtomicU64::new(0), Mutex::new(Some(thread)));
        Ok(Self(Arc::new(Server { address, updates, runs, thread })))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// What to open in a browser.
    pub fn url(&self) -> String {
        format!("http://{}/", self.0.address)
    }

    /// A new run begins, of the codec or worker that `name` says. The page shows it beside the earlier ones.
    /// `workflows` is how many it will run; 0 if that is not known.
    pub fn start(&self, name: &str, workflows: u32) -> RunHandle {
        let run = self.0.runs.fetch_add(1, Ordering::Relaxed);
        let updates = self.0.updates.clone();
        let start = Update::Start { run, name: name.to_owned(), workflows };
        // Only fails once the server has stopped.
        let _ = updates.try_send(start);
        RunHandle { run, updates, finished: AtomicBool::new(false) }
    }

    /// Tells every browser that the command is over, and stops the server. Takes a second at most. The same
    /// happens when the last clone is dropped.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Server {
    fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = self.updates.try_send(Update::Stop);
            // It only panics if the process has no memory left; the command matters more than its page.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One run on the page. A run whose handle is dropped before [`RunHandle::finish`] is shown as stopped
/// without a result.
#[derive(Debug)]
pub struct RunHandle {
    run: u64,
    updates: mpsc::Sender<Update>,
    finished: AtomicBool,
}

impl RunHandle {
    /// Shows a frame. Returns at once and never waits, so it may be called on the very thread that is
    /// measured. A frame is dropped while a thousand others wait for the page's thread.
    pub fn push(&self, frame: Frame) {
        if self.updates.capacity() > RESERVED {
            let _ = self.updates.try_send(Update::Frame { run: self.run, frame });
        }
    }

    /// The run is finished; `outcome` says how, in a sentence. Only the first call counts.
    pub fn finish(&self, outcome: &str) {
        if !self.finished.swap(true, Ordering::Relaxed) {
            let outcome = outcome.to_owned();
            let _ = self.updates.try_send(Update::Finish { run: self.run, outcome });
        }
    }
}

impl Drop for RunHandle {
    fn drop(&mut self) {
        self.finish("Stopped without a result.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_served() {
        for address in ["0.0.0.0:0", "192.0.2.7:8088", "[::]:0", "[2001:db8::1]:80"] {
            let error = LivePage::serve(address.parse().unwrap(), "x").unwrap_err();
            assert!(error.to_string().contains("is not a loopback address"), "{error}");
        }
        let page = LivePage::serve("127.0.0.1:0".parse().unwrap(), "x").unwrap();
        assert_ne!(page.address().port(), 0);
        assert_eq!(page.url(), format!("http://127.0.0.1:{}/", page.address().port()));
    }

    #[test]
    fn a_port_in_use_is_an_error_that_names_it() {
        let page = LivePage::serve("127.0.0.1:0".parse().unwrap(), "x").unwrap();
        let error = LivePage::serve(page.address(), "x").unwrap_err();
        assert!(error.to_string().contains(&page.address().to_string()), "{error}");
    }

    #[test]
    fn a_full_queue_drops_frames_and_keeps_the_finish() {
        let (updates, mut received) = mpsc::channel(RESERVED + 2);
        let run = RunHandle { run: 0, updates, finished: AtomicBool::new(false) };
        for _ in 0..10 {
            run.push(Frame::default());
        }
        run.finish("done");
        drop(run);
        let mut kinds = Vec::new();
        while let Ok(update) = received.try_recv() {
            kinds.push(matches!(update, Update::Finish { .. }));
        }
        assert_eq!(kinds, [false, false, true]);
    }
}
