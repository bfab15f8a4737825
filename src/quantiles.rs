//! p50, p95, p99 and maximum of a lot of latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Quantiles, in seconds, exact to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// Half of all are at most this.
    pub p50: f64,
    /// 95 of 100 are at most this.
    pub p95: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// All are at most this.
    pub max: f64,
}

impl Quantiles {
    /// The quantiles of `latencies`, or `None` if there are none.
    pub fn of(latencies: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut microseconds = Histogram::<u64>::new(3).expect("3 digits are allowed");
        for latency in latencies {
            let latency = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            microseconds.record(latency).expect("a histogram made by `new` grows as it must");
        }
        let seconds = |microseconds: u64| microseconds as f64 / 1e6;
        let at = |quantile| seconds(microseconds.value_at_quantile(quantile));
        (!microseconds.is_empty()).then(|| Self {
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: seconds(microseconds.max()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_one_to_a_hundred_seconds() {
        let found = Quantiles::of((1..=100).map(Duration::from_secs)).unwrap();
        let near = |a: f64, b: f64| (a / b - 1.0).abs() < 0.002;
        assert!(near(found.p50, 50.0) && near(found.p95, 95.0), "{found:?}");
        assert!(near(found.p99, 99.0) && near(found.max, 100.0), "{found:?}");
        assert_eq!(Quantiles::of([]), None);
    }
}
