//! What a step promises, and whether a codec keeps it.

use std::{
    num::NonZero,
    panic::{self, AssertUnwindSafe},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::measure::{self, JudgeError, MakeCodec};
use crate::Step;

/// Long against what else a busy machine does to a thread.
const STALL: Duration = Duration::from_millis(200);
/// Longer than anybody's deadline for a call that takes 400 ms in the workshop.
const LONG_STALL: Duration = Duration::from_millis(1200);
/// Encodings at once.
const AT_ONCE: usize = 12;
/// Encodings at once where nothing need limit them.
const A_HUNDRED: usize = 100;
/// Encodings at once where each may take its turn.
const SOME_AT_ONCE: usize = 6;
/// Threads of a small blocking pool.
const FEW_THREADS: usize = 2;
/// Tokio's default for its blocking pool.
const MANY_THREADS: usize = 512;
/// A codec that misbehaves once in a hundred calls does so in this many.
const MANY: usize = 300;
/// Polls of one encoding; a wait needs two, and a lock or a channel a few more.
const POLLS: u64 = 50;
/// Stalls at once are together if they take less than this many in a row.
const TOGETHER: f64 = 2.5;
/// Calls to the key service for one encoding that fails: a client may try again, a few times.
const TRIES: u64 = 3;
/// Threads that many stalls may need beyond those of one, and calls that may go on when many were
/// given up: for what is made once and serves all.
const OWN: usize = 2;

/// A thing that a codec promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Promise {
    /// It reads and writes the format of Temporal's samples, and refuses what must be refused.
    WireFormat,
    /// It encrypts whatever it is given, whole and in order, never twice the same way.
    Payloads,
    /// It seals only with the key that the key service gave it.
    WaitsForKey,
    /// An error of the key service is its error.
    PassesErrorsOn,
    /// The metrics tell of its calls.
    IsObserved,
    /// Its thread is free while it waits.
    ReleasesThread,
    /// And so it is on the hundredth call, with the largest payload, and when it decodes.
    ReleasesItAlways,
    /// It does not ask to be polled all the time.
    WaitsQuietly,
    /// Many stalls at once take about as long as one.
    StallsTogether,
    /// It needs no thread for a wait.
    NeedsNoThread,
    /// What is given up leaves nothing behind.
    LeavesNothing,
}

/// What became of a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Kept.
    Kept,
    /// Kept, at a price.
    KeptAtACost(String),
    /// Broken.
    Broken,
    /// Broken by a panic of the codec.
    Panicked,
    /// Broken by a codec that did not come to an end.
    Stuck,
}

/// A promise, and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The promise.
    pub promise: Promise,
    /// Whether it was kept.
    pub outcome: Outcome,
    /// What was seen, with numbers.
    pub seen: String,
}

impl Check {
    /// Whether the promise was kept, at whatever cost.
    pub fn is_kept(&self) -> bool {
        matches!(self.outcome, Outcome::Kept | Outcome::KeptAtACost(_))
    }
}

