//! Something is slow, and the numbers fit more than one cause.

use crate::{
    facts::Facts,
    finding::{Finding, Sureness, Verdict, evidence, time},
    metric::Metric,
};

/// Looks for what is left unexplained.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    workflow_errors(facts)
        .or_else(|| both_are_slow(facts))
        .or_else(|| uneven_requests(facts))
        .or_else(|| held_or_slow(facts))
        .or_else(|| unexplained_waits(facts))
        .or_else(|| coarse(facts))
}

fn held_or_slow(facts: &Facts<'_>) -> Option<Finding> {
    facts.tasks_are_doubtful().then(|| {
        let looked = facts.close_up.is_some();
        Finding {
            verdict: Verdict::CannotTell,
            headline: format!("workflow tasks take {}: held or slow, these pages do not show \
                               which", time(facts.tasks.mean())),
            seen: format!(
                "{:.0} workflow tasks took {} inside the worker on average, while the server \
                 answered in {}.",
                facts.tasks.count,
                time(facts.tasks.mean()),
                time(facts.requests.mean()),
            ),
            evidence: vec![
                evidence("workflow_task_execution_mean", facts.tasks.mean(), "seconds"),
                evidence("workflow_tasks", facts.tasks.count, "count"),
                evidence("request_latency_mean", facts.requests.mean(), "seconds"),
            ],
            meaning: "Either the thread that runs the worker's code is blocked now and then, or each task \
                      waits for something of its own, such as a remote codec."
                .into(),
            next: if facts.model.is_relayed() && facts.model.changes < 8 {
                "Look for longer, so that the page changes at least eight times: --for 5m. Then ended workflows that \
                 stay in the cache show a blocked thread."
                    .into()
            } else if facts.model.is_relayed() {
                "Point check-worker at a metrics address of the worker itself, if it can have one: there, a \
                 close-up tells the two apart. This page changes only when the worker sends its metrics. Or dump \
                 the worker's stack a few times: py-spy dump (Python), --cpu-prof (Node)."
                    .into()
            } else if looked {
                "Look again while there is more load, and longer: --for 2m. Or dump the worker's stack a few \
                 times: py-spy dump (Python), --cpu-prof (Node)."
                    .into()
            } else {
                "Point check-worker at the worker's own address while it is busy. It then takes a close-up, \
                 a page every 20 ms, which tells the two apart."
                    .into()
            },
            sureness: Sureness::Low,
            certainty: String::new(),
            blind_spot: "Pages that are seconds apart show neither.".into(),
        }
    })
}

fn both_are_slow(facts: &Facts<'_>) -> Option<Finding> {
    facts.both_are_slow().then(|| Finding {
        verdict: Verdict::CannotTell,
        headline: "the worker and the server are both slow: is there free CPU time?".into(),
        seen: format!(
            "{:.0} workflow tasks took {} inside the worker on average, and requests to the server {}.",
            facts.tasks.count,
            time(facts.tasks.mean()),
            time(facts.requests.mean()),
        ),
        evidence: vec![
            evidence("workflow_task_execution_mean", facts.tasks.mean(), "seconds"),
            evidence("request_latency_mean", facts.requests.mean(), "seconds"),
        ],
        meaning: "On a machine without free CPU time everything is slow, and causes cannot be told apart. \
                  In Rust, a blocked runtime delays both as well."
            .into(),
        next: "Look at the CPU use of the worker's machine, and of the container's limit. Then look again."
            .into(),
        sureness: Sureness::Low,
        certainty: String::new(),
        blind_spot: "CPU use: no SDK exports it.".into(),
    })
}

