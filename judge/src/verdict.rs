//! Checks a codec against the promises of a step.

use std::panic::{self, AssertUnwindSafe};

use solutions::Step;

use crate::{
    checked::panic_words,
    fault::{Fault, Kind},
    measure::{self, JudgeError},
    noise,
    promise::{Check, Finding, Outcome, Promise},
    promises::{self, ANSWERS_PROMPTLY},
    stage::{MakeCodec, Subject},
};

/// How often a measure is made before what only its time makes a fault counts: then it happened every time.
const RUNS: usize = 3;

/// Checks whether the codec keeps this promise of that step. Also returns a failed check for every other
/// promise of the step that the codec was seen to break meanwhile.
///
/// A fault that is only about time counts only if it happens every time: other work on the machine can take as
/// long. A thread that the codec blocked for 150 ms twice is proof enough: see `UNMISTAKABLE` in `checked.rs`.
///
/// # Errors
/// [`JudgeError`] when it can't be judged.
pub fn of(
    promise: &'static Promise,
    step: Step,
    make: MakeCodec<'_>,
    seed: u64,
) -> Result<Vec<Check>, JudgeError> {
    let mut judged = once(promise, &Subject::new(make, step, seed))?;
    if judged.suspect.is_some() && !noise::is_accounted_for() {
        // If the system does not account for thread time, it also must not happen to the reference codec.
        let reference = |keys| step.codec(keys);
        let reference = once(promise, &Subject::new(&reference, step, seed))?;
        noise::not_to_blame(reference.checks.iter().find(|check| !check.is_kept()))?;
    }
    // What is not about time counts whenever it is seen.
    let broken = judged
        .checks
        .first()
        .cloned()
        .filter(|measured| !promise.by_time && !measured.is_kept() && measured.fault.is_none());
    let mut runs = 1;
    while let Some(unmistakable) = judged.suspect
        && runs + unmistakable.min(2) < RUNS
    {
        judged = once(promise, &Subject::new(make, step, seed))?;
        runs += 1;
    }
    let checks = merged(broken.into_iter().chain(judged.checks));
    if checks.iter().all(Check::is_kept) {
        return Ok(checks);
    }
    match noise::quiet() {
        Ok(()) => Ok(checks),
        Err(too_busy) => {
            let threads = noise::threads_of_its_own().ok_or(too_busy)?;
            let says =
                format!("{threads} threads never stop computing, and keep all processors busy");
            let fault = Fault { kind: Kind::NeverPauses, says };
            Ok(merged(checks.into_iter().chain(broken_by(fault, promise, step))))
        }
    }
}

/// Whether no check that follows can see anything: each would get stuck again, be as slow, or be disturbed.
pub fn is_the_last(promise: &Promise, checks: &[Check]) -> bool {
    checks.iter().any(|check| {
        check.outcome == Outcome::Stuck
            || check.fault == Some(Kind::NeverPauses)
            || promise == ANSWERS_PROMPTLY && !check.is_kept()
    })
}

/// Has the codec encode and decode once more, after all checks. A file that each call overwrites holds what the last one
/// was given, so that has to be something by which it is recognized.
pub fn last_calls(step: Step, make: MakeCodec<'_>, seed: u64) {
    // Whatever the codec does wrong in them was judged before.
    measure::promptness(&Subject::new(make, step, seed)).ok();
}

/// What a measure found.
struct Judged {
    checks: Vec<Check>,
    /// Where nothing but time speaks against the codec: how often it did so unmistakably.
    suspect: Option<usize>,
}

