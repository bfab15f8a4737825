//! The server answers late, or refuses requests. In Rust, a blocked runtime looks the same.

use crate::{
    facts::{Facts, SLOW_REQUESTS},
    finding::{Finding, Sureness, Verdict, evidence, percent, time},
    metric::Metric,
};

/// Statuses with which a server refuses or fails.
const REFUSED: [&str; 1] = ["RESOURCE_EXHAUSTED"];
const FAILED: [&str; 2] = ["UNAVAILABLE", "DEADLINE_EXCEEDED"];

/// Looks at requests that the server answers at once.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    limited(facts).or_else(|| slow(facts))
}

fn limited(facts: &Facts<'_>) -> Option<Finding> {
    let model = facts.model;
    let refused = model.failures(&REFUSED).max(model.counter(Metric::ResourceExhausted));
    let failed = model.failures(&FAILED);
    let requests = model.counter(Metric::Request).max(facts.requests.count);
    if refused + failed < 5.0 || refused + failed < 0.05 * requests {
        return None;
    }
    let limited = refused >= failed;
    let causes: Vec<&str> = model
        .counters
        .keys()
        .filter(|(metric, labels)| {
            *metric == Metric::ResourceExhausted && !labels.reason.is_empty()
        })
        .map(|(_, labels)| labels.reason.as_str())
        .collect();
    Some(Finding {
        verdict: Verdict::ServerSlow,
        headline: if limited {
            "the server limits this worker".into()
        } else {
            "requests to the server fail".into()
        },
        seen: format!(
            "{refused:.0} requests were refused (RESOURCE_EXHAUSTED{}), {failed:.0} failed (UNAVAILABLE or \
             DEADLINE_EXCEEDED), of {requests:.0}.",
            if causes.is_empty() { String::new() } else { format!(", {}", causes.join(", ")) }
        ),
        evidence: vec![
            evidence("refused_requests", refused, "count"),
            evidence("failed_requests", failed, "count"),
            evidence("requests", requests, "count"),
        ],
        meaning: "The SDK repeats such requests after a pause, and tasks wait in the meantime."
            .into(),
        next: if limited {
            "Ask for a higher limit of the namespace, or start less at a time. On a server of your own, \
             look at its rate limits (frontend.namespaceRPS)."
                .into()
        } else {
            "Look at the server's health and at the network to it. temporal operator cluster health"
                .into()
        },
        sureness: Sureness::High,
        certainty: "The server's own metrics show the same failures.".into(),
        blind_spot: "What on the server is slow.".into(),
    })
}

fn slow(facts: &Facts<'_>) -> Option<Finding> {
    let requests = &facts.requests;
    if requests.count < 10.0 || requests.mean() < SLOW_REQUESTS {
        return None;
    }
    let round_trip = facts.model.round_trip;
    let prompt_server = round_trip.is_some_and(|seconds| seconds < SLOW_REQUESTS / 3.0);
    let measured = round_trip.is_some_and(|seconds| seconds >= SLOW_REQUESTS / 3.0);
    // A long network path delays every request; a server or a runtime that pauses now and then delays only
    // some.
    let quick = requests.share_within(0.1).or_else(|| requests.share_within(0.05));
    let all_are_slow = quick.is_none_or(|share| share < 0.1);
    if prompt_server || !all_are_slow || facts.both_are_slow() {
        return None;
    }
    if facts.requests_are_uneven() == Some(true) && !measured {
        return None;
    }
    // A slow server leaves the work inside the worker as quick as ever.
    let quick_inside = facts.tasks.mean() < 0.04;
    let quickly = quick.map_or(String::new(), |share| {
        format!(" Only {} were answered within 100 ms.", percent(share))
    });
    Some(Finding {
        verdict: Verdict::ServerSlow,
        headline: format!("the server is slow: {} for a request", time(requests.mean())),
        seen: format!(
            "{:.0} requests that the server answers at once, such as RespondWorkflowTaskCompleted, took {} \
             on average.{quickly} Workflow tasks took {} inside the worker.",
            requests.count,
            time(requests.mean()),
            time(facts.tasks.mean()),
        ),
        evidence: vec![
            evidence("request_latency_mean", requests.mean(), "seconds"),
            evidence("requests", requests.count, "count"),
            evidence("workflow_task_execution_mean", facts.tasks.mean(), "seconds"),
            evidence("workflow_task_schedule_to_start_mean", facts.waits.mean(), "seconds"),
        ],
        meaning: "Every task needs several requests, so all workflows are late, whatever the worker does. \
                  Time on the server and time on the network look the same from here."
            .into(),
        next: "Measure the round trip to the server from the worker's machine: temporal operator \
               cluster health. Move the worker closer, or look at the server's persistence \
               latency."
            .into(),
        sureness: if (quick.is_some() && quick_inside) || measured {
            Sureness::High
        } else {
            Sureness::Medium
        },
        certainty: if measured {
            "The server's own latency metrics (service_latency) tell it from the network.".into()
        } else {
            "Add --server HOST:PORT: check-worker then measures the round trip itself.".into()
        },
        blind_spot: "In Rust, a blocked runtime also reads answers late. There some requests stay \
                     quick."
            .into(),
    })
}
