//! `/timeline`: what held the worker's thread, and when.

use std::time::{Duration, SystemTime};

use codec_kit::{Figures, LongPoll, polls_under_way};
use serde::{Deserialize, Serialize};

use super::lag::LagProbe;

/// What held the worker's thread since some moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// When this was asked, in seconds since 1970.
    pub now: f64,
    /// In no particular order; those of the codec lie within others.
    pub stretches: Vec<Stretch>,
}

/// A stretch of time in which one thing held the thread. One that goes on ends now, and comes again with the same
/// start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// What held it.
    pub holder: Holder,
    /// When it began, in seconds since 1970.
    pub from: f64,
    /// When it ended, in seconds since 1970.
    pub to: f64,
}

/// What holds a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// A poll of the codec that encodes.
    Encode,
    /// A poll of the codec that decodes.
    Decode,
    /// Anything: the codec as well, where nothing observes it.
    Any,
}

impl Timeline {
    /// What ended after `since`, seconds since 1970: the codec's polls of 1 ms and longer, and the times in which a
    /// task of the worker's runtime had to wait for 5 ms or longer.
    pub fn since(since: f64, probe: &LagProbe) -> Self {
        let since = SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(since).unwrap_or_default();
        let polls = Figures::in_use().map_or_else(Vec::new, |figures| figures.long_polls());
        let polls = polls.into_iter().chain(polls_under_way());
        let polls = polls.filter(|poll| poll.started + poll.lasted > since).map(Stretch::from);
        let late = probe.late(since).into_iter().map(|(due, came)| Stretch {
            holder: Holder::Any,
            from: seconds(due),
            to: seconds(came),
        });
        Self { now: seconds(SystemTime::now()), stretches: polls.chain(late).collect() }
    }
}

impl From<LongPoll> for Stretch {
    fn from(poll: LongPoll) -> Self {
        let holder = if poll.operation == "encode" { Holder::Encode } else { Holder::Decode };
        let from = seconds(poll.started);
        Self { holder, from, to: from + poll.lasted.as_secs_f64() }
    }
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
        assert_eq!(Timeline::since(0.0, &probe).stretches, []);
        let families = prometheus::gather();
        assert!(families.iter().all(|family| !family.name().starts_with("codec_")));
    }
}
