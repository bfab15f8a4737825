//! Random histories: calls of every kind, concurrent and in sequence, while keys arrive late, fail, change
//! and expire. Every call is checked. A history that shows a fault is shrunk to the few steps that still show
//! it. If the fault was only a blocked thread, and the same history does not show it again, the machine was
//! the cause.
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

/// How many histories and calls were tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Histories.
    pub histories: usize,
    /// Calls in them.
    pub calls: u64,
}

/// Tries histories, starting from the subject's seed, for the given time. Those that have started are played
/// to their end. Stops at the first fault, and notes it with its shortest history.
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
        let blocks = played.iter().map(|played| played.unmistakable_blocks).sum();
        subject.evidence.note_unmistakable_blocks(blocks);
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

/// The seed of the history with that number. Any function without repetition would do.
fn seed(of_subject: u64, number: u64) -> u64 {
    of_subject.wrapping_mul(1_000_003).wrapping_add(number)
}
