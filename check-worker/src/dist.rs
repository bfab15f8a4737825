//! The measurements of a duration between two moments.

/// A histogram or summary, as a difference. Durations are in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dist {
    /// How many.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// How many took at most so long: upper bound and cumulative count, ascending, without +Inf.
    pub buckets: Vec<(f64, f64)>,
}

impl Dist {
    /// The mean; 0 if nothing was measured.
    pub fn mean(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    /// How many took longer than the largest bound. Nothing more is known about them.
    pub fn above(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, below)| (self.count - below).max(0.0))
    }

    /// The share that took at most `seconds`, by the largest bound that is not above it; `None` if no
    /// bound is near enough to tell.
    pub fn share_within(&self, seconds: f64) -> Option<f64> {
        let (bound, within) = self.buckets.iter().rfind(|(bound, _)| *bound <= seconds * 1.001)?;
        (self.count > 0.0 && *bound >= seconds / 3.0).then(|| (within / self.count).min(1.0))
    }

    /// The share that took longer than `seconds`, by the smallest bound that is not below it.
    pub fn share_beyond(&self, seconds: f64) -> Option<f64> {
        let (bound, within) = self.buckets.iter().find(|(bound, _)| *bound >= seconds * 0.999)?;
        (self.count > 0.0 && *bound <= seconds * 3.0).then(|| (1.0 - within / self.count).max(0.0))
    }

    /// The bounds of the bucket that a quantile is in; the upper one is infinite above the last. A
    /// place inside a bucket is never guessed.
    pub fn quantile(&self, q: f64) -> Option<(f64, f64)> {
        if self.count <= 0.0 || self.buckets.is_empty() {
            return None;
        }
        let mut below = 0.0;
        for (bound, within) in &self.buckets {
            if *within >= q * self.count {
                return Some((below, *bound));
            }
            below = *bound;
        }
        Some((below, f64::INFINITY))
    }

    /// The narrowest run of at most two buckets next to each other that holds `share` of all; both of
    /// them finite.
    pub fn narrow(&self, share: f64) -> Option<(f64, f64)> {
        let at = |index: usize| match index {
            0 => (0.0, 0.0),
            index => self.buckets[index - 1],
        };
        (1..=2).find_map(|width| {
            (0..(self.buckets.len() + 1).saturating_sub(width)).find_map(|low| {
                let ((from, below), (to, within)) = (at(low), at(low + width));
                (self.count > 0.0 && within - below >= share * self.count).then_some((from, to))
            })
        })
    }

    /// Whether the smallest bound is too large to say anything about short durations.
    pub fn is_coarse(&self) -> bool {
        self.buckets.iter().find(|(bound, _)| *bound > 0.0).is_some_and(|(bound, _)| *bound >= 2.0)
    }

    /// Adds another one. Where the bounds differ, those that both have stay.
    pub fn add(&mut self, other: &Self) {
        if self.count == 0.0 && self.buckets.is_empty() {
            *self = other.clone();
            return;
        }
        self.count += other.count;
        self.sum += other.sum;
        let theirs = |bound: f64| other.buckets.iter().find(|(b, _)| *b == bound).map(|(_, n)| *n);
        self.buckets = self
            .buckets
            .iter()
            .filter_map(|(bound, within)| Some((*bound, within + theirs(*bound)?)))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dist() -> Dist {
        Dist { count: 10.0, sum: 12.0, buckets: vec![(0.05, 2.0), (0.1, 4.0), (1.0, 8.0)] }
    }

    #[test]
    fn shares_and_quantiles_are_those_of_whole_buckets() {
        let dist = dist();
        assert_eq!(dist.mean(), 1.2);
        assert_eq!(dist.above(), 2.0);
        assert_eq!(dist.share_within(0.1), Some(0.4));
        assert_eq!(dist.share_within(0.04), None);
        assert_eq!(dist.share_within(10.0), None);
        assert!((dist.share_beyond(0.06).unwrap() - 0.6).abs() < 1e-9);
        assert_eq!(dist.quantile(0.5), Some((0.1, 1.0)));
        assert_eq!(dist.quantile(0.95), Some((1.0, f64::INFINITY)));
        assert_eq!(Dist::default().quantile(0.5), None);
    }

    #[test]
    fn a_narrow_run_of_buckets() {
        let narrow =
            Dist { count: 10.0, sum: 4.0, buckets: vec![(0.1, 0.0), (0.5, 10.0), (1.0, 10.0)] };
        assert_eq!(narrow.narrow(0.95), Some((0.1, 0.5)));
        assert_eq!(dist().narrow(0.95), None);
    }

    #[test]
    fn adding_keeps_the_bounds_of_both() {
        let mut sum = Dist::default();
        sum.add(&dist());
        sum.add(&Dist { count: 1.0, sum: 1.0, buckets: vec![(0.05, 1.0), (1.0, 1.0)] });
        assert_eq!((sum.count, sum.buckets), (11.0, vec![(0.05, 3.0), (1.0, 9.0)]));
    }
}