fn once(promise: &'static Promise, subject: &Subject<'_>) -> Result<Judged, JudgeError> {
    let judged = panic::catch_unwind(AssertUnwindSafe(|| (promise.measure)(subject)));
    let found = match judged {
        Ok(Err(stuck @ JudgeError::Stuck(_))) => {
            let call = subject.evidence.under_way();
            let call = call.unwrap_or_else(|| "making the codec, or what it started".to_owned());
            Finding { outcome: Outcome::Stuck, seen: format!("{call}: {stuck}"), sure: true }
        }
        Ok(judged) => judged?,
        Err(panicked) => Finding {
            outcome: Outcome::Panicked,
            seen: format!("the codec panicked: {}", panic_words(&*panicked)),
            sure: true,
        },
    };
    let faults = subject.evidence.faults();
    let by_time = match found.outcome {
        Outcome::Kept | Outcome::KeptAtACost(_) => !faults.is_empty(),
        Outcome::Broken if found.sure => false,
        Outcome::Broken => promise.by_time || !faults.is_empty(),
        Outcome::Panicked | Outcome::Stuck => false,
    };
    let timed = |fault: &Fault| fault.kind.is_about_time();
    let suspect =
        (by_time && faults.iter().all(timed)).then(|| subject.evidence.unmistakable_blocks());
    Ok(Judged { checks: with_faults(promise, found, subject.step, faults), suspect })
}

/// The measured finding, and the faults seen meanwhile. Each fault counts for the promise that it breaks, and
/// a panic for the check in which it was seen.
fn with_faults(
    measured: &'static Promise,
    Finding { outcome, seen, .. }: Finding,
    step: Step,
    faults: Vec<Fault>,
) -> Vec<Check> {
    let mut checks = vec![Check { promise: measured, outcome, fault: None, seen }];
    for fault in faults {
        let Some(check) = broken_by(fault, measured, step) else { continue };
        match checks.iter_mut().find(|known| known.promise == check.promise) {
            None => checks.push(check),
            // The cause says more than what it led to.
            Some(known) if known.fault.is_none() => *known = check,
            // The worst fault comes first.
            Some(_) => {}
        }
    }
    checks
}

/// The check that failed, of the promise that this fault breaks, if the step makes one. A panic breaks the one that is
/// measured.
fn broken_by(Fault { kind, says }: Fault, measured: &'static Promise, step: Step) -> Option<Check> {
    let promise = match kind {
        Kind::Panicked => measured,
        _ => promises::of(step).find(|promise| promise.broken_by.contains(&kind))?,
    };
    let outcome = if kind == Kind::Panicked { Outcome::Panicked } else { Outcome::Broken };
    Some(Check { promise, outcome, fault: Some(kind), seen: says })
}

/// One check for each promise, in the order of [`promises::ALL`]. A failed check outweighs a passed one.
pub fn merged(checks: impl IntoIterator<Item = Check>) -> Vec<Check> {
    let mut merged: Vec<Check> = Vec::new();
    for check in checks {
        match merged.iter_mut().find(|known| known.promise == check.promise) {
            None => merged.push(check),
            Some(known) if known.is_kept() && !check.is_kept() => *known = check,
            // One poll that blocks says more than many short ones.
            Some(known)
                if known.fault == Some(Kind::BlockedInTurn)
                    && check.fault == Some(Kind::Blocked) =>
            {
                *known = check;
            }
            // A panic says more than what it led to, and so does a thread that is in everything's way.
            Some(known)
                if check.outcome == Outcome::Panicked || check.fault == Some(Kind::NeverPauses) =>
            {
                *known = check;
            }
            Some(_) => {}
        }
    }
    merged.sort_by_key(|check| promises::position(check.promise));
    merged
}

