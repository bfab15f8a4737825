//! What holds up a worker: the verdicts, in the order in which they are decided.
//!
//! Each verdict has a module that looks at the model and answers `Some` only if everything that it needs
//! was seen. The first answer is the verdict, the others follow it. Where two causes look alike, the answer
//! is `cannot_tell`.

mod cannot_tell;
mod failing_tasks;
mod fine;
mod held;
mod overprovisioned;
mod server_slow;
mod slow_activities;
mod slow_not_held;
mod sticky_thrash;
mod too_few_pollers;
mod too_few_slots;
mod too_little;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{
    close_up::{CloseUp, Pattern, evictions_wander},
    dist::Dist,
    metric::Metric,
    model::Model,
};

/// What holds the worker up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing.
    Healthy,
    /// The thread that runs the worker's code is blocked.
    Held,
    /// All slots are taken, by tasks that are no slower than others.
    TooFewSlots,
    /// Too few polls are in flight.
    TooFewPollers,
    /// Activities take so long that they use up the slots.
    SlowActivities,
    /// Workflows leave the sticky cache too early.
    StickyThrash,
    /// Tasks are slow, each by itself.
    SlowNotHeld,
    /// The server answers late, or refuses requests.
    ServerSlow,
    /// Workflow tasks fail, because of their size or because of replay.
    TooLargeOrNondeterminism,
    /// More polls than there is work for.
    Overprovisioned,
    /// Too few tasks were seen.
    NotEnoughData,
    /// The page is not a worker's.
    NoWorker,
    /// Several causes look alike.
    CannotTell,
}

impl Verdict {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Held => "held",
            Self::TooFewSlots => "too_few_slots",
            Self::TooFewPollers => "too_few_pollers",
            Self::SlowActivities => "slow_activities",
            Self::StickyThrash => "sticky_thrash",
            Self::SlowNotHeld => "slow_not_held",
            Self::ServerSlow => "server_slow",
            Self::TooLargeOrNondeterminism => "too_large_or_nondeterminism",
            Self::Overprovisioned => "overprovisioned",
            Self::NotEnoughData => "not_enough_data",
            Self::NoWorker => "no_worker",
            Self::CannotTell => "cannot_tell",
        }
    }

    /// Whether it names something that holds the worker up.
    pub fn is_accusation(self) -> bool {
        !matches!(
            self,
            Self::Healthy
                | Self::Overprovisioned
                | Self::NotEnoughData
                | Self::NoWorker
                | Self::CannotTell
        )
    }

    /// Whether it says that nothing holds the worker up.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Healthy | Self::Overprovisioned)
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sureness {
    /// Other causes look alike.
    Low,
    /// It fits, and little else does.
    Medium,
    /// Nothing else that is known looks so.
    High,
}

impl Sureness {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A number that made a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// In what.
    pub unit: &'static str,
}

/// A finding, with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is.
    pub verdict: Verdict,
    /// One line: what holds the worker up.
    pub headline: String,
    /// The numbers, as a sentence.
    pub seen: String,
    /// The numbers, for programs.
    pub evidence: Vec<Evidence>,
    /// What they mean.
    pub meaning: String,
    /// What to do next.
    pub next: String,
    /// How sure it is.
    pub sureness: Sureness,
    /// What would make it certain.
    pub certainty: String,
    /// What these metrics do not show.
    pub blind_spot: String,
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut finding = serializer.serialize_struct("Finding", 4)?;
        finding.serialize_field("verdict", &self.verdict)?;
        finding.serialize_field("evidence", &self.evidence)?;
        finding.serialize_field("sureness", &self.sureness)?;
        finding.serialize_field("next", &self.next)?;
        finding.end()
    }
}

/// What several findings ask for, computed once.
pub struct Facts<'a> {
    /// What was seen.
    pub model: &'a Model,
    /// Workflow tasks in the worker.
    pub tasks: Dist,
    /// Activities in the worker.
    pub activities: Dist,
    /// Local activities, which run inside workflow tasks.
    pub local: Dist,
    /// Workflow tasks' wait on the server.
    pub waits: Dist,
    /// Activities' wait on the server.
    pub activity_waits: Dist,
    /// Requests that the server answers at once.
    pub requests: Dist,
    /// How tasks completed, seen closely.
    pub close_up: Option<CloseUp>,
    /// Whether evictions are carried out late, as pages show it that are apart; `None` if nothing shows.
    pub wander: Option<bool>,
    /// Workflow tasks that failed for their size or at replay.
    pub failed: f64,
}

impl<'a> Facts<'a> {
    fn of(model: &'a Model) -> Self {
        let misses = model.counter(Metric::StickyMiss);
        let failed = model.counter(Metric::WorkflowTaskFailed);
        let arrived = model.counter(Metric::PollSucceeded);
        // Workflows that come back or fail make the sum uncertain.
        let countable = model.family().has_loop() && misses + failed <= 0.02 * arrived;
        let ended = model.counter(Metric::WorkflowEnded);
        Self {
            model,
            tasks: model.duration(Metric::WorkflowExecution),
            activities: model.duration(Metric::ActivityExecution),
            local: model.duration(Metric::LocalActivityExecution),
            waits: model.duration(Metric::WorkflowScheduleToStart),
            activity_waits: model.duration(Metric::ActivityScheduleToStart),
            requests: model.prompt_requests(),
            close_up: model.close_up(),
            wander: countable.then(|| evictions_wander(&model.instants, ended)).flatten(),
            failed,
        }
    }

