//! Samples a worker twice a second while it works.

use std::net::SocketAddr;

use greeting::{
    sample::{Recent, Sample, Scraper},
    totals::Totals,
};

use super::{progress::Onlooker, result::LagSeconds};

/// What was sampled.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Two samples a second.
    pub samples: Vec<Sample>,
    /// The slowest answer, in seconds.
    pub slowest_scrape: f64,
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
        // What was before the work is not part of it.
        let mut samples = vec![worker.sample().await?];
        let mut take = |sample| {
            samples.push(sample);
            onlooker.sample(Recent::of(&samples));
        };
        // Side by side: a scrape that is slow to be answered must not hold up what is measured.
        let result = tokio::select! {
            result = work => result,
            never = worker.each(&mut take) => match never {},
        };
        // Once more, now that all is done: counts must be whole.
        take(worker.sample().await?);
        Ok((result, Self { samples, slowest_scrape: worker.slowest().as_secs_f64() }))
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
