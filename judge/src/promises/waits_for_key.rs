//! Encrypts only with the key it asked for.

use std::time::Duration;

use solutions::Step;

use crate::{
    fault::Kind,
    measure::{self, JudgeError, LongStall, Operation},
    promise::{AT_ONCE, Finding, Promise, STALL, ms},
    stage::Subject,
};

/// Encrypts only with the key it asked for.
pub const WAITS_FOR_KEY: &Promise = &Promise {
    name: "waits_for_key",
    says: "encrypts only with the key it asked for",
    fails: "it does not wait for its key",
    means: "It encrypts without the key it asked for. It is fast because it skips the wait, and with a real key service nothing protects that payload.",
    next: "Find the call to the key service: what becomes of its result, and what waits for it?",
    of: |_| true,
    broken_by: &[Kind::ForeignKey],
    alone: false,
    by_time: false,
    unless_broken: &[],
    measure,
};

/// Longer than any sensible deadline for a call that takes 400 ms in the workshop.
const LONG_STALL: Duration = Duration::from_millis(2500);
/// A codec that waits needs a hundredth of this share of its thread's time.
const BUSY: f64 = 0.5;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let seen = measure::one_stall(subject, Operation::Encode, STALL)?;
    let mut said = format!("the key took {}, the call {}", ms(seen.stall), ms(seen.wall));
    if !seen.waits() {
        said.push_str("; it did not wait for the key, or did not ask for one");
        return Ok(Finding::broken(said));
    }
    let mut costs = Vec::new();
    match measure::long_stall(subject, LONG_STALL)? {
        LongStall::Waited(busy) if busy > BUSY => {
            let busy = busy * 100.0;
            let said = format!(
                "in a stall of {}, its thread was busy for {busy:.0}% of the time",
                ms(LONG_STALL)
            );
            subject.evidence.note(Kind::Spun, said);
        }
        LongStall::Waited(_) => {}
        LongStall::Failed(after) => {
            costs.push(format!("a key that takes longer than {} is an error", ms(after)));
        }
        LongStall::Encrypted(after) => {
            let said = format!("the key took {}, the call {}", ms(LONG_STALL), ms(after));
            return Ok(Finding::broken(said));
        }
    }
    // Many blocking calls would take very long, and another check reports them.
    if seen.releases_thread() && subject.step < Step::BeyondAsync {
        let (done, keys) = measure::requests_at_once(subject, AT_ONCE, STALL)?;
        // In the last step, sharing and expiry are checks of their own.
        if keys < done as u64 {
            costs.push(format!("keys are shared: {keys} requests for {done} calls"));
        }
    }
    Ok(Finding::kept_at(costs, said))
}
