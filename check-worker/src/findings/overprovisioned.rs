//! More polls than there is work for. Nothing is held up.

use crate::{
    facts::Facts,
    finding::{Finding, Sureness, Verdict, evidence, percent, time},
    metric::Metric,
    settings::Setting,
};

/// Looks at polls that came back empty.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    let (full, empty) =
        (facts.model.counter(Metric::PollSucceeded), facts.model.counter(Metric::PollEmpty));
    let success = full / (full + empty).max(1.0);
    if empty < 20.0 || success >= 0.8 || facts.waits.mean() >= 0.1 {
        return None;
    }
    let setting = Setting::WorkflowPollers.named(facts.model.family(), facts.model.sdk);
    Some(Finding {
        verdict: Verdict::Overprovisioned,
        headline: "nothing holds it up; there are more polls than work".into(),
        seen: format!(
            "{} of {:.0} polls brought a workflow task. Workflow tasks waited {} on the server.",
            percent(success),
            full + empty,
            time(facts.waits.mean()),
        ),
        evidence: vec![
            evidence("poll_success", success, "share"),
            evidence("empty_polls", empty, "count"),
            evidence("schedule_to_start_mean", facts.waits.mean(), "seconds"),
        ],
        meaning:
            "Most polls time out after a minute. That costs connections and requests, not latency."
                .into(),
        next: format!("At this load, fewer workers or pollers would do: {setting}."),
        sureness: Sureness::Medium,
        certainty: "Look again at the time of the highest load.".into(),
        blind_spot: "The load at other times of the day.".into(),
    })
}
