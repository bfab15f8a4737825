//! Random histories: calls of every kind, at once and one after another, while keys come late, fail,
//! change and expire. What must hold is checked at every call; a history in which something does not is
//! shrunk to the few lines that still show it. One that only blocked, and does not again, was the machine.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `action` | what can happen in a history, and its sentence |
//! | `generate` | makes one from a seed |
//! | `run` | plays one with a codec |
//! | `shrink` | takes away what is not needed to show a fault |

mod action;
mod generate;
mod run;
mod shrink;

use std::time::{Duration, Instant};

use self::run::AT_ONCE;
use crate::{measure::JudgeError, stage::Subject};

/// How much was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Histories.
    pub histories: usize,
    /// Calls in them.
    pub calls: u64,
}

/// Tries histories, from the subject's seed on, for so long; those that were begun are played to their end.
/// The first fault of each history is noted as the subject's, in its shortest form. Ends at the first.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn try_for(subject: &Subject<'_>, budget: Duration) -> Result<Tried, JudgeError> {
    let began = Instant::now();
    let mut tried = Tried::default();
    let mut number = 0;
    while tried.histories == 0 || began.elapsed() < budget {
        let batch: Vec<_> = (0..AT_ONCE as u64)
            .map(|one| generate::history(subject.step, seed(subject.seed, number + one)))
            .collect();
        number += AT_ONCE as u64;
        let played = run::all(subject, &batch)?;
        tried.histories += batch.len();
        tried.calls += played.iter().map(|played| played.calls).sum::<u64>();
        let broken = batch
            .into_iter()
            .zip(played)
            .find_map(|(history, played)| Some((history, played.faults.into_iter().next()?)));
        if let Some((history, fault)) = broken {
            let Some((history, fault)) = shrink::shrink(subject, history, fault)? else { continue };
            subject.evidence.note(fault.kind, format!("{}; to repeat: {history}", fault.says));
            break;
        }
    }
    Ok(tried)
}

/// Of the history of that number: any function will do that never gives the same twice.
fn seed(of_subject: u64, number: u64) -> u64 {
    of_subject.wrapping_mul(1_000_003).wrapping_add(number)
}
