//! And so it is on the hundredth call, with the largest payload, and when it decodes.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, RARE, STALL, Subject, ms},
};

/// And so it is on the hundredth call, with the largest payload, and when it decodes.
pub const RELEASES_IT_ALWAYS: &Promise = &Promise {
    name: "releases_it_always",
    says: "lets it go on every call, large ones and decoding included",
    means: "Most calls let the thread go, and some do not, or decoding does not: in production that is a stall that comes now and then.",
    next: "Look at what depends on a count or a size, and at decode.",
    of: |step| step >= Step::SpawnBlocking,
    by_noise: true,
    measure,
};

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::many_calls(subject.make, RARE, STALL)?;
    let said = format!(
        "{RARE} calls of each kind, stalls of {}: longest poll {} to encode, {} to decode; \
         thread held for {}",
        ms(STALL),
        ms(seen.encode),
        ms(seen.decode),
        ms(seen.held)
    );
    Ok(Finding::kept_if(seen.release_thread(), said))
}
