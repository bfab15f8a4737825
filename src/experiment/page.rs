//! The live page of a command: each run on it, beside what the terminal shows.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use clap::Args;
use cli_kit::{exit::Failure, term::note};
use greeting::{
    load::Event,
    telemetry::{Holder, Stretch},
};
use live_page::{Doing, Frame, LivePage, RunHandle, Segment};

use super::{
    progress::Onlooker,
    recent::Recent,
    result::{Run, Workflows},
    sampler::Sample,
    scenario::Scenario,
};

/// The flags of a command that has a live page.
#[derive(Clone, Debug, Args)]
pub struct LiveArgs {
    /// Where to serve the live page; port 0: a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))]
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
        if self.open
            && let Err(error) = open::that_detached(page.url())
        {
            note(format!("no browser could be started ({error}): open that address yourself"));
        }
        Ok(page)
    }
}

/// A run on the page, and another view of it.
pub struct OnPage<'a> {
    also: &'a dyn Onlooker,
    run: RunHandle,
    done: AtomicU32,
    recent: Mutex<Recent>,
}

impl<'a> OnPage<'a> {
    /// Shows that a run starts.
    pub fn new(page: &LivePage, name: &str, scenario: &Scenario, also: &'a dyn Onlooker) -> Self {
        let run = page.start(name, scenario.load.workflows);
        Self { also, run, done: AtomicU32::new(0), recent: Mutex::default() }
    }

    /// Shows how it ended.
    pub fn finish(self, run: &Run) {
        let Workflows { started, completed, .. } = run.workflows;
        let end = if run.cut_off { "cut off after" } else { "in" };
        self.run.finish(&format!(
            "{completed} of {started} workflows completed {end} {:.1} s.",
            run.wall_seconds
        ));
    }

    fn frame(&self, sample: &Sample) -> Frame {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push(sample);
        let counted = |count: f64| count as u32;
        Frame {
            at: sample.at.as_secs_f64(),
            workflows_done: self.done.load(Relaxed),
            activities_done: sample.activities,
            codec_measured: sample.longest_poll.is_some(),
            thread: sample.thread.iter().copied().map(segment).collect(),
            lag_worker: recent.lag(),
            lag_beside: Some(sample.beside.current),
            schedule_to_start_p95: recent.schedule_to_start(0.95),
            end_to_end_p95: recent.end_to_end(0.95),
            calls_in_flight: sample.calls_in_flight.map(counted),
            blocking_threads: sample.blocking_threads.map(counted),
            not_found: sample.not_found,
        }
    }
}

fn segment(Stretch { holder, from, to }: Stretch) -> Segment {
    let doing = match holder {
        Holder::Encode => Doing::Encode,
        Holder::Decode => Doing::Decode,
        Holder::Any => Doing::Busy,
    };
    Segment { from, to, doing }
}

impl Onlooker for OnPage<'_> {
    fn event(&self, event: Event<'_>) {
        self.done.fetch_add(u32::from(event.is_last()), Relaxed);
        self.also.event(event);
    }

    fn sample(&self, sample: &Sample) {
        self.run.push(self.frame(sample));
        self.also.sample(sample);
    }
}