impl Promise {
    /// What a step promises, in the order in which it is judged: what is wrong with a codec shows
    /// first where it is plainest.
    pub fn of(step: Step) -> &'static [Self] {
        use Promise::*;
        match step {
            // Encrypted, correct, and blocking: that is what these two are there to show.
            Step::Start => &[WireFormat, Payloads, WaitsForKey, PassesErrorsOn],
            Step::Blocking => &[WireFormat, Payloads, WaitsForKey, PassesErrorsOn, IsObserved],
            Step::SpawnBlocking => &[
                WireFormat,
                Payloads,
                WaitsForKey,
                PassesErrorsOn,
                ReleasesThread,
                ReleasesItAlways,
                WaitsQuietly,
                StallsTogether,
                LeavesNothing,
            ],
            Step::Async => &[
                WireFormat,
                Payloads,
                WaitsForKey,
                PassesErrorsOn,
                ReleasesThread,
                ReleasesItAlways,
                WaitsQuietly,
                // First: with threads, stalls wait for each other where the pool ends.
                NeedsNoThread,
                StallsTogether,
                LeavesNothing,
            ],
        }
    }

    /// Whether the codec keeps this promise of that step. A panic of the codec breaks it.
    ///
    /// # Errors
    /// [`JudgeError`] when it can't be judged.
    pub fn judge(self, step: Step, make: MakeCodec<'_>, seed: u64) -> Result<Check, JudgeError> {
        let judged = panic::catch_unwind(AssertUnwindSafe(|| self.measure(step, make, seed)));
        let (outcome, seen) = match judged {
            Ok(Err(stuck @ JudgeError::Stuck(_))) => (Outcome::Stuck, stuck.to_string()),
            Ok(judged) => judged?,
            Err(panicked) => (Outcome::Panicked, format!("it panicked: {}", words(&*panicked))),
        };
        Ok(Check { promise: self, outcome, seen })
    }

    fn measure(
        self,
        step: Step,
        make: MakeCodec<'_>,
        seed: u64,
    ) -> Result<(Outcome, String), JudgeError> {
        match self {
            Self::WireFormat => Ok(none_wrong(
                &measure::wire_format(make)?,
                "every vector of another implementation",
            )),
            Self::Payloads => Ok(none_wrong(
                &measure::payloads(make, seed)?,
                "none, empty, 2 MiB, 1,000 in a call",
            )),
            Self::WaitsForKey => waits_for_key(make),
            Self::PassesErrorsOn => {
                let seen = measure::failure(make)?;
                let calls = seen.calls;
                let (kept, said) = if !seen.answered {
                    (false, format!("no answer, and {calls} calls to a key service that fails"))
                } else if !seen.is_passed_on {
                    (false, "the key service failed, and something was encoded".to_owned())
                } else if calls > TRIES {
                    (false, format!("an error after {calls} calls to a key service that fails"))
                } else if !seen.recovers {
                    (false, "an error for ever, though the key service works again".to_owned())
                } else if seen.sealed_without > OWN {
                    let times = seen.sealed_without;
                    (false, format!("{times} times the key service failed, and it sealed"))
                } else {
                    (true, format!("an error after {calls} call(s) to the key service"))
                };
                Ok((kept_if(kept), said))
            }
            Self::IsObserved => {
                let counted = measure::calls_counted(make)?;
                let said = format!("codec_call_seconds counted {counted} of 1 call");
                Ok((kept_if(counted == 1), said))
            }
            Self::ReleasesThread => {
                let seen = measure::one_stall(make, STALL)?;
                let said = format!(
                    "longest poll {} in a stall of {}",
                    ms(seen.longest_poll),
                    ms(seen.stall)
                );
                Ok((kept_if(seen.releases_thread()), said))
            }
            Self::ReleasesItAlways => {
                let seen = measure::many_calls(make, MANY, STALL)?;
                let said = format!(
                    "{MANY} calls, stalls of {}: longest poll {} to encode, {} to decode; thread held \
                     for {}; longest decoding {}",
                    ms(STALL),
                    ms(seen.encode),
                    ms(seen.decode),
                    ms(seen.held),
                    ms(seen.decode_wall)
                );
                let outcome = if !seen.release_thread() {
                    Outcome::Broken
                } else if seen.decode_wall >= STALL {
                    Outcome::KeptAtACost("decoding waits for the key service, too".to_owned())
                } else {
                    Outcome::Kept
                };
                Ok((outcome, said))
            }
            Self::WaitsQuietly => {
                let polls = measure::polls_of_one_stall(make, STALL)?;
                Ok((kept_if(polls <= POLLS), format!("{polls} polls for one wait")))
            }
            Self::StallsTogether => stalls_together(step, make),
            Self::NeedsNoThread => {
                let Some((one, many)) = threads(make, AT_ONCE, MANY_THREADS)? else {
                    return Ok((Outcome::Kept, "this system does not count threads".to_owned()));
                };
                let said = format!("threads: {one} for one stall, {many} for {AT_ONCE} at once");
                // A runtime of its own has as many as the machine has processors.
                let own = thread::available_parallelism().map_or(1, NonZero::get) + OWN;
                Ok((kept_if(one <= own && many <= one + OWN), said))
            }
            Self::LeavesNothing => {
                let seen = measure::given_up(make, SOME_AT_ONCE, STALL)?;
                let mut said = format!(
                    "of {} encodings given up, {} more tasks and {} more threads stay, {} calls to \
                     the key service went on",
                    seen.encodings, seen.tasks, seen.threads, seen.went_on
                );
                if !seen.still_works {
                    said.push_str("; nothing was encoded after that");
                }
                // Nobody can end a blocking call: with threads, it goes on until its key comes.
                let goes_on = step == Step::Async && seen.went_on > OWN as u64;
                let grows = seen.tasks > OWN || seen.threads > OWN;
                Ok((kept_if(seen.still_works && !goes_on && !grows), said))
            }
        }
    }
}

