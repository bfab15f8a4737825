//! Activities take so long, or never return, that they use up the slots.

use crate::{
    facts::{Facts, MOSTLY},
    finding::{Finding, Sureness, Verdict, evidence, percent, time},
    model::Slots,
    settings::Setting,
};

/// An activity that takes this long is slow if slots run out, in seconds.
const SLOW: f64 = 5.0;
/// With at least this many slots, an activity of a second uses them up only if there are very many.
const MANY_SLOTS: f64 = 50.0;

/// How long an activity keeps a slot on average: what is taken, by how many complete.
fn hold(facts: &Facts<'_>, slots: &Slots) -> f64 {
    slots.used.1 * facts.model.seconds / facts.activities.count.max(1.0)
}

/// The slowest type that took part, and its mean.
fn slowest(facts: &Facts<'_>) -> Option<(String, f64)> {
    let types = facts.model.activity_types().into_iter();
    types.map(|(name, dist)| (name, dist.mean())).max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Whether slow activities use up these slots.
pub fn explain(facts: &Facts<'_>, slots: &Slots) -> bool {
    let slowest = slowest(facts).map_or(0.0, |(_, mean)| mean);
    slowest >= SLOW
        || hold(facts, slots) >= 2.0 * SLOW
        || (slowest >= 1.0 && slots.total >= MANY_SLOTS)
}

/// Looks at activities that use up their slots.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    let all = facts.model.slots();
    let slots = all.iter().find(|slots| {
        slots.worker_type == "ActivityWorker" && slots.exhausted >= MOSTLY && explain(facts, slots)
    })?;
    let (tasks, activities) = facts.model.completed_at_end();
    // While workflow tasks complete, the worker is alive, and activities that do not are stuck.
    let stuck = activities == 0.0 && tasks >= 3.0;
    // A blocked loop delays activities and workflow tasks alike.
    let only_activities =
        slowest(facts).is_some_and(|(_, mean)| mean >= SLOW && facts.tasks.mean() < 0.05 * mean);
    if facts.model.seconds < 10.0 || (facts.tasks_are_slow() && !stuck && !only_activities) {
        return None;
    }
    let slowest = slowest(facts);
    let mut numbers = vec![
        evidence("slots", slots.total, "count"),
        evidence("time_without_free_slot", slots.exhausted, "share"),
        evidence("activities", facts.activities.count, "count"),
    ];
    let mut seen = format!(
        "All {:.0} activity slots were in use in {} of the samples, and {:.0} activities \
         completed in {:.0} s.",
        slots.total,
        percent(slots.exhausted),
        facts.activities.count,
        facts.model.seconds,
    );
    if let Some((name, mean)) = slowest.as_ref().filter(|(_, mean)| *mean >= 1.0) {
        seen += &format!(" The slowest type, {name}, took {} on average.", time(*mean));
        numbers.push(evidence("slowest_activity_mean", *mean, "seconds"));
    }
    let setting = Setting::ActivitySlots.named(facts.model.family(), facts.model.sdk);
    Some(Finding {
        verdict: Verdict::SlowActivities,
        headline: match (&slowest, stuck) {
            (_, true) => "activities do not return, and all their slots are taken".into(),
            (Some((name, mean)), false) if *mean >= 1.0 => {
                format!("slow activities use up the slots, {name} with {}", time(*mean))
            }
            _ => "slow activities use up the slots".into(),
        },
        seen,
        evidence: numbers,
        meaning: "Other activities wait on the server until one of these returns. Workflow tasks are quick: \
                  the worker itself is fine."
            .into(),
        next: if stuck {
            "Find out what these activities wait for. Give every activity a start-to-close timeout and a \
             heartbeat timeout, and stop when it is cancelled. A timeout on the server does not free the \
             slot by itself."
                .into()
        } else {
            format!(
                "Make them quicker, or give them a task queue and workers of their own, so that quick \
                 activities do not wait behind them. Else raise {setting}."
            )
        },
        sureness: if stuck || slowest.is_some_and(|(_, mean)| mean >= SLOW) {
            Sureness::High
        } else {
            Sureness::Medium
        },
        certainty: "temporal workflow describe shows pending activities, since when, and their attempt."
            .into(),
        blind_spot: "The types of the activities that are still running: the metrics name only \
                     those that ended."
            .into(),
    })
}
