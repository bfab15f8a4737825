//! It does not ask to be polled all the time.

use solutions::Step;

use crate::{
    measure::{self, JudgeError},
    promise::{Finding, Promise, STALL, Subject},
};

/// It does not ask to be polled all the time.
pub const WAITS_QUIETLY: &Promise = &Promise {
    name: "waits_quietly",
    says: "waits without asking all the time",
    means: "It asks again and again whether its key has come: the thread is never held for long, and never free.",
    next: "A future that waits is woken once, by whatever it waits for.",
    of: |step| step >= Step::SpawnBlocking,
    by_noise: false,
    measure,
};

/// Polls of one encoding; a wait needs two, and a lock or a channel a few more.
const POLLS: u64 = 50;

fn measure(subject: &Subject<'_>) -> Result<Finding, JudgeError> {
    let polls = measure::polls_of_one_stall(subject.make, STALL)?;
    Ok(Finding::kept_if(polls <= POLLS, format!("{polls} polls for one wait")))
}
