//! The total time of the codec's calls, on one line.

use std::fmt;

use codec_kit::{CallFigures, Figures};
use indicatif::HumanCount;
use serde::{Deserialize, Serialize};

/// The calls of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Calls that returned.
    pub calls: u64,
    /// Seconds from start to result, all calls added up.
    pub call_seconds: f64,
    /// Seconds of each call's longest poll, all calls added up: the time during which a thread was blocked.
    pub blocking_seconds: f64,
}

impl Totals {
    /// The share of the calls' time that blocked a thread, 0 to 1.
    pub fn blocking_share(&self) -> f64 {
        if self.call_seconds > 0.0 { self.blocking_seconds / self.call_seconds } else { 0.0 }
    }

    /// The difference since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(earlier.calls),
            call_seconds: (self.call_seconds - earlier.call_seconds).max(0.0),
            blocking_seconds: (self.blocking_seconds - earlier.blocking_seconds).max(0.0),
        }
    }
}

impl From<CallFigures> for Totals {
    fn from(figures: CallFigures) -> Self {
        Self {
            calls: figures.calls,
            call_seconds: figures.wall_total.as_secs_f64(),
            blocking_seconds: figures.poll_total.as_secs_f64(),
        }
    }
}

/// As in "1,050 calls, 45.3 s in calls, 45.3 s blocking the thread (100%)".
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, call_seconds, blocking_seconds } = self;
        write!(
            f,
            "{} calls, {call_seconds:.1} s in calls, {blocking_seconds:.1} s blocking the thread \
             ({:.0}%)",
            HumanCount(*calls),
            self.blocking_share() * 100.0
        )
    }
}

/// One line for each operation.
pub fn lines([encode, decode]: [Totals; 2]) -> [String; 2] {
    [format!("encode: {encode}"), format!("decode: {decode}")]
}

/// The totals of all codecs in this process that [`Observed::new`](codec_kit::Observed::new) observes; `None`
/// if there is no such codec.
pub fn of_this_process() -> Option<[Totals; 2]> {
    let figures = Figures::in_use()?;
    let both = [figures.encode(), figures.decode()].map(Totals::from);
    both.iter().any(|operation| operation.calls > 0).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lesson_is_one_line() {
        let totals = Totals { calls: 1050, call_seconds: 45.31, blocking_seconds: 45.3 };
        assert_eq!(
            totals.to_string(),
            "1,050 calls, 45.3 s in calls, 45.3 s blocking the thread (100%)"
        );
        let nothing = Totals::default().to_string();
        assert_eq!(nothing, "0 calls, 0.0 s in calls, 0.0 s blocking the thread (0%)");
    }
}
