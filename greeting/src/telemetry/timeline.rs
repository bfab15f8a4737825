//! `/timeline`: what held the worker's thread, and when.

use std::time::{Duration, SystemTime};

use codec_kit::{Figures, LongPoll, polls_under_way};
use live_page::{Doing, Segment};
use serde::{Deserialize, Serialize};

use super::lag::LagProbe;

/// What held the worker's thread since some moment. Times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// When this was asked.
    pub now: f64,
    /// In no particular order. The probe finds the thread busy during the codec's polls as well. A segment that has
    /// not ended ends now, and comes again with the same start.
    pub segments: Vec<Segment>,
}

impl Timeline {
    /// What ended after `since`: the codec's polls of 1 ms and longer, and the times in which a task of the worker's
    /// runtime had to wait for 5 ms or longer.
    pub fn since(since: f64, probe: &LagProbe) -> Self {
        let since = SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(since).unwrap_or_default();
        let polls = Figures::in_use()
            .map_or_else(Vec::new, |figures| figures.long_polls_since(since))
            .into_iter()
            .chain(polls_under_way())
            .map(of_codec);
        let late = probe.late(since).into_iter().map(|(due, came)| Segment {
            from: seconds(due),
            to: seconds(came),
            doing: Doing::Busy,
        });
        Self { now: seconds(SystemTime::now()), segments: polls.chain(late).collect() }
    }
}

fn of_codec(poll: LongPoll) -> Segment {
    let doing = if poll.operation == "encode" { Doing::Encode } else { Doing::Decode };
    let from = seconds(poll.started);
    Segment { from, to: from + poll.lasted.as_secs_f64(), doing }
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_that_is_not_observed_stays_so() {
        let probe = LagProbe::register("timeline").unwrap();
        // Another test's codec may be polled at this moment, so this may have segments.
        Timeline::since(0.0, &probe);
        assert!(Figures::in_use().is_none());
        let families = prometheus::gather();
        assert!(families.iter().all(|family| !family.name().starts_with("codec_")));
    }
}
