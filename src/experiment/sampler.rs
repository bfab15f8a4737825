//! Samples a worker twice a second while it works.

use std::{convert::Infallible, net::SocketAddr};

use greeting::{
    sample::{SAMPLE_INTERVAL, Sample, Scraper},
    totals::Totals,
};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::progress::Onlooker;

/// What was sampled.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Two samples a second.
    pub samples: Vec<Sample>,
    /// The slowest answer, in seconds.
    pub slowest_scrape: f64,
}

/// The lag that the two probes saw, in seconds, at the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LagSeconds {
    /// The probe in the worker's own task.
    pub worker: f64,
    /// The probe beside it.
    pub beside: f64,
}

impl Samples {
    /// Samples for as long as `work` takes.
    ///
    /// # Errors
    /// When the worker does not answer at the end: without that, counts would be too small.
    pub async fn during<T>(
        metrics: SocketAddr,
        onlooker: &dyn Onlooker,
        work: impl Future<Output = T>,
    ) -> anyhow::Result<(T, Self)> {
        let mut worker = Scraper::new(metrics);
        let mut samples = Self::default();
        // What was before the work is not part of it.
        samples.scrape(&mut worker).await?;
        // Side by side: a scrape that is slow to be answered must not hold up what is measured.
        let result = tokio::select! {
            result = work => result,
            never = samples.sample(&mut worker, onlooker) => match never {},
        };
        // Once more, now that all is done: counts must be whole.
        samples.scrape(&mut worker).await?;
        samples.show(onlooker);
        Ok((result, samples))
    }

    async fn sample(&mut self, worker: &mut Scraper, onlooker: &dyn Onlooker) -> Infallible {
        // The first sample was just taken.
        let mut ticks = interval_at(Instant::now() + SAMPLE_INTERVAL, SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.scrape(worker).await {
                Ok(()) => self.show(onlooker),
                Err(error) => tracing::debug!(%error, "a scrape got no answer"),
            }
        }
    }

    async fn scrape(&mut self, worker: &mut Scraper) -> anyhow::Result<()> {
        let asked = Instant::now();
        let sample = worker.sample().await;
        self.slowest_scrape = self.slowest_scrape.max(asked.elapsed().as_secs_f64());
        self.samples.push(sample?);
        Ok(())
    }

    /// Shows the last sample; its activities are those of the work.
    fn show(&self, onlooker: &dyn Onlooker) {
        let before = self.samples.first().map_or(0, |first| first.activities);
        let last = self.last();
        onlooker.sample(&Sample { activities: last.activities - before, ..last });
    }

    /// What the calls to encode and to decode took in all, while it sampled; `None` if the codec is not
    /// observed.
    pub fn totals(&self) -> Option<[Totals; 2]> {
        let last = self.last();
        last.longest_poll?;
        let before = self.samples.first().cloned().unwrap_or_default();
        Some([last.encode.since(&before.encode), last.decode.since(&before.decode)])
    }

    /// The sample taken last.
    pub fn last(&self) -> Sample {
        self.samples.last().cloned().unwrap_or_default()
    }

    /// The most threads that any sample saw.
    pub fn peak_threads(&self) -> Option<u64> {
        self.samples.iter().filter_map(|sample| sample.threads).max()
    }

    /// The most memory that any sample saw, in bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        self.samples.iter().filter_map(|sample| sample.memory).max()
    }

    /// The longest lag of both probes.
    pub fn lag(&self) -> LagSeconds {
        let last = self.last();
        LagSeconds { worker: last.worker.longest, beside: last.beside.longest }
    }
}