/// The check that failed for the plainest reason.
pub fn cause(merged: &[Check]) -> Option<&Check> {
    let never_pauses = merged.iter().find(|check| check.fault == Some(Kind::NeverPauses));
    let panicked = || merged.iter().find(|check| check.outcome == Outcome::Panicked);
    never_pauses.or_else(panicked).or_else(|| merged.iter().find(|check| !check.is_kept()))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        thread,
        time::Duration,
    };

    use codec_kit::{
        AnyCodec, CodecFuture, KeyService, Payload, PayloadCodec, SerializationContextData,
    };

    use super::*;
    use crate::{
        checked::UNMISTAKABLE,
        leaks::leak,
        promises::{RELEASES_IT_ALWAYS, RELEASES_THREAD, SHARES_CALLS, WAITS_QUIETLY},
    };

    /// A codec, and what it does before it encodes.
    struct Before<F> {
        codec: AnyCodec,
        does: F,
    }

    impl<F: Fn(&[Payload]) + Send + Sync> PayloadCodec for Before<F> {
        fn encode(
            &self,
            context: &SerializationContextData,
            payloads: Vec<Payload>,
        ) -> CodecFuture {
            (self.does)(&payloads);
            self.codec.encode(context, payloads)
        }

        fn decode(
            &self,
            context: &SerializationContextData,
            payloads: Vec<Payload>,
        ) -> CodecFuture {
            self.codec.decode(context, payloads)
        }
    }

    /// What is broken, judged as that step's, by a codec that blocks so many calls for so long. When it is made
    /// again, it is the one of step `later`.
    fn broken(
        promise: &'static Promise,
        step: Step,
        (blocking, block): (usize, Duration),
        later: Step,
    ) -> Vec<&'static Promise> {
        loop {
            let calls: &AtomicUsize = Box::leak(Box::new(AtomicUsize::new(blocking)));
            let made = AtomicUsize::new(0);
            let make = |keys: KeyService| -> AnyCodec {
                let step = if made.fetch_add(1, Relaxed) == 0 { Step::Async } else { later };
                let does = move |_: &[Payload]| {
                    if calls.fetch_update(Relaxed, Relaxed, |calls| calls.checked_sub(1)).is_ok() {
                        thread::sleep(block);
                    }
                };
                AnyCodec::new(Before { codec: step.codec(keys), does })
            };
            match of(promise, step, &make, 1) {
                // A machine that is too busy to judge is so for a while.
                Err(JudgeError::TooBusy(_)) => continue,
                checks => {
                    let broken = checks.unwrap().into_iter().filter(|check| !check.is_kept());
                    return broken.map(|check| check.promise).collect();
                }
            }
        }
    }

    /// As a busy machine may do it.
    const SHORT: Duration = Duration::from_millis(90);

    #[test]
    fn a_short_block_counts_if_it_happens_every_time() {
        let broken = |calls| broken(RELEASES_THREAD, Step::Async, (calls, SHORT), Step::Async);
        assert_eq!(broken(1), Vec::<&Promise>::new());
        assert_eq!(broken(usize::MAX), [RELEASES_THREAD, RELEASES_IT_ALWAYS]);
    }

    #[test]
    fn a_long_block_counts_if_it_happens_twice() {
        let long = UNMISTAKABLE + SHORT;
        let broken = |calls| broken(WAITS_QUIETLY, Step::Async, (calls, long), Step::Async);
        assert_eq!(broken(1), Vec::<&Promise>::new());
        assert_eq!(broken(2), [RELEASES_IT_ALWAYS]);
    }

    #[test]
    fn what_is_broken_for_another_reason_stays_so_without_the_block() {
        for later in [Step::Async, Step::BeyondAsync] {
            let broken = broken(SHARES_CALLS, Step::BeyondAsync, (1, SHORT), later);
            assert_eq!(broken, [SHARES_CALLS]);
        }
    }

    #[test]
    fn what_the_last_call_was_given_is_recognized() {
        let last = Arc::new(Mutex::new(Vec::new()));
        let make = |keys: KeyService| -> AnyCodec {
            let last = Arc::clone(&last);
            let does = move |payloads: &[Payload]| *last.lock().unwrap() = payloads.to_vec();
            AnyCodec::new(Before { codec: Step::Async.codec(keys), does })
        };
        last_calls(Step::Async, &make, 1);
        let last = last.lock().unwrap();
        let data: Vec<_> = last.iter().map(|payload| payload.data.as_slice()).collect();
        assert!(leak(&data.concat()).is_some(), "{data:?}");
    }

    #[test]
    fn one_poll_that_blocks_says_more_than_many_short_ones() {
        let check = |kind, seen: &str| Check {
            promise: RELEASES_IT_ALWAYS,
            outcome: Outcome::Broken,
            fault: Some(kind),
            seen: seen.to_owned(),
        };
        let (short, long) = (check(Kind::BlockedInTurn, "short"), check(Kind::Blocked, "long"));
        for checks in [[short.clone(), long.clone()], [long, short]] {
            assert_eq!(merged(checks)[0].seen, "long");
        }
    }
}
