//! A worker on a live page.

use std::net::SocketAddr;

use live_page::{Doing, Frame, LivePage, Segment};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    sample::{Recent, SAMPLE_INTERVAL, Sample, Scraper},
    telemetry::{Holder, Stretch},
};

/// Shows the worker that serves its metrics at `metrics`, forever. To be run beside the worker, not on its runtime.
pub async fn follow(page: LivePage, name: String, metrics: SocketAddr) {
    let run = page.start(&name, 0);
    let mut worker = Scraper::new(metrics);
    let mut recent = Recent::default();
    let mut ticks = interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match worker.sample().await {
            Ok(sample) => {
                recent.push(&sample);
                run.push(frame(&sample, &recent, sample.completed as u32));
            }
            Err(error) => tracing::debug!(%error, "the live page has no sample"),
        }
    }
}

/// What the page shows of a sample, with so many workflows done. `recent` ends with this sample.
pub fn frame(sample: &Sample, recent: &Recent, workflows_done: u32) -> Frame {
    let count = |count: f64| count as u32;
    Frame {
        at: sample.at.as_secs_f64(),
        workflows_done,
        activities_done: sample.activities,
        codec_measured: sample.longest_poll.is_some(),
        thread: sample.thread.iter().copied().map(segment).collect(),
        lag_worker: recent.lag(),
        lag_beside: Some(sample.beside.current),
        schedule_to_start_p95: recent.schedule_to_start(0.95),
        end_to_end_p95: recent.end_to_end(0.95),
        calls_in_flight: sample.calls_in_flight.map(count),
        blocking_threads: sample.blocking_threads.map(count),
        not_found: sample.not_found,
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
