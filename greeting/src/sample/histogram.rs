//! A latency histogram of the SDK, as its metrics page has it.

use std::collections::BTreeMap;

/// How many latencies were at most as long as each bound: the bound in milliseconds, all label sets added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    /// Adds one line of the page: `le`, in milliseconds or `+Inf`, and its count.
    pub fn add(&mut self, le: &str, count: f64) {
        // The SDK's bounds are not all whole numbers.
        let bound = le.parse().map_or(f64::INFINITY, |ms: f64| ms * 1000.0);
        *self.0.entry(bound as u64).or_default() += count as u64;
    }

    /// What came after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bound| earlier.0.get(bound).copied().unwrap_or_default();
        let counts = self.0.iter();
        Self(counts.map(|(bound, count)| (*bound, count.saturating_sub(before(bound)))).collect())
    }

    /// The bound that so large a share of the latencies kept to, in seconds; `None` if there were none, or if they
    /// were longer than the last bound.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all = *self.0.values().next_back().filter(|all| **all > 0)?;
        let (bound, _) = self.0.iter().find(|(_, count)| **count as f64 >= share * all as f64)?;
        (*bound != u64::MAX).then(|| *bound as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_of_what_came_since() {
        let mut earlier = Histogram::default();
        assert_eq!(earlier.quantile(0.95), None);
        for (le, count) in [("1.5", 10.0), ("5000", 10.0), ("+Inf", 10.0)] {
            earlier.add(le, count);
        }
        assert_eq!(earlier.quantile(0.95), Some(0.0015));
        let mut now = earlier.clone();
        // Of another label set.
        for (le, count) in [("1.5", 1.0), ("5000", 10.0), ("+Inf", 10.0)] {
            now.add(le, count);
        }
        assert_eq!(now.since(&earlier).quantile(0.95), Some(5.0));
        assert_eq!(now.since(&earlier).quantile(0.5), Some(5.0));
        assert_eq!(now.since(&earlier).quantile(0.1), Some(0.0015));
        now.add("+Inf", 1000.0);
        assert_eq!(now.quantile(0.95), None, "longer than the last bound");
        assert_eq!(now.since(&now).quantile(0.95), None, "none came");
    }
}
