//! Nothing holds the worker up.

use crate::{
    facts::Facts,
    finding::{Finding, Sureness, Verdict, evidence, time},
};

/// The numbers of a worker that nothing holds up.
pub fn look(facts: &Facts<'_>) -> Finding {
    let model = facts.model;
    let slots = model.slots();
    let free = slots
        .iter()
        .filter(|slots| {
            slots.worker_type == "WorkflowWorker" || slots.worker_type == "ActivityWorker"
        })
        .map(|slots| format!("{:.0} of {:.0}", slots.fewest_free, slots.total))
        .collect::<Vec<_>>();
    let free = if free.is_empty() {
        String::new()
    } else {
        format!(" At least {} slots were free.", free.join(" and "))
    };
    let coarse = if facts.tasks.is_coarse() {
        " The histograms are too coarse to show a few slow tasks."
    } else {
        ""
    };
    let local = if facts.local_activities_explain() {
        " Workflow tasks include their local activities."
    } else {
        ""
    };
    Finding {
        verdict: Verdict::Healthy,
        headline: "nothing holds this worker up".into(),
        seen: format!(
            "{:.0} workflow tasks took {} in the worker and waited {} on the server; {:.0} activities took \
             {} and waited {}. The server answered in {}.{free}{local}",
            facts.tasks.count,
            time(facts.tasks.mean()),
            time(facts.waits.mean()),
            facts.activities.count,
            time(facts.activities.mean()),
            time(facts.activity_waits.mean()),
            time(facts.requests.mean()),
        ),
        evidence: vec![
            evidence("workflow_task_execution_mean", facts.tasks.mean(), "seconds"),
            evidence("workflow_task_schedule_to_start_mean", facts.waits.mean(), "seconds"),
            evidence("activity_execution_mean", facts.activities.mean(), "seconds"),
            evidence("activity_schedule_to_start_mean", facts.activity_waits.mean(), "seconds"),
            evidence("request_latency_mean", facts.requests.mean(), "seconds"),
            evidence("workflow_tasks", facts.tasks.count, "count"),
            evidence("activities", facts.activities.count, "count"),
        ],
        meaning: "Tasks start at once and are answered quickly.".into(),
        next: "Nothing. For alerts when that changes, see check-worker rules.".into(),
        sureness: if facts.tasks.is_coarse() { Sureness::Medium } else { Sureness::High },
        certainty: String::new(),
        blind_spot: format!(
            "Long activities are fine while slots are free, so they are not judged.{coarse}"
        ),
    }
}
