//! Concurrent waits overlap.

use solutions::Step;

use crate::{
    measure::{self, CLEARLY, JudgeError, Operation},
    promise::{AT_ONCE, FEW_AT_ONCE, Finding, Promise, SHARED, STALL, TOGETHER, Threads},
    promises::{NEEDS_NO_THREAD, RELEASES_THREAD},
    stage::Subject,
};

/// Concurrent waits overlap.
pub const STALLS_TOGETHER: &Promise = &Promise {
    name: "stalls_together",
    says: "concurrent waits overlap",
    fails: "calls wait for each other",
    means: "Calls wait for each other: under load the last one waits for all the stalls before it.",
    next: "Look for something that only one call can hold at a time, and that it holds across an await.",
    of: |step| step >= Step::SpawnBlocking,
    broken_by: &[],
    alone: true,
    by_time: true,
    unless_broken: &[RELEASES_THREAD, NEEDS_NO_THREAD],
    measure,
};

/// Calls at once where nothing has to limit them.
const UNLIMITED: usize = 100;
/// Threads of a small blocking pool.
const SMALL_POOL: usize = 2;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    // Step 2 may use a thread for each wait; from step 3 on no wait may need one.
    let without_threads = subject.step >= Step::Async;
    let pool = if without_threads { 1 } else { AT_ONCE };
    let row = |operation, calls| {
        measure::at_once(subject, operation, calls, pool, STALL).map(|seen| seen.stalls_in_a_row())
    };
    let (encode, decode) = (row(Operation::Encode, AT_ONCE)?, row(Operation::Decode, AT_ONCE)?);
    let said = format!(
        "{AT_ONCE} concurrent stalls took {encode:.1} times as long as one in encode, {decode:.1} times in decode"
    );
    let mut costs = Vec::new();
    if encode.max(decode) >= TOGETHER {
        if without_threads {
            return Ok(Finding::broken(said).surely(encode.max(decode) >= CLEARLY));
        }
        // One thread with a queue also keeps the worker's thread free.
        costs.push("stalls wait for each other".to_owned());
    }
    let of_one = measure::stalls_of_one_call(subject, AT_ONCE, pool, STALL)?;
    if of_one >= TOGETHER {
        costs.push(format!("a call with {AT_ONCE} payloads waits for {of_one:.0} stalls"));
    }
    if without_threads {
        let row = row(Operation::Encode, UNLIMITED)?.max(row(Operation::Decode, UNLIMITED)?);
        if row >= TOGETHER {
            costs.push(format!("{UNLIMITED} concurrent stalls take {row:.1} times as long as one"));
        }
    } else if let Some(operations) = Threads::of(subject, FEW_AT_ONCE, SMALL_POOL)?
        && let Some(Threads { one, many }) = operations.into_iter().max_by_key(|seen| seen.many)
        && many > one + SHARED
    {
        costs.push(format!(
            "it starts its own threads, {one} for one stall and {many} for {FEW_AT_ONCE} at once: no Tokio setting limits them"
        ));
    }
    Ok(Finding::kept_at(costs, said))
}
