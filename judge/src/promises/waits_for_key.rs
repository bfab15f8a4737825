//! It seals only with the key that the key service gave it.

use std::time::Duration;

use solutions::Step;

use crate::{
    measure::{self, JudgeError, LongStall},
    promise::{Finding, Promise, RARE, STALL, Subject, ms},
};

/// It seals only with the key that the key service gave it.
pub const WAITS_FOR_KEY: &Promise = &Promise {
    name: "waits_for_key",
    says: "seals only with the key it asked for",
    means: "It seals without the key that it asked for: fast, because it skips the wait, and with a real key service not encrypted with that key.",
    next: "Find the call to the key service: what becomes of its result, and who waits for it?",
    of: |_| true,
    by_noise: false,
    measure,
};

/// Longer than anybody's deadline for a call that takes 400 ms in the workshop.
const LONG_STALL: Duration = Duration::from_millis(1200);

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::one_stall(subject.make, STALL)?;
    let mut said = format!("the key took {}, encoding {}", ms(seen.stall), ms(seen.wall));
    if !seen.waits() {
        said.push_str("; its call was not waited for, or not made");
        return Ok(Finding::broken(said));
    }
    let mut costs = Vec::new();
    match measure::long_stall(subject.make, LONG_STALL)? {
        LongStall::Waited => {}
        LongStall::GaveUp(after) => {
            costs.push(format!("a key that takes longer than {} is an error", ms(after)));
        }
        LongStall::Sealed(after) => {
            let said = format!("the key took {}, encoding {}", ms(LONG_STALL), ms(after));
            return Ok(Finding::broken(said));
        }
    }
    // Many calls that hold their thread would take very long, and that is another promise.
    if seen.releases_thread() {
        let many = measure::many_calls(subject.make, RARE, STALL)?;
        if many.soonest < STALL.mul_f64(0.99) {
            let said = format!(
                "the key took {}, the first of {RARE} calls {}",
                ms(STALL),
                ms(many.soonest)
            );
            return Ok(Finding::broken(said));
        }
        // The last step promises it, and when they end.
        if subject.step < Step::BeyondAsync && many.keys < many.done as u64 {
            costs.push(format!(
                "keys are shared: {} for {} calls; when they end is not judged here",
                many.keys, many.done
            ));
        }
    }
    Ok(Finding::kept_at(costs, said))
}
