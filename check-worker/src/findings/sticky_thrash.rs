//! Workflows leave the sticky cache before their next task comes.

use crate::{
    facts::Facts,
    family::Family,
    finding::{Finding, Sureness, Verdict, evidence, percent, time},
    metric::Metric,
    settings::Setting,
};

/// Looks at hits and misses of the sticky cache.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    let model = facts.model;
    let (hits, misses) = (model.counter(Metric::StickyHit), model.counter(Metric::StickyMiss));
    let share = misses / (hits + misses).max(1.0);
    if hits + misses < 20.0 || share < 0.2 {
        return None;
    }
    let evictions = model.counter(Metric::StickyEviction);
    let threads = model.counter(Metric::ThreadEviction);
    // Tasks that are answered too late, or fail, leave the cache as well: then this is a consequence.
    if model.not_found() > 0.1 * misses || facts.failed > 0.3 * misses {
        return None;
    }
    let of_core = model.family() == Family::Core;
    if of_core && evictions < 0.3 * misses {
        return None;
    }
    let size = model.gauges.iter().filter(|((metric, _), _)| *metric == Metric::StickySize);
    let largest = size.map(|(_, gauge)| gauge.range().1).fold(0.0, f64::max);
    let reads = model
        .counter_where(Metric::Request, |labels| labels.operation == "GetWorkflowExecutionHistory");
    let replay = model.duration(Metric::WorkflowReplay);
    let by_threads = model.family() == Family::Java && threads > 0.5 * misses;
    let mut next =
        format!("Raise {}, if memory allows.", Setting::Cache.named(model.family(), model.sdk));
    if by_threads {
        next = "Raise WorkerFactoryOptions.setMaxWorkflowThreadCount (default 600): workflows left the \
                cache for want of threads."
            .into();
    }
    Some(Finding {
        verdict: Verdict::StickyThrash,
        headline: format!("the sticky cache is too small: {} of the lookups miss", percent(share)),
        seen: format!(
            "{misses:.0} of {:.0} workflow tasks did not find their workflow in the cache, which held at \
             most {largest:.0}. The worker read {reads:.0} histories again and replayed them, {} each.",
            hits + misses,
            time(replay.mean()),
        ),
        evidence: vec![
            evidence("sticky_cache_misses", misses, "count"),
            evidence("sticky_cache_hits", hits, "count"),
            evidence("sticky_cache_size_max", largest, "count"),
            evidence("forced_evictions", if by_threads { threads } else { evictions }, "count"),
            evidence("history_reads", reads, "count"),
        ],
        meaning: "For each miss the worker fetches the whole history and runs the workflow from its start. \
                  The codec decrypts every payload of it again."
            .into(),
        next,
        sureness: if of_core || by_threads { Sureness::High } else { Sureness::Medium },
        certainty: "Raise it and look again: misses stop.".into(),
        blind_spot: "Workers that have just restarted miss once for each open workflow. Other workers of \
                     the queue look the same here."
            .into(),
    })
}