fn uneven_requests(facts: &Facts<'_>) -> Option<Finding> {
    let waits = facts.waits.mean().max(facts.activity_waits.mean()) >= 0.2;
    let uneven = waits && facts.requests_are_uneven() == Some(true);
    let doubtful = facts.requests.count >= 10.0 && (uneven || !facts.server_is_prompt());
    doubtful.then(|| Finding {
        verdict: Verdict::CannotTell,
        headline: "some requests are slow, and others are not".into(),
        seen: format!(
            "{:.0} requests took {} on average, some of them much less.",
            facts.requests.count,
            time(facts.requests.mean())
        ),
        evidence: vec![evidence("request_latency_mean", facts.requests.mean(), "seconds")],
        meaning: "A server that pauses now and then, a machine without free CPU time, and a Rust worker whose \
                  runtime is blocked and reads answers late all look the same."
            .into(),
        next: "Look at the CPU use of the worker's machine. Add --server HOST:PORT, so that check-worker \
               measures the server's round trip itself."
            .into(),
        sureness: Sureness::Low,
        certainty: String::new(),
        blind_spot: "The server's own metrics.".into(),
    })
}

fn workflow_errors(facts: &Facts<'_>) -> Option<Finding> {
    let errors = facts.model.counter_where(Metric::WorkflowTaskFailed, |labels| {
        labels.reason == "WorkflowError" || labels.reason.is_empty()
    });
    (errors >= 3.0 && errors >= 0.05 * facts.tasks.count).then(|| Finding {
        verdict: Verdict::CannotTell,
        headline: "workflow tasks fail with an error of the workflow's code".into(),
        seen: format!("{errors:.0} workflow tasks failed with WorkflowError, of {:.0}.", facts.tasks.count),
        evidence: vec![
            evidence("workflow_errors", errors, "count"),
            evidence("workflow_tasks", facts.tasks.count, "count"),
        ],
        meaning: "The server tries such a task again and again. An exception in workflow code, a payload \
                  that cannot be decoded, and a deadlock all count as this."
            .into(),
        next: "Read the worker's log: it has the error. [TMPRL1101] marks a deadlock.".into(),
        sureness: Sureness::High,
        certainty: String::new(),
        blind_spot: "The error itself.".into(),
    })
}

fn unexplained_waits(facts: &Facts<'_>) -> Option<Finding> {
    let (tasks, activities) = (facts.waits.mean(), facts.activity_waits.mean());
    (tasks >= 0.2 || activities >= 0.5).then(|| Finding {
        verdict: Verdict::CannotTell,
        headline: "tasks wait on the server, and this worker does not show why".into(),
        seen: format!(
            "Workflow tasks waited {} on the server, activities {}. In the worker they took {} and {}.",
            time(tasks),
            time(activities),
            time(facts.tasks.mean()),
            time(facts.activities.mean()),
        ),
        evidence: vec![
            evidence("workflow_task_schedule_to_start_mean", tasks, "seconds"),
            evidence("activity_schedule_to_start_mean", activities, "seconds"),
        ],
        meaning: "Its slots, polls and tasks look right. Other workers of the same task queue may be slow, \
                  too few workers may run, or a rate limit holds tasks back."
            .into(),
        next: "temporal task-queue describe --task-queue NAME shows the backlog and who polls. Give every \
               worker's address to check-worker."
            .into(),
        sureness: Sureness::Low,
        certainty: String::new(),
        blind_spot: "Workers whose pages were not given.".into(),
    })
}

fn coarse(facts: &Facts<'_>) -> Option<Finding> {
    // The mean hides a few slow tasks among many quick ones, and there is nothing but the mean.
    let hidden = facts.tasks.is_coarse() && facts.tasks.mean() >= 0.08;
    hidden.then(|| Finding {
        verdict: Verdict::CannotTell,
        headline: "the histograms are too coarse".into(),
        seen: format!(
            "The smallest bucket ends at {}, and the mean is {}.",
            time(
                facts
                    .tasks
                    .buckets
                    .iter()
                    .map(|(bound, _)| *bound)
                    .find(|b| *b > 0.0)
                    .unwrap_or(0.0)
            ),
            time(facts.tasks.mean())
        ),
        evidence: vec![evidence("workflow_task_execution_mean", facts.tasks.mean(), "seconds")],
        meaning:
            "Go's OpenTelemetry handler uses buckets made for milliseconds, and records seconds."
                .into(),
        next: "Give the metrics reader a view with buckets from 1 ms to 10 s.".into(),
        sureness: Sureness::Low,
        certainty: String::new(),
        blind_spot: "Anything shorter than the smallest bucket.".into(),
    })
}
