//! Returns the key service's errors, and no others.

use crate::{
    checked::ATTEMPTS,
    fault::Kind,
    measure::{self, JudgeError},
    promise::{Finding, Promise, SHARED},
    stage::Subject,
};

/// Returns the key service's errors, and no others.
pub const PASSES_ERRORS_ON: &Promise = &Promise {
    name: "passes_errors_on",
    says: "returns the key service's errors, and no others",
    fails: "it does not return the key service's errors",
    means: "If the codec returns the error, Temporal retries the task later. A codec that encrypts anyway uses the wrong key or none, and a retry loop in the codec floods the key service with requests.",
    next: "Follow an error from the key service to what encode and decode return.",
    of: |_| true,
    broken_by: &[Kind::NoKey, Kind::UndueError, Kind::Storm],
    alone: false,
    by_time: false,
    unless_broken: &[],
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::failure(subject)?;
    let calls = seen.calls;
    let requests = if calls == 1 { "1 request".to_owned() } else { format!("{calls} requests") };
    let (kept, said) = if !seen.answered {
        (false, format!("no answer while the key service failed, after {requests} for one key"))
    } else if !seen.returned_error {
        (false, "the key service failed, but a call returned no error".to_owned())
    } else if calls > ATTEMPTS as u64 {
        (false, format!("an error only after {requests} for one key"))
    } else if !seen.recovers {
        (false, "errors for 3 s after the key service worked again".to_owned())
    } else if seen.encrypted_without > SHARED {
        let times = seen.encrypted_without;
        (
            false,
            format!("{times} times the key service gave no key, but the codec encrypted anyway"),
        )
    } else {
        (true, format!("after {requests}"))
    };
    Ok(Finding::kept_if(kept, said))
}
