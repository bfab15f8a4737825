//! What a worker's pages say at one moment, and over the last seconds.

mod histogram;
mod page;
mod recent;

pub use histogram::Histogram;
pub use page::{Lag, SAMPLE_INTERVAL, Sample, Scraper};
pub use recent::Recent;
