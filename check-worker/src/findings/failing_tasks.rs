//! Workflow tasks fail, because of their size or because of replay, and are tried again without end.

use crate::{
    facts::Facts,
    finding::{Finding, Sureness, Verdict, evidence, names},
    metric::Metric,
};

const TOO_LARGE: [&str; 3] = ["GrpcMessageTooLarge", "PayloadsTooLarge", "RequestTooLarge"];
const NONDETERMINISM: &str = "NonDeterminismError";

/// Looks at workflow tasks that failed, by reason.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    let failed = |wanted: &dyn Fn(&str) -> bool| {
        facts.model.counter_where(Metric::WorkflowTaskFailed, |labels| wanted(&labels.reason))
    };
    let too_large = failed(&|reason| TOO_LARGE.contains(&reason));
    let nondeterminism = failed(&|reason| reason == NONDETERMINISM);
    let count = too_large + nondeterminism;
    if count < 3.0 {
        return None;
    }
    let large = too_large >= nondeterminism;
    let types: Vec<&str> = facts
        .model
        .counters
        .keys()
        .filter(|(metric, labels)| {
            let reason = labels.reason.as_str();
            *metric == Metric::WorkflowTaskFailed
                && if large { TOO_LARGE.contains(&reason) } else { reason == NONDETERMINISM }
        })
        .map(|(_, labels)| labels.workflow_type.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    let types = if types.is_empty() { String::new() } else { format!(" Types: {}.", names(types)) };
    Some(Finding {
        verdict: Verdict::TooLargeOrNondeterminism,
        headline: if large {
            "workflow tasks fail because their payloads are too large".into()
        } else {
            "workflow tasks fail because replay takes another path".into()
        },
        seen: format!(
            "{too_large:.0} workflow tasks failed for their size, {nondeterminism:.0} because of \
             nondeterminism; {:.0} ended in the same time.{types}",
            facts.tasks.count,
        ),
        evidence: vec![
            evidence("too_large", too_large, "count"),
            evidence("nondeterminism", nondeterminism, "count"),
            evidence("workflow_tasks", facts.tasks.count, "count"),
        ],
        meaning: "The server hands such a task out again and again, so the workflow stands still and the \
                  worker works for nothing."
            .into(),
        next: if large {
            "Keep large data elsewhere and pass a reference, or compress it in the codec. The limits are 2 \
             MB for a payload and 4 MB for a message."
                .into()
        } else {
            "Find the change in the workflow's code: replay a history of such a workflow in a test. Use \
             patching or worker versioning for changes."
                .into()
        },
        sureness: Sureness::High,
        certainty: if large {
            "The worker's log names the workflow. [TMPRL1103] marks payloads beyond the limits.".into()
        } else {
            "The worker's log names the workflow and the event. [TMPRL1100] marks \
             nondeterminism.".into()
        },
        blind_spot: "Which workflows: the metrics name types only.".into(),
    })
}
