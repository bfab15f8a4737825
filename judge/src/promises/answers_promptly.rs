//! It adds no wait of its own.

use std::time::Duration;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, ms},
    stage::Subject,
};

/// It adds no wait of its own.
pub const ANSWERS_PROMPTLY: &Promise = &Promise {
    name: "answers_promptly",
    says: "adds no wait of its own",
    fails: "every call is slow",
    means: "Every call takes long even when the key service answers at once. That delays every payload of every workflow.",
    next: "Look for what every call does besides asking for its key: a sleep, a connection, a computation.",
    of: |_| true,
    broken_by: &[],
    alone: true,
    by_time: false,
    unless_broken: &[],
    measure,
};

/// A call that does not wait takes a fiftieth of this.
const SLOW: Duration = Duration::from_millis(100);
/// Longer than this is reported, but no failure: a worker starts once.
const SLOW_CONSTRUCTION: Duration = Duration::from_secs(2);

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::promptness(subject)?;
    let said = format!("a call takes {} when the key service answers at once", ms(seen.call));
    if seen.call >= SLOW {
        return Ok(Finding::broken(said));
    }
    let costs = (seen.construction >= SLOW_CONSTRUCTION)
        .then(|| format!("making the codec takes {}", ms(seen.construction)));
    Ok(Finding::kept_at(costs.into_iter().collect(), said))
}
