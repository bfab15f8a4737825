//! What a step promises, and whether a codec keeps it.

use std::{
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::measure::{self, JudgeError, MakeCodec};
use crate::Step;

/// Long against what else a busy machine does to a thread.
const STALL: Duration = Duration::from_millis(200);
/// Encodings at once.
const AT_ONCE: usize = 12;
/// A codec that misbehaves once in a hundred calls does so in this many.
const MANY: usize = 300;
/// Polls of one encoding; a wait needs two, and a lock or a channel a few more.
const POLLS: u64 = 50;
/// Calls to the key service for one encoding that fails: a client may try again, a few times.
const TRIES: u64 = 3;
/// Threads of its own that any codec may have: for a runtime or a channel, made once.
const OWN_THREADS: usize = 2;

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
        !matches!(self.outcome, Outcome::Broken | Outcome::Panicked)
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
            Self::WaitsForKey => {
                let seen = measure::one_stall(make, STALL)?;
                let said = format!(
                    "the key took {}, encoding {}{}",
                    ms(seen.stall),
                    ms(seen.wall),
                    if seen.waited_for_key {
                        ""
                    } else {
                        "; its call was not waited for, or not made"
                    }
                );
                Ok((kept_if(seen.waits()), said))
            }
            Self::PassesErrorsOn => {
                let seen = measure::failure(make)?;
                let calls = seen.calls;
                let said = match seen.is_passed_on {
                    true => format!("an error after {calls} call(s) to the key service"),
                    false => "the key service failed, and something was encoded".to_owned(),
                };
                Ok((kept_if(seen.is_passed_on && calls <= TRIES), said))
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
                let seen = measure::many_calls(make, MANY)?;
                let said = format!(
                    "{MANY} calls: longest poll {} to encode, {} to decode; longest decoding {}",
                    ms(seen.encode),
                    ms(seen.decode),
                    ms(seen.decode_wall)
                );
                let longest = seen.encode.max(seen.decode).max(seen.decode_wall / 2);
                Ok((kept_if(longest < STALL / 4), said))
            }
            Self::WaitsQuietly => {
                let polls = measure::polls_of_one_stall(make, STALL)?;
                Ok((kept_if(polls <= POLLS), format!("{polls} polls for one wait")))
            }
            Self::StallsTogether => {
                // Step 2 may use a thread for each; step 3 has to do without.
                let pool = if step == Step::Async { 1 } else { AT_ONCE };
                let seen = measure::at_once(make, AT_ONCE, pool, STALL)?;
                let row = seen.stalls_in_a_row();
                let said = format!("{AT_ONCE} stalls at once took as long as {row:.1}");
                let outcome = if row < 2.5 {
                    Outcome::Kept
                } else if step == Step::SpawnBlocking {
                    // One thread with a queue also lets the worker go.
                    Outcome::KeptAtACost("stalls wait for each other".to_owned())
                } else {
                    Outcome::Broken
                };
                Ok((outcome, said))
            }
            Self::NeedsNoThread => {
                let Some(threads) = measure::threads_at_once(make, AT_ONCE, STALL)? else {
                    return Ok((Outcome::Kept, "this system does not count threads".to_owned()));
                };
                let said = format!("{threads} more threads for {AT_ONCE} stalls at once");
                Ok((kept_if(threads <= OWN_THREADS), said))
            }
            Self::LeavesNothing => {
                let seen = measure::given_up(make, AT_ONCE, STALL)?;
                let said = format!(
                    "of {} encodings given up: {} tasks and {} more threads left",
                    seen.encodings, seen.tasks, seen.threads
                );
                Ok((kept_if(seen.tasks == 0 && seen.threads <= OWN_THREADS), said))
            }
        }
    }
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
