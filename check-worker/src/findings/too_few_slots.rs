//! All slots are taken, by tasks that are no slower than they should be.

use super::slow_activities;
use crate::{
    facts::{Facts, MOSTLY},
    finding::{Finding, Sureness, Verdict, evidence, percent, time},
    metric::Metric,
    model::Slots,
    settings::Setting,
};

/// Looks at the slots of workflow tasks, then at those of activities.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    let all = facts.model.slots();
    let of = |kind: &str| {
        all.iter()
            .filter(|s| s.worker_type == kind)
            .max_by(|a, b| a.exhausted.total_cmp(&b.exhausted))
    };
    if let Some(slots) = of("WorkflowWorker")
        && facts.tasks.count >= 20.0
        && !facts.tasks_are_slow()
        && facts.server_is_prompt()
        && facts.waits.mean() >= 0.2
        && facts.not_found_is_rare()
    {
        let polls = facts.polls_of(&slots.task_queue);
        // A poll takes a slot first, so a poll in flight uses one up just as a task does.
        let full = facts.model.full_share("WorkflowWorker", &slots.task_queue);
        if slots.exhausted >= MOSTLY || (full >= 0.8 && polls < slots.total + 0.5) {
            return Some(finding(facts, slots, Setting::WorkflowSlots, slots.exhausted.max(full)));
        }
    }
    if let Some(slots) = of("ActivityWorker")
        && slots.exhausted >= MOSTLY
        && facts.activities.count >= 20.0
        && !slow_activities::explain(facts, slots)
        && !facts.tasks_are_suspect()
    {
        return Some(finding(facts, slots, Setting::ActivitySlots, slots.exhausted));
    }
    None
}

impl Facts<'_> {
    fn not_found_is_rare(&self) -> bool {
        self.model.not_found() <= 0.02 * self.tasks.count
    }

    /// The most polls for workflow tasks that were in flight.
    fn polls_of(&self, _task_queue: &str) -> f64 {
        self.model.workflow_pollers().map_or(0.0, |gauge| gauge.range().1.max(0.0))
    }
}

fn finding(facts: &Facts<'_>, slots: &Slots, setting: Setting, full: f64) -> Finding {
    let is_workflow = setting == Setting::WorkflowSlots;
    let (kind, inside, waits) = if is_workflow {
        ("workflow tasks", facts.tasks.mean(), facts.waits.mean())
    } else {
        ("activities", facts.activities.mean(), facts.activity_waits.mean())
    };
    let setting_name = setting.named(facts.model.family(), facts.model.sdk);
    let queue = if slots.task_queue.is_empty() {
        String::new()
    } else {
        format!(" of task queue {}", slots.task_queue)
    };
    Finding {
        verdict: Verdict::TooFewSlots,
        headline: format!("all {:.0} slots for {kind} are in use", slots.total),
        seen: format!(
            "The {:.0} slots of the {}{queue} were used up in {} of the samples. Each of these {kind} took \
             {} in the worker, and waited {} on the server before.",
            slots.total,
            slots.worker_type,
            percent(full),
            time(inside),
            time(waits),
        ),
        evidence: vec![
            evidence("slots", slots.total, "count"),
            evidence("time_without_free_slot", full, "share"),
            evidence(
                if is_workflow { Metric::WorkflowExecution } else { Metric::ActivityExecution }.name(),
                inside,
                "seconds",
            ),
            evidence("schedule_to_start_mean", waits, "seconds"),
        ],
        meaning: "The worker polls only while a slot is free. Tasks wait on the server although the worker \
                  could do more of them at a time."
            .into(),
        next: format!(
            "Raise {setting_name}, if the machine has CPU and memory to spare. Otherwise run more \
             workers."
        ),
        sureness: if waits >= 0.2 { Sureness::High } else { Sureness::Medium },
        certainty: "Raise it and look again: the wait on the server falls.".into(),
        blind_spot: "The machine's CPU and memory: no SDK exports them.".into(),
    }
}
