//! Many who want the same key share one call.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{AT_ONCE, ATTEMPTS, Finding, Promise, SHARED, STALL, Subject},
};

/// Many who want the same key share one call.
pub const SHARES_CALLS: &Promise = &Promise {
    name: "shares_calls",
    says: "asks once for a key that many want",
    means: "When a key is missing, all who want it ask at that moment, or lose it with the one who asked: a slow key service gets fifty calls instead of one.",
    next: "What does the second one do who misses a key that is asked for already? And if the first is given up?",
    of: |step| step >= Step::BeyondAsync,
    by_noise: false,
    measure,
};

/// Callers that want the same key at once.
const CALLERS: usize = 50;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let make = subject.make;
    let seen = measure::one_call_for_many(make, CALLERS, STALL)?;
    let mut said = format!("{CALLERS} who wanted the same key made {} call(s)", seen.calls);
    if seen.calls > SHARED as u64 || seen.could < seen.callers {
        said.push_str(&format!(", and {} of them got it", seen.could));
        return Ok(Finding::broken(said));
    }
    let (could, followers) = measure::when_the_first_is_cancelled(make, STALL)?;
    if could < followers {
        let said =
            format!("the first who asked gave up, and {could} of {followers} others got the key");
        return Ok(Finding::broken(said));
    }
    let failure = measure::shared_failure(make, AT_ONCE, STALL)?;
    let mut costs = Vec::new();
    if failure.calls > ATTEMPTS {
        costs.push(format!(
            "a call that fails is made again by each who waited for it: {} for {}",
            failure.calls, failure.callers
        ));
    }
    Ok(Finding::kept_at(costs, said))
}
