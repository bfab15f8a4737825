//! Encrypts only with the key it asked for.

use std::time::Duration;

use solutions::Step;

use crate::{
    fault::{Fault, Kind},
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
/// Longer than the deadlines that are written without much thought, 1 to 5 s.
const VERY_LONG_STALL: Duration = Duration::from_millis(5500);
/// How many calls of each operation meet that: more than the places that a codec may have for calls that wait.
const BESIDE: usize = 40;
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
    // Many blocking calls would take very long, and another check reports them.
    let decode = measure::one_stall(subject, Operation::Decode, STALL)?;
    let releases_thread = decode.releases_thread() && subject.evidence.faults().is_empty();
    let (beside, long) = match releases_thread {
        true => (BESIDE, VERY_LONG_STALL),
        false => (0, LONG_STALL),
    };
    let is_about_time = |fault: &Fault| fault.kind.is_about_time();
    let seen_long = match measure::long_stall(subject, beside, long) {
        // Some of its calls hold the thread for a whole stall, one after another: that has been noted.
        Err(JudgeError::Stuck(_)) if subject.evidence.faults().iter().any(is_about_time) => {
            return Ok(Finding::kept_if(true, said));
        }
        seen => seen?,
    };
    match seen_long {
        LongStall::Waited(busy) if busy > BUSY => {
            let busy = busy * 100.0;
            let said = format!(
                "in a stall of {}, its thread was busy for {busy:.0}% of the time",
                ms(long)
            );
            subject.evidence.note(Kind::Spun, said);
        }
        LongStall::Waited(_) => {}
        // A longer deadline than anyone needs is no cost.
        LongStall::Failed(after) if after >= LONG_STALL => {}
        LongStall::Failed(after) => {
            costs.push(format!("a key that takes longer than {} is an error", ms(after)));
        }
        LongStall::Encrypted(after) => {
            let said = format!("the key took {}, the call {}", ms(long), ms(after));
            return Ok(Finding::broken(said));
        }
    }
    if releases_thread && subject.step < Step::BeyondAsync {
        let (done, keys) = measure::requests_at_once(subject, AT_ONCE, STALL)?;
        // In the last step, sharing and expiry are checks of their own.
        if keys < done as u64 {
            costs.push(format!("keys are shared: {keys} requests for {done} calls"));
        }
    }
    Ok(Finding::kept_at(costs, said))
}
