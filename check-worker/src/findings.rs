//! What holds up a worker: the verdicts, in the order in which they are decided.
//!
//! Each verdict has a module that looks at the model and returns `Some` only if everything it needs was seen.
//! The first finding is the verdict, the others follow it. If two causes look the same, the verdict is
//! `cannot_tell`.

mod cannot_tell;
mod failing_tasks;
mod fine;
mod held;
mod overprovisioned;
mod server_slow;
mod slow_activities;
mod slow_not_held;
mod sticky_thrash;
mod too_few_pollers;
mod too_few_slots;
mod too_little;

use crate::{facts::Facts, finding::Finding, model::Model};

/// Whether a close-up would help: workflow tasks take longer than they should, and the cause is not clear.
pub fn wants_close_up(model: &Model) -> bool {
    let facts = Facts::of(model);
    model.family().has_loop() && facts.tasks_are_suspect() && facts.close_up.is_none()
}

/// What holds the worker up, the verdict first.
pub fn decide(model: &Model) -> Vec<Finding> {
    if let Some(finding) = too_little::no_worker(model) {
        return vec![finding];
    }
    let facts = Facts::of(model);
    if let Some(finding) = too_little::alternates(model) {
        return vec![finding];
    }
    let found: Vec<Finding> = [
        server_slow::look,
        held::look,
        too_few_slots::look,
        slow_activities::look,
        // A cache that is too small makes more work for the pollers, too.
        sticky_thrash::look,
        too_few_pollers::look,
        failing_tasks::look,
        slow_not_held::look,
    ]
    .into_iter()
    .filter_map(|look| look(&facts))
    .collect();
    if !found.is_empty() {
        return found;
    }
    if let Some(finding) = too_little::not_enough(&facts) {
        return vec![finding];
    }
    let last = cannot_tell::look(&facts)
        .or_else(|| overprovisioned::look(&facts))
        .unwrap_or_else(|| fine::look(&facts));
    vec![last]
}
