//! The last seconds of a run: what its latest samples say together.

use std::{fmt, time::Duration};

use super::page::Sample;
use crate::telemetry::TICK;

/// How far back it looks.
const SPAN: Duration = Duration::from_secs(10);

/// The samples of the last ten seconds.
#[derive(Clone, Copy, Debug)]
pub struct Recent<'a>(&'a [Sample]);

impl<'a> Recent<'a> {
    /// Of all samples, those that are recent when the last one was taken.
    pub fn of(all: &'a [Sample]) -> Self {
        let is_old = |sample: &Sample| all.last().is_some_and(|last| sample.at + SPAN < last.at);
        Self(&all[all.partition_point(is_old)..])
    }

    /// The samples, the latest one last.
    pub fn samples(self) -> &'a [Sample] {
        self.0
    }

    /// The latest sample.
    pub fn last(self) -> Option<&'a Sample> {
        self.0.last()
    }

    fn first_and_last(self) -> Option<(&'a Sample, &'a Sample)> {
        Some((self.0.first()?, self.0.last()?))
    }

    /// The share of this time for which the codec blocked the thread, 0 to 1; `None` if it is not observed. A
    /// call counts once it has returned.
    pub fn blocked(self) -> Option<f64> {
        let (first, last) = self.first_and_last()?;
        last.longest_poll?;
        let seconds = (last.at - first.at).as_secs_f64();
        (seconds > 0.0).then(|| ((last.blocked() - first.blocked()) / seconds).min(1.0))
    }

    /// The mean lag of the worker's task since the sample before, in seconds.
    pub fn lag(self) -> Option<f64> {
        let [.., before, now] = self.0 else { return None };
        Some(now.lag_since(before))
    }

    /// The highest of these in this time. A single sample may fall between two stalls.
    pub fn highest_lag(self) -> f64 {
        self.0.windows(2).map(|pair| pair[1].lag_since(&pair[0])).fold(0.0, f64::max)
    }

    /// That quantile of the workflow tasks' schedule-to-start latency in this time, in seconds.
    pub fn schedule_to_start(self, quantile: f64) -> Option<f64> {
        let (first, last) = self.first_and_last()?;
        last.schedule_to_start.since(&first.schedule_to_start).quantile(quantile)
    }

    /// That quantile of the workflows' end-to-end latency in this time, in seconds.
    pub fn end_to_end(self, quantile: f64) -> Option<f64> {
        let (first, last) = self.first_and_last()?;
        last.end_to_end.since(&first.end_to_end).quantile(quantile)
    }

    /// For each interval between two samples: the share of it in which a task of the worker's runtime could
    /// not run, 0 to 1. The codec may have blocked the thread, or it ran something else.
    pub fn busy(self) -> impl Iterator<Item = f64> + use<'a> {
        self.0.windows(2).map(|pair| {
            let (before, now) = (&pair[0], &pair[1]);
            let seconds = (now.at - before.at).as_secs_f64();
            let ticks = now.beside.count - before.beside.count;
            (1.0 - ticks * TICK.as_secs_f64() / seconds).clamp(0.0, 1.0)
        })
    }
}

/// What moves, as in "412 activities done, thread blocked 96%, lag up to 3.2 s, 12 answered too late".
impl fmt::Display for Recent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.last() else { return Ok(()) };
        write!(f, "{} activities done", last.activities)?;
        if let Some(blocked) = self.blocked() {
            write!(f, ", thread blocked {:.0}%", blocked * 100.0)?;
        }
        write!(f, ", lag up to {:.1} s", self.highest_lag())?;
        match last.not_found {
            0 => Ok(()),
            late => write!(f, ", {late} answered too late"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sample::Lag, totals::Totals};

    fn sample(at: f64, blocking_seconds: f64, ticks: f64) -> Sample {
        Sample {
            at: Duration::from_secs_f64(at),
            longest_poll: Some(0.4),
            encode: Totals { blocking_seconds, ..Totals::default() },
            beside: Lag { count: ticks, ..Lag::default() },
            activities: 7,
            ..Sample::default()
        }
    }

    #[test]
    fn it_looks_back_for_ten_seconds() {
        let nothing = Recent::of(&[]);
        assert_eq!((nothing.blocked(), nothing.to_string()), (None, String::new()));
        let mut samples = vec![sample(0.0, 0.0, 0.0), sample(0.5, 0.4, 10.0)];
        let recent = Recent::of(&samples);
        assert_eq!(recent.blocked(), Some(0.8));
        let busy: Vec<_> = recent.busy().map(|share| (share * 100.0).round()).collect();
        assert_eq!(busy, [80.0]);
        assert_eq!(recent.to_string(), "7 activities done, thread blocked 80%, lag up to 0.0 s");

        // One stall, and then a sample between two.
        let worker = Lag { sum: 6.0, count: 10.0, ..Lag::default() };
        samples.extend([1.0, 1.5].map(|at| Sample { worker, ..sample(at, 0.4, 10.0) }));
        assert_eq!(Recent::of(&samples).highest_lag(), 0.6);
        samples.truncate(2);

        samples.push(sample(11.0, 0.4, 1060.0));
        assert_eq!(Recent::of(&samples).busy().last(), None, "the others are too old");
    }

    #[test]
    fn what_is_not_observed_has_no_share() {
        let samples = [0.0, 1.0].map(|at| Sample {
            longest_poll: None,
            not_found: 3,
            ..sample(at, 0.0, 0.0)
        });
        let recent = Recent::of(&samples);
        assert_eq!(recent.blocked(), None);
        assert_eq!(recent.to_string(), "7 activities done, lag up to 0.0 s, 3 answered too late");
    }
}
