//! The last seconds of a run: what its latest samples say together.

use std::{collections::VecDeque, fmt, time::Duration};

use super::page::Sample;
use crate::telemetry::TICK;

/// How far back it looks.
const SPAN: Duration = Duration::from_secs(10);

/// The samples of the last ten seconds.
#[derive(Clone, Debug, Default)]
pub struct Recent(VecDeque<Sample>);

impl Recent {
    /// One more sample; those that are too old go.
    pub fn push(&mut self, sample: &Sample) {
        self.0.push_back(sample.clone());
        while self.0.front().is_some_and(|first| first.at + SPAN < sample.at) {
            self.0.pop_front();
        }
    }

    /// The latest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.0.back()
    }

    /// The share of this time for which the codec blocked the thread, 0 to 1; `None` if it is not observed. A
    /// call counts once it has returned.
    pub fn blocked(&self) -> Option<f64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        last.longest_poll?;
        let seconds = (last.at - first.at).as_secs_f64();
        (seconds > 0.0).then(|| ((last.blocked() - first.blocked()) / seconds).min(1.0))
    }

    /// The mean lag of the worker's task since the sample before, in seconds.
    pub fn lag(&self) -> Option<f64> {
        let mut last = self.0.iter().rev();
        let now = last.next()?;
        Some(now.lag_since(last.next()?))
    }

    /// That quantile of the workflow tasks' schedule-to-start latency in this time, in seconds.
    pub fn schedule_to_start(&self, quantile: f64) -> Option<f64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        last.schedule_to_start.since(&first.schedule_to_start).quantile(quantile)
    }

    /// That quantile of the workflows' end-to-end latency in this time, in seconds.
    pub fn end_to_end(&self, quantile: f64) -> Option<f64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        last.end_to_end.since(&first.end_to_end).quantile(quantile)
    }

    /// For each interval between two samples: the share of it in which a task of the worker's runtime could
    /// not run, 0 to 1. The codec may have blocked the thread, or it ran something else.
    pub fn busy(&self) -> impl Iterator<Item = f64> {
        self.0.iter().zip(self.0.iter().skip(1)).map(|(before, now)| {
            let seconds = (now.at - before.at).as_secs_f64();
            let ticks = now.beside.count - before.beside.count;
            (1.0 - ticks * TICK.as_secs_f64() / seconds).clamp(0.0, 1.0)
        })
    }
}

/// What moves, as in "412 activities done, thread blocked 96%, lag 3.2 s, 12 answered too late".
impl fmt::Display for Recent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(last) = self.last() else { return Ok(()) };
        write!(f, "{} activities done", last.activities)?;
        if let Some(blocked) = self.blocked() {
            write!(f, ", thread blocked {:.0}%", blocked * 100.0)?;
        }
        write!(f, ", lag {:.1} s", last.worker.current)?;
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
        let mut recent = Recent::default();
        assert_eq!((recent.blocked(), recent.to_string()), (None, String::new()));
        recent.push(&sample(0.0, 0.0, 0.0));
        recent.push(&sample(0.5, 0.4, 10.0));
        assert_eq!(recent.blocked(), Some(0.8));
        let busy: Vec<_> = recent.busy().map(|share| (share * 100.0).round()).collect();
        assert_eq!(busy, [80.0]);
        assert_eq!(recent.to_string(), "7 activities done, thread blocked 80%, lag 0.0 s");

        recent.push(&sample(11.0, 0.4, 1060.0));
        assert_eq!(recent.busy().last(), None, "the others are too old");
    }

    #[test]
    fn what_is_not_observed_has_no_share() {
        let mut recent = Recent::default();
        for at in [0.0, 1.0] {
            recent.push(&Sample { longest_poll: None, not_found: 3, ..sample(at, 0.0, 0.0) });
        }
        assert_eq!(recent.blocked(), None);
        assert_eq!(recent.to_string(), "7 activities done, lag 0.0 s, 3 answered too late");
    }
}