    /// Whether workflow tasks take longer than they should: longer than a healthy worker's, whose mean is
    /// 2 to 25 ms.
    pub fn tasks_are_slow(&self) -> bool {
        !self.local_activities_explain()
            && self.tasks.count >= 20.0
            && (self.tasks.mean() >= if self.model.family().has_loop() { 0.1 } else { 0.05 }
                || self.tasks.share_beyond(0.2).is_some_and(|s| s >= 0.1))
    }

    /// Whether workflow tasks may be held up: enough to look closely.
    pub fn tasks_are_suspect(&self) -> bool {
        !self.local_activities_explain()
            && self.tasks.count >= 20.0
            && (self.tasks.mean() >= 0.04 || self.tasks.share_beyond(0.1).is_some_and(|s| s >= 0.1))
    }

    /// A workflow task includes the local activities that it runs.
    pub fn local_activities_explain(&self) -> bool {
        self.local.sum > 0.5 * self.tasks.sum
    }

    /// Whether the server answers promptly, as far as the worker sees it.
    pub fn server_is_prompt(&self) -> bool {
        self.requests.mean() < server_slow::SLOW && !self.both_are_slow()
    }

    /// Whether the worker and the server are slow alike, as on a machine without free CPU time. Nothing
    /// that is slow says anything then.
    pub fn both_are_slow(&self) -> bool {
        self.tasks_are_slow()
            && self.requests.mean() >= 0.1
            && self.requests.mean() >= 0.25 * self.tasks.mean()
    }

    /// What the close-up shows.
    pub fn pattern(&self) -> Option<Pattern> {
        self.close_up.as_ref().map(CloseUp::pattern)
    }

    /// Whether the language carries out evictions late, which need no codec.
    pub fn evictions_are_late(&self) -> bool {
        let Some(wander) = self.wander else { return false };
        let seen = self.close_up.as_ref().map_or(0, |close| close.late_evictions);
        wander || seen >= 2 || (seen >= 1 && self.pattern() == Some(Pattern::StandStill))
    }

    /// Whether a thread that is blocked would have shown by evictions, and they were all carried out at
    /// once. With few tasks in the worker, the thread is often free right after a workflow ends.
    pub fn thread_is_free(&self) -> bool {
        self.wander == Some(false)
            && self.close_up.as_ref().is_some_and(|close| {
                close.late_evictions == 0
                    && close.ended >= 6.0
                    && close.in_hand >= 8.0
                    && close.paused >= 0.8
            })
    }
}

/// Whether a closer look would help: workflow tasks take longer than they should, and why is not plain.
pub fn wants_close_up(model: &Model) -> bool {
    let facts = Facts::of(model);
    model.family().has_loop() && facts.tasks_are_suspect() && facts.close_up.is_none()
}

/// What holds the worker up, the verdict first.
pub fn decide(model: &Model) -> Vec<Finding> {
    if let Some(finding) = too_little::no_worker(model) {
        return vec![finding];
    }
    let facts = Facts::of(model);
    if let Some(finding) = too_little::alternates(model) {
        return vec![finding];
    }
    let found: Vec<Finding> = [
        server_slow::look,
        held::look,
        too_few_slots::look,
        slow_activities::look,
        // A cache that is too small makes more work for the pollers, too.
        sticky_thrash::look,
        too_few_pollers::look,
        failing_tasks::look,
        slow_not_held::look,
    ]
    .into_iter()
    .filter_map(|look| look(&facts))
    .collect();
    if !found.is_empty() {
        return found;
    }
    if let Some(finding) = too_little::not_enough(&facts) {
        return vec![finding];
    }
    let last = cannot_tell::look(&facts)
        .or_else(|| overprovisioned::look(&facts))
        .unwrap_or_else(|| fine::look(&facts));
    vec![last]
}

// ---- how numbers are written

/// A duration in words: `4.2 ms`, `900 ms`, `1.7 s`.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.01 => format!("{:.1} ms", s * 1000.0),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1} s"),
        s => format!("{s:.0} s"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

fn evidence(name: &str, value: f64, unit: &'static str) -> Evidence {
    // Numbers beyond a thousandth say nothing.
    Evidence { name: name.to_owned(), value: (value * 1000.0).round() / 1000.0, unit }
}

/// Names in a sentence, at most three of them.
fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.into_iter().collect();
    match all.len() {
        0..=3 => all.join(", "),
        more => format!("{} and {} more", all[..3].join(", "), more - 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_two_digits_or_so() {
        assert_eq!([0.0042, 0.9, 1.72, 42.0].map(time), ["4.2 ms", "900 ms", "1.7 s", "42 s"]);
        assert_eq!(names(["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }

    #[test]
    fn a_name_in_json_is_the_name() {
        for verdict in [Verdict::Held, Verdict::TooLargeOrNondeterminism, Verdict::NoWorker] {
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("\"{}\"", verdict.name()));
        }
    }
}
