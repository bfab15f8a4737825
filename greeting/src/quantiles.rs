//! p50, p95, p99 and maximum of many latencies.

use std::time::Duration;

use serde::Serialize;

/// Quantiles, in seconds, by the nearest-rank method: each is a measured latency.
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
        let mut sorted: Vec<_> = latencies.into_iter().collect();
        sorted.sort_unstable();
        let max = sorted.last()?.as_secs_f64();
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100) - 1].as_secs_f64();
        Some(Self { p50: at(50), p95: at(95), p99: at(99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_latencies_that_were_measured() {
        let of = |latencies: &[u64]| {
            let seconds = latencies.iter().copied().map(Duration::from_secs);
            Quantiles::of(seconds).map(|q| [q.p50, q.p95, q.p99, q.max])
        };
        let hundred: Vec<_> = (1..=100).rev().collect();
        assert_eq!(of(&hundred), Some([50., 95., 99., 100.]));
        assert_eq!(of(&[7]), Some([7.; 4]));
        assert_eq!(of(&[1, 2]), Some([1., 2., 2., 2.]));
        let twenty: Vec<_> = (1..=20).collect();
        assert_eq!(of(&twenty), Some([10., 19., 20., 20.]));
        assert_eq!(of(&[]), None);
    }
}
