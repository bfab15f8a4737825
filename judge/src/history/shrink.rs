//! Removes from a history what is not needed to show a fault.

use std::time::{Duration, Instant};

use super::{
    action::History,
    run::{self, AT_ONCE},
};
use crate::{fault::Fault, measure::JudgeError, stage::Subject};

/// The time limit of shrinking: a history that is not the shortest shows the fault as well.
const BUDGET: Duration = Duration::from_secs(4);

/// The shortest history found that shows a fault of that kind, and that fault. `None` if the fault is only
/// about time, and the same history does not show it again.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started.
pub fn shrink(
    subject: &Subject<'_>,
    mut history: History,
    mut fault: Fault,
) -> Result<Option<(History, Fault)>, JudgeError> {
    let began = Instant::now();
    let again = run::all(subject, std::slice::from_ref(&history))?;
    let again = again.into_iter().flat_map(|played| played.faults);
    let shown_again = again.into_iter().any(|other| other.kind == fault.kind);
    if !shown_again && fault.kind.is_about_time() {
        return Ok(None);
    }
    let mut chunk = history.actions.len().div_ceil(2);
    while chunk > 0 && began.elapsed() < BUDGET {
        let mut shorter = false;
        let candidates: Vec<_> = (0..history.actions.len())
            .step_by(chunk)
            .map(|start| without(&history, start, chunk))
            .filter(|candidate| !candidate.actions.is_empty())
            .collect();
        for batch in candidates.chunks(AT_ONCE) {
            let played = run::all(subject, batch)?;
            let shown = batch.iter().zip(played).find_map(|(candidate, played)| {
                let same = played.faults.into_iter().find(|other| other.kind == fault.kind)?;
                Some((candidate.clone(), same))
            });
            if let Some(found) = shown {
                (history, fault) = found;
                shorter = true;
                break;
            }
            if began.elapsed() >= BUDGET {
                break;
            }
        }
        if !shorter {
            chunk /= 2;
        }
        chunk = chunk.min(history.actions.len().div_ceil(2));
        if history.actions.len() == 1 {
            break;
        }
    }
    Ok(Some((history, fault)))
}

fn without(history: &History, start: usize, chunk: usize) -> History {
    let mut shorter = history.clone();
    let end = (start + chunk).min(shorter.actions.len());
    shorter.actions.drain(start..end);
    shorter
}
