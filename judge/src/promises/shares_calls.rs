//! Asks once for a key that many callers need.

use solutions::Step;

use crate::{
    checked::ATTEMPTS,
    measure::{self, JudgeError},
    promise::{AT_ONCE, Finding, Promise, SHARED, STALL},
    promises::{KEEPS_KEYS, RELEASES_THREAD},
    stage::Subject,
};

/// Asks once for a key that many callers need.
pub const SHARES_CALLS: &Promise = &Promise {
    name: "shares_calls",
    says: "asks once for a key that many callers need",
    fails: "callers that need the same key do not share one request",
    means: "When a key is missing, every caller asks for it, or all fail when the one that asked is cancelled. A slow key service gets fifty requests instead of one.",
    next: "What does the second caller do while the first is waiting for the same key? And if the first is cancelled?",
    of: |step| step >= Step::BeyondAsync,
    broken_by: &[],
    alone: false,
    by_time: false,
    unless_broken: &[RELEASES_THREAD, KEEPS_KEYS],
    measure,
};

/// Callers that want the same key at once.
const CALLERS: usize = 50;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::one_call_for_many(subject, CALLERS, STALL)?;
    let mut said = format!("{CALLERS} callers that need the same key made {} requests", seen.calls);
    if seen.could < seen.callers {
        said.push_str(&format!(", and only {} of them got it", seen.could));
    }
    if seen.calls > SHARED as u64 || seen.could < seen.callers {
        return Ok(Finding::broken(said));
    }
    let (could, followers) = measure::when_the_first_is_cancelled(subject, STALL)?;
    if could < followers {
        let said = format!(
            "the first caller was cancelled, and then only {could} of {followers} others got the key"
        );
        return Ok(Finding::broken(said));
    }
    let failure = measure::shared_failure(subject, AT_ONCE, STALL)?;
    let mut costs = Vec::new();
    if failure.calls > ATTEMPTS as u64 {
        costs.push(format!(
            "each caller that waited for a failed request repeats it: {} requests for {} callers",
            failure.calls, failure.callers
        ));
    }
    Ok(Finding::kept_at(costs, said))
}
