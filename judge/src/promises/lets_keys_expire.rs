//! Never uses a key beyond its lifetime.

use std::time::Duration;

use crate::{
    fault::Kind,
    measure::{self, JudgeError},
    promise::{Finding, Promise, STALL, ms},
    stage::Subject,
};

/// Never uses a key beyond its lifetime.
pub const LETS_KEYS_EXPIRE: &Promise = &Promise {
    name: "lets_keys_expire",
    says: "never uses a key beyond its lifetime",
    fails: "it uses a key that has expired",
    means: "A revoked key stays in use: it still encrypts and decrypts payloads, although it no longer may.",
    next: "KeyService::key_lifetime says how long a key may be used. From when does that count, and what happens if the next key does not arrive?",
    of: |_| true,
    broken_by: &[Kind::Expired],
    alone: false,
    by_time: true,
    unless_broken: &[],
    measure,
};

/// How long a key may be used while this is checked.
const LIFETIME: Duration = Duration::from_millis(300);

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let limit = ms(LIFETIME);
    let Some(seen) = measure::expiry(subject, LIFETIME, STALL / 2)? else {
        return Ok(Finding::kept_if(true, format!("no key was used for longer than its {limit}")));
    };
    let then = if seen.failing { ", while the key service failed" } else { "" };
    let (done, age) = (seen.operation.done(), ms(seen.age));
    Ok(Finding::broken(format!("{done} with a key {age} old, which may be used for {limit}{then}")))
}
