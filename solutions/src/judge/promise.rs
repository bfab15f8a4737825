//! What a step promises, and whether a codec keeps it.

use std::{
    num::NonZero,
    panic::{self, AssertUnwindSafe},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::measure::{self, JudgeError, MakeCodec, Way};
use crate::Step;

/// Long against what else a busy machine does to a thread.
const STALL: Duration = Duration::from_millis(200);
/// Longer than anybody's deadline for a call that takes 400 ms in the workshop.
const LONG_STALL: Duration = Duration::from_millis(1200);
/// Calls at once.
const AT_ONCE: usize = 12;
/// Calls at once where nothing need limit them.
const A_HUNDRED: usize = 100;
/// Calls at once where each may take its turn.
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
/// Callers that want the same key at once.
const FIFTY: usize = 50;
/// Calls one after another.
const A_LINE: usize = 20;
/// How long a key may be used, where it is judged that it is used no longer.
const LIFETIME: Duration = Duration::from_millis(300);
/// A key that is at hand is there in this share of a stall.
const AT_HAND: f64 = 0.5;
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
    /// A key that it has had is at hand for the next call.
    KeepsKeys,
    /// Many who want the same key share one call.
    SharesCalls,
    /// A key that is waited for keeps nobody waiting who needs another.
    KeepsKeysApart,
    /// A key is not used beyond its lifetime.
    LetsKeysExpire,
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
    pub fn of(step: Step) -> Vec<Self> {
        use Promise::*;
        let mut promises = vec![WireFormat, Payloads, WaitsForKey, PassesErrorsOn];
        // Encrypted, correct, and blocking: that is what the first two are there to show.
        if step == Step::Blocking {
            promises.push(IsObserved);
        }
        if step >= Step::SpawnBlocking {
            promises.extend([ReleasesThread, ReleasesItAlways, WaitsQuietly]);
        }
        if step >= Step::Async {
            // Before the stalls at once: with threads, they wait for each other where the pool ends.
            promises.push(NeedsNoThread);
        }
        if step >= Step::SpawnBlocking {
            promises.extend([StallsTogether, LeavesNothing]);
        }
        if step >= Step::BeyondAsync {
            promises.extend([KeepsKeys, SharesCalls, KeepsKeysApart, LetsKeysExpire]);
        }
        promises
    }

    /// Whether the codec keeps this promise of that step. A panic of the codec breaks it.
    ///
    /// # Errors
    /// [`JudgeError`] when it can't be judged.
    pub fn judge(self, step: Step, make: MakeCodec<'_>, seed: u64) -> Result<Check, JudgeError> {
        let check = self.judge_once(step, make, seed)?;
        // These two are about the longest of hundreds of polls, and a machine with other work makes some
        // of them long. If it does so now, the reference codec's are long, too.
        let by_noise = matches!(self, Self::ReleasesThread | Self::ReleasesItAlways);
        if !by_noise || check.outcome != Outcome::Broken {
            return Ok(check);
        }
        let reference = self.judge_once(step, &|keys| step.codec(keys), seed)?;
        if !reference.is_kept() {
            return Err(JudgeError::TooBusy(reference.seen));
        }
        self.judge_once(step, make, seed)
    }

    fn judge_once(self, step: Step, make: MakeCodec<'_>, seed: u64) -> Result<Check, JudgeError> {
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
            Self::WaitsForKey => waits_for_key(step, make),
            Self::PassesErrorsOn => {
                let seen = measure::failure(make)?;
                let calls = seen.calls;
                let (kept, said) = if !seen.answered {
                    (false, format!("no answer, and {calls} calls to a key service that fails"))
                } else if !seen.is_passed_on {
                    let seen = "the key service failed, and something was encoded or decoded";
                    (false, seen.to_owned())
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
                if counted != 1 {
                    return Ok((Outcome::Broken, said));
                }
                let mut costs = Vec::new();
                if measure::one_stall(make, STALL)?.releases_thread() {
                    costs.push(
                        "it lets its thread go already, and the stall that exercise 1 shows is not to be \
                         seen"
                            .to_owned(),
                    );
                }
                Ok((at_a_cost(costs), said))
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
                    "{MANY} calls of each kind, stalls of {}: longest poll {} to encode, {} to decode; \
                     thread held for {}",
                    ms(STALL),
                    ms(seen.encode),
                    ms(seen.decode),
                    ms(seen.held)
                );
                Ok((kept_if(seen.release_thread()), said))
            }
            Self::WaitsQuietly => {
                let polls = measure::polls_of_one_stall(make, STALL)?;
                Ok((kept_if(polls <= POLLS), format!("{polls} polls for one wait")))
            }
            Self::StallsTogether => stalls_together(step, make),
            Self::NeedsNoThread => {
                let Some([encode, decode]) = threads(make, AT_ONCE, MANY_THREADS)? else {
                    return Ok((Outcome::Kept, "this system does not count threads".to_owned()));
                };
                let said = format!(
                    "threads for one stall, and for {AT_ONCE} at once: {} and {} to encode, {} and {} to \
                     decode",
                    encode.one, encode.many, decode.one, decode.many
                );
                // A runtime of its own has as many as the machine has processors.
                let own = thread::available_parallelism().map_or(1, NonZero::get) + OWN;
                let few = |seen: Threads| seen.one <= own && seen.many <= seen.one + OWN;
                Ok((kept_if(few(encode) && few(decode)), said))
            }
            Self::LeavesNothing => {
                let seen = measure::given_up(make, SOME_AT_ONCE, STALL)?;
                let mut said = format!(
                    "of {} calls given up, {} more tasks and {} more threads stay, {} calls to \
                     the key service went on",
                    seen.calls, seen.tasks, seen.threads, seen.went_on
                );
                if step < Step::Async && seen.went_on > 0 {
                    said.push_str(", as those do that block");
                }
                if !seen.still_works {
                    said.push_str("; nothing was encoded, or decoded, after that");
                }
                // Nobody can end a blocking call: with threads, it goes on until its key comes.
                let goes_on = step >= Step::Async && seen.went_on > OWN as u64;
                let grows = seen.tasks > OWN || seen.threads > OWN;
                Ok((kept_if(seen.still_works && !goes_on && !grows), said))
            }
            Self::KeepsKeys => {
                let row = measure::calls_in_a_row(make, A_LINE, STALL)?;
                let said = format!("{A_LINE} calls one after another took {row:.1} stalls");
                Ok((kept_if(row < TOGETHER), said))
            }
            Self::SharesCalls => shares_calls(make),
            Self::KeepsKeysApart => {
                let seen = measure::keys_apart(make, STALL)?;
                let said = format!(
                    "{} of {} other keys at once took {:.1} stalls, a key at hand meanwhile {:.1}",
                    seen.could, seen.keys, seen.others, seen.at_hand
                );
                let all = seen.could == seen.keys;
                let kept = all && seen.at_hand < AT_HAND && seen.others < TOGETHER;
                Ok((kept_if(kept), said))
            }
            Self::LetsKeysExpire => Ok(match measure::expiry(make, LIFETIME, STALL / 2)? {
                None => {
                    (Outcome::Kept, format!("no key was used for longer than its {}", ms(LIFETIME)))
                }
                Some(seen) => {
                    let then = if seen.failing { ", while the key service failed" } else { "" };
                    let (age, limit) = (ms(seen.age), ms(LIFETIME));
                    let done = seen.way.done();
                    (
                        Outcome::Broken,
                        format!("{done} with a key of {age} that may be used for {limit}{then}"),
                    )
                }
            }),
        }
    }
}

