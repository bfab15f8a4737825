//! The live page of a command: each run on it, beside what the terminal shows.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use clap::Args;
use cli_kit::{exit::Failure, host, term::note};
use greeting::{live::frame, load::Event, sample::Recent};
use live_page::{Frame, LivePage, RunHandle};

use super::{progress::Onlooker, result::Run, scenario::Scenario};

/// The flags of a command that has a live page.
#[derive(Clone, Debug, Args)]
pub struct LiveArgs {
    /// Where to serve the live page; port 0: a free one
    #[arg(
        long,
        value_name = "IP:PORT",
        value_parser = host::address,
        default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    )]
    live: SocketAddr,
    /// Open the live page in a browser
    #[arg(long)]
    open: bool,
}

impl LiveArgs {
    /// Serves the page, and prints where.
    ///
    /// # Errors
    /// When the address is in use, or is not a loopback address.
    pub fn serve(&self, heading: &str) -> anyhow::Result<LivePage> {
        let page = LivePage::serve(self.live, heading)
            .map_err(|error| Failure::usage(format!("{error}; choose another --live")))?;
        note(format!("Live page: {}", page.url()));
        if self.open && open::that_detached(page.url()).is_err() {
            note("no browser could be started: open that address yourself");
        }
        Ok(page)
    }
}

/// A run on the page, and another view of it.
pub struct OnPage<'a> {
    also: &'a dyn Onlooker,
    run: RunHandle,
    done: AtomicU32,
    last: Mutex<Frame>,
}

impl<'a> OnPage<'a> {
    /// Shows that a run starts.
    pub fn new(page: &LivePage, name: &str, scenario: &Scenario, also: &'a dyn Onlooker) -> Self {
        let run = page.start(name, scenario.load.workflows);
        Self { also, run, done: AtomicU32::new(0), last: Mutex::default() }
    }

    /// Shows how it ended.
    pub fn finish(self, run: &Run) {
        // Where all workflows end together, they have done so since the last sample.
        let last = self.last.into_inner().unwrap_or_else(PoisonError::into_inner);
        let workflows_done = self.done.load(Relaxed);
        self.run.push(Frame { workflows_done, thread: Vec::new(), ..last });
        self.run.finish(&format!("{}.", run.outcome()));
    }
}

impl Onlooker for OnPage<'_> {
    fn event(&self, event: Event<'_>) {
        self.done.fetch_add(u32::from(event.is_last()), Relaxed);
        self.also.event(event);
    }

    fn sample(&self, recent: Recent<'_>) {
        let frame = frame(recent, self.done.load(Relaxed));
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&frame);
        self.run.push(frame);
        self.also.sample(recent);
    }

    fn say(&self, what: &str) {
        self.also.say(what);
    }
}
