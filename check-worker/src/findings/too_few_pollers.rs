//! Polls come back at once, with a task each, and more tasks wait.

use crate::{
    dist::Dist,
    facts::Facts,
    finding::{Finding, Sureness, Verdict, evidence, time},
    metric::Metric,
    model::Gauge,
    settings::Setting,
};

/// More polls in flight than this are not few.
const FEW: f64 = 20.0;

/// Looks at polls for workflow tasks, then at those for activities.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    // Where requests take long for want of CPU time, so do polls, however many there are.
    let busy = facts.requests_are_uneven().unwrap_or(facts.requests.mean() >= 0.2);
    if facts.tasks_are_slow() || !facts.server_is_prompt() || busy {
        return None;
    }
    let model = facts.model;
    let polls = |operation: &str| {
        model.duration_where(Metric::LongRequestLatency, |labels| labels.operation == operation)
    };
    let workflow = model.workflow_pollers();
    let activity = model.activity_pollers();
    one(facts, &facts.waits, workflow, &polls("PollWorkflowTaskQueue"), Setting::WorkflowPollers)
        .or_else(|| {
            let polls = polls("PollActivityTaskQueue");
            one(facts, &facts.activity_waits, activity, &polls, Setting::ActivityPollers)
        })
}

fn one(
    facts: &Facts<'_>,
    waits: &Dist,
    pollers: Option<Gauge>,
    polls: &Dist,
    setting: Setting,
) -> Option<Finding> {
    let pollers = pollers?;
    let round_trip = facts.requests.mean();
    let kind =
        if setting == Setting::WorkflowPollers { "WorkflowWorker" } else { "ActivityWorker" };
    let slots = facts.model.slots();
    let mut free = slots.iter().filter(|slots| slots.worker_type == kind);
    let has_free = free.all(|slots| slots.fewest_free >= 1.0);
    let full = facts.model.full_share(kind, "");
    let empty = facts.model.counter(Metric::PollEmpty);
    // In a healthy worker, a poll waits for the next task, far longer than a round trip.
    let returns_at_once = polls.mean() <= 2.0 * round_trip + 0.01;
    let fits = waits.count >= 20.0
        && waits.mean() >= 0.2
        && polls.count >= 20.0
        && round_trip > 0.0
        && returns_at_once
        && pollers.range().1 <= FEW
        && has_free
        && full < 0.5
        && (empty < 0.05 * polls.count);
    if !fits {
        return None;
    }
    let what = if setting == Setting::WorkflowPollers { "workflow tasks" } else { "activities" };
    let name = setting.named(facts.model.family(), facts.model.sdk);
    Some(Finding {
        verdict: Verdict::TooFewPollers,
        headline: format!("too few polls for {what}: {:.0} at a time", pollers.range().1),
        seen: format!(
            "{:.0} {what} waited {} on the server on average, while slots were free. Each poll came back \
             within {}, about a round trip ({}), with a task.",
            waits.count,
            time(waits.mean()),
            time(polls.mean()),
            time(round_trip),
        ),
        evidence: vec![
            evidence("schedule_to_start_mean", waits.mean(), "seconds"),
            evidence("poll_mean", polls.mean(), "seconds"),
            evidence("request_latency_mean", round_trip, "seconds"),
            evidence("polls_in_flight", pollers.range().1, "count"),
        ],
        meaning: format!(
            "A poll brings at most one task each round trip. {:.0} polls at {} bring at most \
             {:.0} a second.",
            pollers.range().1,
            time(polls.mean()),
            pollers.range().1 / polls.mean().max(0.001),
        ),
        next: format!("Raise {name}, or let it scale by itself (poller autoscaling)."),
        sureness: if polls.mean() >= 0.02 { Sureness::High } else { Sureness::Medium },
        certainty: "Double it and look again: the wait on the server falls.".into(),
        blind_spot: "Other workers of the same task queue.".into(),
    })
}
