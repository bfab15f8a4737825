//! Every call ends correctly, whatever happens in whatever order.

use std::time::Duration;

use crate::{
    fault::Kind,
    history,
    measure::JudgeError,
    promise::{Finding, Promise},
    promises::RELEASES_THREAD,
    stage::Subject,
};

/// Every call ends correctly, whatever happens in whatever order.
pub const SURVIVES_HISTORIES: &Promise = &Promise {
    name: "survives_histories",
    says: "every call ends correctly, whatever happens in whatever order",
    fails: "a call never returned",
    means: "A sequence of stalls, failures, new keys and cancelled calls leaves this codec unable to answer.",
    next: "Play the sequence through on paper: what does the codec keep from one call to the next?",
    of: |_| true,
    broken_by: &[Kind::Lost],
    alone: false,
    by_time: false,
    unless_broken: &[RELEASES_THREAD],
    measure,
};

/// How long histories are tried.
const BUDGET: Duration = Duration::from_secs(5);

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let tried = history::try_for(subject, BUDGET)?;
    let (histories, calls, seed) = (tried.histories, tried.calls, subject.seed);
    Ok(Finding::kept_if(true, format!("{histories} random histories, {calls} calls, seed {seed}")))
}