fn waits_for_key(step: Step, make: MakeCodec<'_>) -> Result<(Outcome, String), JudgeError> {
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
        // The last step promises it, and when they end.
        if step < Step::BeyondAsync && many.keys < many.done as u64 {
            costs.push(format!(
                "keys are shared: {} for {} calls; when they end is not judged here",
                many.keys, many.done
            ));
        }
    }
    Ok((at_a_cost(costs), said))
}

fn stalls_together(step: Step, make: MakeCodec<'_>) -> Result<(Outcome, String), JudgeError> {
    // Step 2 may use a thread for each; from step 3 on it has to do without.
    let without_threads = step >= Step::Async;
    let pool = if without_threads { 1 } else { AT_ONCE };
    let row = |way, calls| {
        measure::at_once(make, way, calls, pool, STALL).map(|seen| seen.stalls_in_a_row())
    };
    let (encode, decode) = (row(Way::Encode, AT_ONCE)?, row(Way::Decode, AT_ONCE)?);
    let said = format!(
        "{AT_ONCE} stalls at once took as long as {encode:.1} to encode, {decode:.1} to decode"
    );
    let mut costs = Vec::new();
    if encode.max(decode) >= TOGETHER {
        if without_threads {
            return Ok((Outcome::Broken, said));
        }
        // One thread with a queue also lets the worker go.
        costs.push("stalls wait for each other".to_owned());
    }
    let of_one = measure::stalls_of_one_call(make, AT_ONCE, pool, STALL)?;
    if of_one >= TOGETHER {
        costs.push(format!("a call with {AT_ONCE} payloads waits for {of_one:.0} stalls"));
    }
    if without_threads {
        let row = row(Way::Encode, A_HUNDRED)?;
        if row >= TOGETHER {
            costs.push(format!("{A_HUNDRED} stalls at once take as long as {row:.1}"));
        }
    } else if let Some(ways) = threads(make, SOME_AT_ONCE, FEW_THREADS)?
        && let Some(Threads { one, many }) = ways.into_iter().max_by_key(|seen| seen.many)
        && many > one + OWN
    {
        costs.push(format!(
            "threads of its own, {one} for one stall and {many} for {SOME_AT_ONCE} at once: no setting \
             of tokio's limits them"
        ));
    }
    Ok((at_a_cost(costs), said))
}

