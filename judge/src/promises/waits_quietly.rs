//! Waits without keeping a thread busy.

use solutions::Step;

use crate::{
    clock::NEVER_PAUSES,
    fault::Kind,
    measure::{self, JudgeError, Operation, POOL_THREADS},
    promise::{Finding, Promise, STALL, ms},
    promises::RELEASES_THREAD,
    stage::Subject,
};

/// Waits without keeping a thread busy.
pub const WAITS_QUIETLY: &Promise = &Promise {
    name: "waits_quietly",
    says: "waits without keeping a thread busy",
    fails: "it keeps a thread busy while it waits",
    means: "It checks again and again whether its key has come. No poll blocks, but a thread is never free.",
    next: "A future that waits is woken once, by whatever it waits for. A thread waits in recv, or on a Condvar.",
    of: |step| step >= Step::SpawnBlocking,
    broken_by: &[Kind::Spun, Kind::NeverPauses],
    alone: true,
    by_time: true,
    unless_broken: &[RELEASES_THREAD],
    measure,
};

/// Polls of one encoding; a wait needs two, and a lock or a channel a few more.
const POLLS: u64 = 50;
/// Calls that wait at once.
const CALLS: usize = 3;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let long = STALL * 2;
    for operation in Operation::BOTH {
        measure::at_once(subject, operation, CALLS, POOL_THREADS, STALL)?;
        let share = measure::busiest_thread(subject, operation, POOL_THREADS, long)?;
        if share > NEVER_PAUSES {
            let said = format!(
                "while {} waited for its key, in a stall of {}, a thread was busy for {:.0}% of the time",
                operation.method(),
                ms(long),
                share * 100.0
            );
            subject.evidence.note(Kind::NeverPauses, said);
        }
    }
    let polls = subject.evidence.most_polls();
    Ok(Finding::kept_if(polls <= POLLS, format!("{polls} polls of one future in a stall")))
}
