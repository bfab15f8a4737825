//! A key is not used beyond its lifetime.

use std::time::Duration;

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, STALL, Subject, ms},
};

/// A key is not used beyond its lifetime.
pub const LETS_KEYS_EXPIRE: &Promise = &Promise {
    name: "lets_keys_expire",
    says: "uses no key beyond its lifetime",
    means: "A key that was withdrawn is used on: what is sealed with it should not be, and what it opens should not open.",
    next: "KeyService::key_lifetime says how long a key may be used. From when, and what happens when the next one can't be had?",
    of: |step| step >= Step::BeyondAsync,
    by_noise: false,
    measure,
};

/// How long a key may be used, where it is judged that it is used no longer.
const LIFETIME: Duration = Duration::from_millis(300);

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let limit = ms(LIFETIME);
    let Some(seen) = measure::expiry(subject.make, LIFETIME, STALL / 2)? else {
        return Ok(Finding::kept_if(true, format!("no key was used for longer than its {limit}")));
    };
    let then = if seen.failing { ", while the key service failed" } else { "" };
    let (done, age) = (seen.operation.done(), ms(seen.age));
    Ok(Finding::broken(format!("{done} with a key of {age} that may be used for {limit}{then}")))
}
