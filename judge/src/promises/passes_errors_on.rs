//! An error of the key service is its error.

use crate::{
    measure::{self, JudgeError},
    promise::{ATTEMPTS, Finding, Promise, SHARED, Subject},
};

/// An error of the key service is its error.
pub const PASSES_ERRORS_ON: &Promise = &Promise {
    name: "passes_errors_on",
    says: "passes an error of the key service on",
    means: "When the key service fails, Temporal tries the task again, if it is told. What is sealed all the same is sealed with the wrong key, or not at all; and a loop of tries is a storm.",
    next: "Follow the error from the key service to what encode returns.",
    of: |_| true,
    by_noise: false,
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::failure(subject.make)?;
    let calls = seen.calls;
    let (kept, said) = if !seen.answered {
        (false, format!("no answer, and {calls} calls to a key service that fails"))
    } else if !seen.is_passed_on {
        (false, "the key service failed, and something was encoded or decoded".to_owned())
    } else if calls > ATTEMPTS {
        (false, format!("an error after {calls} calls to a key service that fails"))
    } else if !seen.recovers {
        (false, "an error for ever, though the key service works again".to_owned())
    } else if seen.sealed_without > SHARED {
        (false, format!("{} times the key service failed, and it sealed", seen.sealed_without))
    } else {
        (true, format!("an error after {calls} call(s) to the key service"))
    };
    Ok(Finding::kept_if(kept, said))
}
