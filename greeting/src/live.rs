//! A worker on a live page.

use std::net::SocketAddr;

use live_page::{Frame, LivePage};

use crate::sample::{Recent, Scraper};

/// Shows the worker that serves its metrics at `metrics`, forever. To be run beside the worker, not on its runtime.
pub async fn follow(page: LivePage, name: String, metrics: SocketAddr) {
    let run = page.start(&name, 0);
    let mut samples = Vec::new();
    let show = |sample| {
        samples.push(sample);
        let recent = Recent::of(&samples);
        run.push(frame(recent, recent.last().map_or(0, |last| last.completed as u32)));
        let old = samples.len() - recent.samples().len();
        samples.drain(..old);
    };
    match Scraper::new(metrics).each(show).await {}
}

/// What the page shows of the latest sample, with so many workflows done.
pub fn frame(recent: Recent<'_>, workflows_done: u32) -> Frame {
    let Some(last) = recent.last() else { return Frame::default() };
    let count = |count: f64| count as u32;
    Frame {
        at: last.at.as_secs_f64(),
        workflows_done,
        activities_done: last.activities,
        codec_measured: last.longest_poll.is_some(),
        thread: last.thread.clone(),
        lag_worker: recent.lag(),
        lag_beside: Some(last.beside.current),
        schedule_to_start_p95: recent.schedule_to_start(0.95),
        end_to_end_p95: recent.end_to_end(0.95),
        calls_in_flight: last.calls_in_flight.map(count),
        blocking_threads: last.blocking_threads.map(count),
        not_found: last.not_found,
    }
}
