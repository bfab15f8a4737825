//! A page at a moment: as it was read, or why it was not.

use crate::exposition::{NotMetrics, Page};

/// A page as it was read, or why it was not.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// When it was asked for, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
    /// The page, or what came instead.
    pub page: Result<Page, Trouble>,
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The address cannot be reached.
    #[error("{0}")]
    NoAnswer(String),
    /// The answer came too late.
    #[error("no answer within {0} s")]
    TooSlow(u64),
    /// The answer has another status than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The answer is no page of metrics.
    #[error(transparent)]
    NotMetrics(#[from] NotMetrics),
    /// The answer is too large.
    #[error("the page is larger than {0} MiB")]
    TooLarge(u64),
}
