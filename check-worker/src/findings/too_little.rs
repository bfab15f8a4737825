//! Not a worker, several workers in turn, or too few tasks.

use crate::{
    facts::Facts,
    family::Kinship,
    finding::{Evidence, Finding, Sureness, Verdict, evidence},
    model::Model,
    scrape::Trouble,
};

/// Fewer workflow tasks and fewer activities than this say nothing.
const FEWEST: f64 = 20.0;
/// A page of another process that changed less often than this says nothing about gauges.
const FEWEST_CHANGES: usize = 3;

/// There is no page, or it is not a worker's.
pub fn no_worker(model: &Model) -> Option<Finding> {
    let (verdict, headline, meaning, next) = match (&model.kinship, model.troubles.last()) {
        (Some(Kinship::Worker(_)), _) => return None,
        (Some(Kinship::ClientOnly), _) => (
            Verdict::NoWorker,
            "this is a Temporal client, not a worker",
            "The page counts requests to a Temporal server, but no slots, polls or tasks. A \
             process that only starts workflows looks like this.",
            "Use the address of the process that runs the worker.",
        ),
        (Some(Kinship::Server), _) => (
            Verdict::NoWorker,
            "this is the Temporal server's own page",
            "The server runs workers for itself and counts their tasks here. Yours is another process.",
            "Use the metrics address of your worker.",
        ),
        (Some(Kinship::Stranger), _) => (
            Verdict::NoWorker,
            "these metrics are not those of a Temporal worker",
            "The page has metrics, but none of a Temporal SDK. Metrics may be switched off in the SDK, or \
             have a prefix that you chose.",
            "Switch on the SDK's Prometheus metrics. If your metrics have a prefix of their own, add \
             --prefix.",
        ),
        (None, Some(trouble @ Trouble::NotMetrics(_))) => {
            return Some(finding(
                Verdict::NoWorker,
                format!("this address serves something else: {trouble}"),
                "A worker serves plain text, one metric on each line.".into(),
                "Check the port and the path. Core-based SDKs serve /metrics, Spring Boot serves \
                 /actuator/prometheus."
                    .into(),
                vec![],
            ));
        }
        (None, trouble) => {
            let why = trouble.map_or("no page was read".to_owned(), ToString::to_string);
            return Some(finding(
                Verdict::CannotTell,
                format!("no answer from the worker: {why}"),
                "Without a page there is nothing to judge. If the worker is in Rust and serves its metrics \
                 from its own runtime, no answer can mean that the runtime is blocked."
                    .into(),
                "Check that the worker runs, and that its page is at this address: curl shows it.".into(),
                vec![evidence("failed_scrapes", model.troubles.len() as f64, "count")],
            ));
        }
    };
    Some(finding(verdict, headline.into(), meaning.into(), next.into(), vec![]))
}

/// The address answers for one worker, then for another.
pub fn alternates(model: &Model) -> Option<Finding> {
    model.alternates.then(|| {
        finding(
            Verdict::CannotTell,
            "the address answers for several workers in turn".into(),
            format!(
                "Counters fell {} times. They do so when a process restarts, or when a load balancer \
                 sends each request to another one.",
                model.restarts
            ),
            "Give the address of each worker itself: check-worker URL1 URL2. If the worker does restart \
             all the time, find out why first."
                .into(),
            vec![evidence("restarts", model.restarts as f64, "count")],
        )
    })
}

/// The page has several workers, as a collector's may.
pub fn several(model: &Model) -> Option<Finding> {
    (model.workers > 1).then(|| {
        finding(
            Verdict::CannotTell,
            format!("the page has the metrics of {} workers", model.workers),
            "They differ in the labels job and instance. check-worker judges one worker at a time, because the \
             slots, polls and tasks of several say little in sum."
                .into(),
            "Give the address of each worker itself. Or give each worker a service.instance.id, have Prometheus \
             scrape this page, and use --prometheus: it judges each instance."
                .into(),
            vec![evidence("workers", model.workers as f64, "count")],
        )
    })
}

/// The page comes from another process, which has had too little news of the worker.
pub fn changes_seldom(model: &Model) -> Option<Finding> {
    (model.is_relayed() && model.changes < FEWEST_CHANGES).then(|| {
        let times = if model.changes == 1 { "once".into() } else { format!("{} times", model.changes) };
        finding(
            Verdict::NotEnoughData,
            format!("the page changed {times} in {:.0} s", model.seconds),
            format!(
                "A collector or Prometheus serves it, so it changes only when the worker sends its metrics or is \
                 scraped, and while there is work. At least {FEWEST_CHANGES} changes are needed."
            ),
            "Look while there is work, and for several of these intervals: --for 5m. Core-based SDKs send their \
             metrics every second by default, Go's OpenTelemetry SDK every 60 s."
                .into(),
            vec![evidence("changes", model.changes as f64, "count")],
        )
    })
}

/// Too few tasks to judge.
pub fn not_enough(facts: &Facts<'_>) -> Option<Finding> {
    let (tasks, activities) = (facts.tasks.count, facts.activities.count);
    let slots = facts.model.slots();
    let busy = slots.iter().any(|s| s.worker_type == "WorkflowWorker" && s.used.0 >= 1.0);
    if tasks < 3.0 && busy && facts.model.seconds >= 10.0 {
        let mut finding = finding(
            Verdict::CannotTell,
            "the worker takes workflow tasks and completes none".into(),
            format!(
                "In {:.0} s it completed {tasks:.0}, while at least one was in the worker all the time. \
                 Either a call blocks it for good, or each task takes longer than that.",
                facts.model.seconds
            ),
            "Dump the worker's stack: py-spy dump (Python), --cpu-prof (Node). Look for [TMPRL1101] and \
             [TMPRL1104] in its log."
                .into(),
            vec![evidence("workflow_tasks", tasks, "count")],
        );
        finding.sureness = Sureness::Low;
        return Some(finding);
    }
    (tasks < FEWEST && activities < FEWEST).then(|| {
        let mut finding = finding(
            Verdict::NotEnoughData,
            format!("too few tasks: {tasks:.0} workflow tasks and {activities:.0} activities"),
            format!(
                "At least {FEWEST:.0} of either kind are needed. In {:.0} s the worker did less \
                 than that.",
                facts.model.seconds
            ),
            "Look while there is work, or longer: --for 5m".into(),
            vec![
                evidence("workflow_tasks", tasks, "count"),
                evidence("activities", activities, "count"),
            ],
        );
        if facts.waits.mean() >= 0.5 && facts.waits.count > 0.0 {
            finding.meaning += " Those few waited long on the server: the worker may be stuck.";
        }
        finding
    })
}

fn finding(
    verdict: Verdict,
    headline: String,
    meaning: String,
    next: String,
    evidence: Vec<Evidence>,
) -> Finding {
    Finding {
        verdict,
        headline,
        seen: String::new(),
        evidence,
        meaning,
        next,
        sureness: Sureness::High,
        certainty: String::new(),
        blind_spot: String::new(),
    }
}