fn shares_calls(make: MakeCodec<'_>) -> Result<(Outcome, String), JudgeError> {
    let seen = measure::one_call_for_many(make, FIFTY, STALL)?;
    let mut said = format!("{FIFTY} who wanted the same key made {} call(s)", seen.calls);
    if seen.calls > OWN as u64 || seen.could < seen.callers {
        said.push_str(&format!(", and {} of them got it", seen.could));
        return Ok((Outcome::Broken, said));
    }
    let (could, followers) = measure::when_the_first_gives_up(make, STALL)?;
    if could < followers {
        said =
            format!("the first who asked gave up, and {could} of {followers} others got the key");
        return Ok((Outcome::Broken, said));
    }
    let failure = measure::shared_failure(make, AT_ONCE, STALL)?;
    let mut costs = Vec::new();
    if failure.calls > TRIES {
        costs.push(format!(
            "a call that fails is made again by each who waited for it: {} for {}",
            failure.calls, failure.callers
        ));
    }
    Ok((at_a_cost(costs), said))
}

/// Threads that wait for keys.
#[derive(Clone, Copy)]
struct Threads {
    /// For one stall.
    one: usize,
    /// For many at once.
    many: usize,
}

/// The threads that one stall needs, and that `calls` at once need: to encode, and to decode. `None`
/// where nobody counts them.
fn threads(
    make: MakeCodec<'_>,
    calls: usize,
    pool: usize,
) -> Result<Option<[Threads; 2]>, JudgeError> {
    let of = |way| -> Result<Option<Threads>, JudgeError> {
        let one = measure::threads_at_once(make, way, 1, pool, STALL)?;
        let many = measure::threads_at_once(make, way, calls, pool, STALL)?;
        Ok(one.zip(many).map(|(one, many)| Threads { one, many }))
    };
    let (encode, decode) = (of(Way::Encode)?, of(Way::Decode)?);
    Ok(encode.zip(decode).map(|(encode, decode)| [encode, decode]))
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