fn waits_for_key(make: MakeCodec<'_>) -> Result<(Outcome, String), JudgeError> {
    let seen = measure::one_stall(make, STALL)?;
    let mut said = format!("the key took {}, encoding {}", ms(seen.stall), ms(seen.wall));
    if !seen.waits() {
        said.push_str("; its call was not waited for, or not made");
        return Ok((Outcome::Broken, said));
    }
    let mut costs = Vec::new();
    match measure::long_stall(make, LONG_STALL)? {
        measure::LongStall::Waited => {}
        measure::LongStall::GaveUp(after) => {
            costs.push(format!("a key that takes longer than {} is an error", ms(after)));
        }
        measure::LongStall::Sealed(after) => {
            let said = format!("the key took {}, encoding {}", ms(LONG_STALL), ms(after));
            return Ok((Outcome::Broken, said));
        }
    }
    // Many calls that hold their thread would take very long, and that is another promise.
    if seen.releases_thread() {
        let many = measure::many_calls(make, MANY, STALL)?;
        if many.soonest < STALL.mul_f64(0.99) {
            let said = format!(
                "the key took {}, the first of {MANY} calls {}",
                ms(STALL),
                ms(many.soonest)
            );
            return Ok((Outcome::Broken, said));
        }
        if many.keys < many.sealed as u64 {
            costs.push(format!(
                "keys are shared: {} for {} calls; when they end is not judged here",
                many.keys, many.sealed
            ));
        }
    }
    Ok((at_a_cost(costs), said))
}

fn stalls_together(step: Step, make: MakeCodec<'_>) -> Result<(Outcome, String), JudgeError> {
    // Step 2 may use a thread for each; step 3 has to do without.
    let pool = if step == Step::Async { 1 } else { AT_ONCE };
    let row = measure::at_once(make, AT_ONCE, pool, STALL)?.stalls_in_a_row();
    let said = format!("{AT_ONCE} stalls at once took as long as {row:.1}");
    let mut costs = Vec::new();
    if row >= TOGETHER {
        if step == Step::Async {
            return Ok((Outcome::Broken, said));
        }
        // One thread with a queue also lets the worker go.
        costs.push("stalls wait for each other".to_owned());
    }
    let of_one = measure::stalls_of_one_call(make, AT_ONCE, pool, STALL)?;
    if of_one >= TOGETHER {
        costs.push(format!("a call with {AT_ONCE} payloads waits for {of_one:.0} stalls"));
    }
    if step == Step::Async {
        let row = measure::at_once(make, A_HUNDRED, pool, STALL)?.stalls_in_a_row();
        if row >= TOGETHER {
            costs.push(format!("{A_HUNDRED} stalls at once take as long as {row:.1}"));
        }
    } else if let Some((one, many)) = threads(make, SOME_AT_ONCE, FEW_THREADS)?
        && many > one + OWN
    {
        costs.push(format!(
            "threads of its own, {one} for one stall and {many} for {SOME_AT_ONCE} at once: no setting \
             of tokio's limits them"
        ));
    }
    Ok((at_a_cost(costs), said))
}

/// The threads that one stall needs, and that `encodings` at once need; `None` where nobody counts
/// them.
fn threads(
    make: MakeCodec<'_>,
    encodings: usize,
    pool: usize,
) -> Result<Option<(usize, usize)>, JudgeError> {
    let one = measure::threads_at_once(make, 1, pool, STALL)?;
    let many = measure::threads_at_once(make, encodings, pool, STALL)?;
    Ok(one.zip(many))
}

fn at_a_cost(costs: Vec<String>) -> Outcome {
    if costs.is_empty() { Outcome::Kept } else { Outcome::KeptAtACost(costs.join("; ")) }
}

fn none_wrong(wrong: &[String], tried: &str) -> (Outcome, String) {
    match wrong {
        [] => (Outcome::Kept, tried.to_owned()),
        [first] => (Outcome::Broken, first.clone()),
        [first, others @ ..] => (Outcome::Broken, format!("{first}; and {} more", others.len())),
    }
}

fn kept_if(kept: bool) -> Outcome {
    if kept { Outcome::Kept } else { Outcome::Broken }
}

fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1000.0)
}

fn words(panicked: &(dyn std::any::Any + Send)) -> String {
    let text = panicked.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panicked.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".into())
}
