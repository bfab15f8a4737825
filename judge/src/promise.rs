//! What a promise is, and how it is checked. The promises themselves are in [`promises`](crate::promises).

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use solutions::Step;

use crate::{
    fault::Kind,
    measure::{self, JudgeError, Operation},
    stage::Subject,
};

/// Long, compared with what else a busy machine does to a thread.
pub(crate) const STALL: Duration = Duration::from_millis(200);
/// Concurrent calls.
pub(crate) const AT_ONCE: usize = 12;
/// Concurrent calls where each may have to take its turn.
pub(crate) const FEW_AT_ONCE: usize = 6;
/// A codec that misbehaves once in a hundred calls does so in this many.
pub(crate) const RARE: usize = 300;
/// Concurrent stalls overlap if they take less than this many one after another.
pub(crate) const TOGETHER: f64 = 2.5;
/// How many more threads many stalls may need than one stall, and how many requests may continue after many
/// calls were cancelled: something created once may serve all calls.
pub(crate) const SHARED: usize = 2;

/// A thing that a codec promises.
pub struct Promise {
    /// Its name in JSON.
    pub name: &'static str,
    /// What it says, for the list.
    pub says: &'static str,
    /// The headline when its check fails, after "Not solved yet:".
    pub fails: &'static str,
    /// What a failure means.
    pub means: &'static str,
    /// Where to look after a failure. Never the solution.
    pub next: &'static str,
    /// Whether a step makes it.
    pub(crate) of: fn(Step) -> bool,
    /// Faults that break it whenever they are seen, whichever check is running.
    pub(crate) broken_by: &'static [Kind],
    /// Whether it is measured on the whole process, so that no other check may run meanwhile, or before others,
    /// because they need not be made once it is broken.
    pub(crate) alone: bool,
    /// Whether its measure compares times, which other work on the machine makes longer: broken, it is measured
    /// again.
    pub(crate) by_time: bool,
    /// Not measured once one of these is broken: there would be nothing else to see. They are measured before.
    pub(crate) unless_broken: &'static [&'static Promise],
    pub(crate) measure: fn(&Subject<'_>) -> Result<Finding, JudgeError>,
}

/// What a measurement found.
pub(crate) struct Finding {
    pub outcome: Outcome,
    pub seen: String,
    /// Whether it is so far from what is due that no other work on the machine explains it.
    pub sure: bool,
}

/// The result of a promise's check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Kept.
    Kept,
    /// Kept, at a cost.
    KeptAtACost(String),
    /// Broken.
    Broken,
    /// Broken by a panic of the codec.
    Panicked,
    /// Broken, because the codec did not finish.
    Stuck,
}

/// A promise, and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The promise.
    pub promise: &'static Promise,
    /// Whether it was kept.
    pub outcome: Outcome,
    /// The fault that broke it, where one call showed that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Kind>,
    /// What was seen, with numbers.
    pub seen: String,
}

impl Check {
    /// Whether the promise was kept, at whatever cost.
    pub fn is_kept(&self) -> bool {
        matches!(self.outcome, Outcome::Kept | Outcome::KeptAtACost(_))
    }
}

impl Check {
    /// Why it failed, in a few words.
    pub fn headline(&self) -> &'static str {
        match (self.fault, &self.outcome) {
            (Some(fault), _) => fault.headline(),
            (None, Outcome::Panicked) => Kind::Panicked.headline(),
            (None, Outcome::Stuck) => Kind::Lost.headline(),
            (None, _) => self.promise.fails,
        }
    }
}

/// Its line in the list of a verdict.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise.says, self.seen)
    }
}

impl Promise {
    /// Whether one of these, which are broken, leaves nothing else to see of it.
    pub fn is_implied_by(&self, broken: &[&Self]) -> bool {
        self.unless_broken.iter().any(|other| broken.contains(other))
    }

    /// Whether that step promises it.
    pub fn is_of(&self, step: Step) -> bool {
        (self.of)(step)
    }
}

/// There is one of each name.
impl PartialEq for Promise {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Promise {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl Finding {
    pub(crate) fn broken(seen: String) -> Self {
        Self { outcome: Outcome::Broken, seen, sure: false }
    }

    pub(crate) fn kept_if(kept: bool, seen: String) -> Self {
        Self { outcome: if kept { Outcome::Kept } else { Outcome::Broken }, seen, sure: false }
    }

    pub(crate) fn kept_at(costs: Vec<String>, seen: String) -> Self {
        let outcome = match costs.is_empty() {
            true => Outcome::Kept,
            false => Outcome::KeptAtACost(costs.join("; ")),
        };
        Self { outcome, seen, sure: false }
    }

    pub(crate) fn surely(self, sure: bool) -> Self {
        Self { sure, ..self }
    }

    pub(crate) fn none_wrong(wrong: &[String], tried: &str) -> Self {
        match wrong {
            [] => Self::kept_if(true, tried.to_owned()),
            [first] => Self::broken(first.clone()),
            [first, others @ ..] => Self::broken(format!("{first}; and {} more", others.len())),
        }
    }
}

/// Threads that wait for keys.
#[derive(Clone, Copy)]
pub(crate) struct Threads {
    /// For one stall.
    pub one: usize,
    /// For many at once.
    pub many: usize,
}

impl Threads {
    /// The threads that one stall needs, and that `calls` at once need: to encode, and to decode.
    /// `None` where the system does not count them.
    pub(crate) fn of(
        subject: &Subject<'_>,
        calls: usize,
        pool: usize,
    ) -> Result<Option<[Self; 2]>, JudgeError> {
        let of = |operation| -> Result<Option<Self>, JudgeError> {
            let one = measure::threads_at_once(subject, operation, 1, pool, STALL)?;
            let many = measure::threads_at_once(subject, operation, calls, pool, STALL)?;
            Ok(one.zip(many).map(|(one, many)| Self { one, many }))
        };
        let (encode, decode) = (of(Operation::Encode)?, of(Operation::Decode)?);
        Ok(encode.zip(decode).map(|(encode, decode)| [encode, decode]))
    }
}

pub(crate) fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1000.0)
}
