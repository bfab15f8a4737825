//! What was seen of a worker, in one form for every SDK: durations in seconds, counters as gains.

use std::collections::BTreeMap;

use crate::{
    close_up::{CloseUp, Instant},
    dist::Dist,
    exposition::Sample,
    family::{Dialect, Family, Kinship},
    metric::Metric,
    scrape::Trouble,
    server::Queue,
};

/// The labels that a finding asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels {
    /// The type of a workflow.
    pub workflow_type: String,
    /// The type of an activity.
    pub activity_type: String,
    /// The kind of slots.
    pub worker_type: String,
    /// The kind of polls.
    pub poller_type: String,
    /// The gRPC method.
    pub operation: String,
    /// The gRPC status.
    pub status: String,
    /// Why a workflow task failed.
    pub reason: String,
    /// The task queue.
    pub task_queue: String,
    /// The namespace.
    pub namespace: String,
}

impl Labels {
    /// Those of a sample.
    pub fn of(sample: &Sample) -> Self {
        let label = |name| sample.label(name).to_owned();
        let reason = match sample.label("failure_reason") {
            "" => label("cause"),
            reason => reason.to_owned(),
        };
        Self {
            workflow_type: label("workflow_type"),
            activity_type: label("activity_type"),
            worker_type: label("worker_type"),
            poller_type: label("poller_type"),
            operation: label("operation"),
            status: label("status_code"),
            reason,
            task_queue: label("task_queue"),
            namespace: label("namespace"),
        }
    }
}

/// A gauge over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gauge {
    /// When, in milliseconds, and its value.
    pub samples: Vec<(i64, f64)>,
}

impl Gauge {
    /// Takes a value. In a close-up, one value for all of it is enough.
    pub fn push(&mut self, at_ms: i64, value: f64) {
        let is_close = self.samples.last().is_some_and(|(last, _)| at_ms - last < 120);
        if is_close && self.samples.len() > 200 {
            return;
        }
        self.samples.push((at_ms, value));
    }

    /// Its values, at most one each half second, so that a close-up weighs no more than any other time.
    pub fn values(&self) -> Vec<f64> {
        let mut taken: Vec<(i64, f64)> = Vec::new();
        for (at, value) in &self.samples {
            if taken.last().is_none_or(|(last, _)| at - last >= 500) {
                taken.push((*at, *value));
            }
        }
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The share of its values that are zero or less.
    pub fn share_at_zero(&self) -> f64 {
        let values = self.values();
        let zeros = values.iter().filter(|value| **value <= 0.0).count();
        zeros as f64 / values.len().max(1) as f64
    }

    /// The smallest and the largest value.
    pub fn range(&self) -> (f64, f64) {
        let values = self.values();
        let fold = |start, pick: fn(f64, f64) -> f64| values.iter().copied().fold(start, pick);
        (fold(f64::INFINITY, f64::min), fold(f64::NEG_INFINITY, f64::max))
    }

    /// The value in the middle.
    pub fn median(&self) -> f64 {
        let mut values = self.values();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    }
}

/// The totals of one page, for plots: counts and sums in seconds since the worker's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// How long the page took, in milliseconds.
    pub took_ms: u64,
    /// Workflow tasks.
    pub tasks: (f64, f64),
    /// Activity tasks.
    pub activities: (f64, f64),
    /// Workflow tasks' waits on the server.
    pub waits: (f64, f64),
    /// Requests that are no polls.
    pub requests: (f64, f64),
    /// Free slots for workflow tasks.
    pub workflow_slots_free: Option<f64>,
    /// Free slots for activities.
    pub activity_slots_free: Option<f64>,
    /// Polls in flight.
    pub pollers: Option<f64>,
}

/// A pool of slots.
#[derive(Clone, Debug, PartialEq)]
pub struct Slots {
    /// `WorkflowWorker`, `ActivityWorker` and so on.
    pub worker_type: String,
    /// The task queue.
    pub task_queue: String,
    /// How many there are.
    pub total: f64,
    /// The share of the time in which none was free.
    pub exhausted: f64,
    /// The fewest and the most that were taken.
    pub used: (f64, f64),
    /// The fewest that were free.
    pub fewest_free: f64,
}

/// What was seen of a worker.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// How its pages are read.
    pub dialect: Option<Dialect>,
    /// Whose pages they are.
    pub kinship: Option<Kinship>,
    /// From the first page to the last.
    pub seconds: f64,
    /// How many pages.
    pub pages: usize,
    /// How many of them had other counts than the one before.
    pub changes: usize,
    /// How many workers' metrics they have.
    pub workers: usize,
    /// How often the worker restarted.
    pub restarts: usize,
    /// Whether the pages are those of several workers in turn.
    pub alternates: bool,
    /// Whether series were left out.
    pub cut: bool,
    /// Pages that could not be read.
    pub troubles: Vec<Trouble>,
    /// What counters gained.
    pub counters: BTreeMap<(Metric, Labels), f64>,
    /// What durations gained.
    pub durations: BTreeMap<(Metric, Labels), Dist>,
    /// What gauges said.
    pub gauges: BTreeMap<(Metric, Labels), Gauge>,
    /// Totals of each page.
    pub points: Vec<Point>,
    /// What a close-up needs, of each page.
    pub instants: Vec<Instant>,
    /// How long each page took, in milliseconds.
    pub took_ms: Vec<u64>,
    /// The server's own round trip, in seconds, if it was measured.
    pub round_trip: Option<f64>,
    /// Its task queues, as the server describes them, if it was asked.
    pub queues: Vec<Queue>,
    /// The SDK, if the user or the pages say it.
    pub sdk: Option<crate::settings::Sdk>,
}

/// Requests that a worker sends when a task is done, or a client when it starts one: the server answers
/// them at once.
const PROMPT: [&str; 9] = [
    "RespondWorkflowTaskCompleted",
    "RespondWorkflowTaskFailed",
    "RespondActivityTaskCompleted",
    "RespondActivityTaskFailed",
    "RecordActivityTaskHeartbeat",
    "RecordWorkerHeartbeat",
    "StartWorkflowExecution",
    "SignalWorkflowExecution",
    "GetSystemInfo",
];

impl Model {
    /// Leaves out what gained nothing.
    pub fn drop_empty(&mut self) {
        self.counters.retain(|_, gained| *gained > 0.0);
        self.durations.retain(|_, dist| dist.count > 0.0);
    }

    /// The family; core if nothing is known.
    pub fn family(&self) -> Family {
        self.dialect.as_ref().map_or(Family::Core, |dialect| dialect.family)
    }

    /// Whether another process serves the pages: how and when they come says nothing about the worker.
    pub fn is_relayed(&self) -> bool {
        self.dialect.as_ref().is_some_and(|dialect| dialect.relayed)
    }

    /// The gain of a counter, over all labels.
    pub fn counter(&self, metric: Metric) -> f64 {
        self.counter_where(metric, |_| true)
    }

    /// The gain of a counter, over the labels that are asked for.
    pub fn counter_where(&self, metric: Metric, wanted: impl Fn(&Labels) -> bool) -> f64 {
        let of = |((m, labels), _): &(&(Metric, Labels), &f64)| *m == metric && wanted(labels);
        // The sum of nothing is -0.
        self.counters.iter().filter(of).map(|(_, gained)| gained).sum::<f64>() + 0.0
    }

    /// A duration over all labels.
    pub fn duration(&self, metric: Metric) -> Dist {
        self.duration_where(metric, |_| true)
    }

    /// A duration over the labels that are asked for.
    pub fn duration_where(&self, metric: Metric, wanted: impl Fn(&Labels) -> bool) -> Dist {
        let mut sum = Dist::default();
        for ((m, labels), dist) in &self.durations {
            if *m == metric && wanted(labels) {
                sum.add(dist);
            }
        }
        sum
    }

    /// A duration for each value of a label.
    pub fn by(&self, metric: Metric, label: fn(&Labels) -> &String) -> BTreeMap<String, Dist> {
        let mut by: BTreeMap<String, Dist> = BTreeMap::new();
        for ((m, labels), dist) in &self.durations {
            if *m == metric && !label(labels).is_empty() {
                by.entry(label(labels).clone()).or_default().add(dist);
            }
        }
        by
    }

    /// How workflow tasks took, by type.
    pub fn workflow_types(&self) -> BTreeMap<String, Dist> {
        self.by(Metric::WorkflowExecution, |labels| &labels.workflow_type)
    }

    /// How activities took, by type.
    pub fn activity_types(&self) -> BTreeMap<String, Dist> {
        self.by(Metric::ActivityExecution, |labels| &labels.activity_type)
    }

    /// How long the server took for requests that it answers at once.
    pub fn prompt_requests(&self) -> Dist {
        self.duration_where(Metric::RequestLatency, |labels| {
            PROMPT.contains(&labels.operation.as_str())
        })
    }

    /// Requests that failed with one of these statuses, whatever the case of its letters.
    pub fn failures(&self, statuses: &[&str]) -> f64 {
        let wanted = |labels: &Labels| {
            let plain = |status: &str| status.replace('_', "").to_ascii_uppercase();
            statuses.iter().any(|status| plain(status) == plain(&labels.status))
        };
        self.counter_where(Metric::RequestFailure, wanted)
            + self.counter_where(Metric::LongRequestFailure, wanted)
    }

    /// Workflow tasks that were answered too late.
    pub fn not_found(&self) -> f64 {
        self.counter_where(Metric::RequestFailure, |labels| {
            labels.operation == "RespondWorkflowTaskCompleted"
                && labels.status.replace('_', "").eq_ignore_ascii_case("notfound")
        })
    }

    /// The pools of slots whose size is known.
    pub fn slots(&self) -> Vec<Slots> {
        let gauge = |metric, labels: &Labels| self.gauges.get(&(metric, labels.clone()));
        let of_available = self.gauges.iter().filter(|((m, _), _)| *m == Metric::SlotsAvailable);
        of_available
            .map(|((_, labels), free)| {
                let used = gauge(Metric::SlotsUsed, labels).cloned().unwrap_or_default();
                let pairs = free.samples.iter().zip(&used.samples);
                let totals = pairs.filter(|((at, _), (other, _))| at == other);
                let total = totals.map(|((_, free), (_, used))| free + used).fold(0.0, f64::max);
                let used_range = if used.samples.is_empty() { (0.0, 0.0) } else { used.range() };
                Slots {
                    worker_type: labels.worker_type.clone(),
                    task_queue: labels.task_queue.clone(),
                    total,
                    exhausted: if total > 0.0 { free.share_at_zero() } else { 0.0 },
                    used: used_range,
                    fewest_free: free.range().0,
                }
            })
            .collect()
    }

    /// The share of the time in which tasks and polls together took all slots of a kind. A poll takes a slot
    /// before it is sent, so few slots show as few polls, and not always as none that is free.
    pub fn full_share(&self, worker_type: &str, task_queue: &str) -> f64 {
        let polls = if worker_type == "WorkflowWorker" {
            self.workflow_pollers()
        } else {
            self.activity_pollers()
        };
        let Some(polls) = polls else { return 0.0 };
        let is_wanted = |labels: &Labels| {
            labels.worker_type == worker_type
                && (task_queue.is_empty() || labels.task_queue == task_queue)
        };
        let at = |gauge: &Gauge, at: i64| {
            gauge
                .samples
                .binary_search_by_key(&at, |(at, _)| *at)
                .ok()
                .map(|index| gauge.samples[index].1)
        };
        let free = self
            .gauges
            .iter()
            .filter(|((metric, labels), _)| *metric == Metric::SlotsAvailable && is_wanted(labels));
        let mut shares: Vec<f64> = free
            .map(|(_, free)| {
                let both =
                    free.samples.iter().filter_map(|(when, free)| Some((free, at(&polls, *when)?)));
                let full: Vec<bool> =
                    both.map(|(free, polls)| free - polls.max(0.0) <= 0.5).collect();
                full.iter().filter(|full| **full).count() as f64 / full.len().max(1) as f64
            })
            .collect();
        shares.sort_by(f64::total_cmp);
        shares.last().copied().unwrap_or(0.0)
    }

    /// How many workflow tasks and activities completed in the second half of the time.
    pub fn completed_at_end(&self) -> (f64, f64) {
        let (Some(first), Some(last)) = (self.points.first(), self.points.last()) else {
            return (0.0, 0.0);
        };
        let middle = i64::midpoint(first.at_ms, last.at_ms);
        let at_middle = self.points.iter().rfind(|point| point.at_ms <= middle).unwrap_or(first);
        let since = |part: fn(&Point) -> f64| (part(last) - part(at_middle)).max(0.0);
        (since(|point| point.tasks.0), since(|point| point.activities.0))
    }

    /// Polls in flight for workflow tasks: the fewest and the most, over normal and sticky ones. Go and
    /// Java move them between the two, so only their sum says anything.
    pub fn workflow_pollers(&self) -> Option<Gauge> {
        self.pollers(|poller_type| {
            matches!(poller_type, "workflow_task" | "sticky_workflow_task" | "workflow_sticky_task")
        })
    }

    /// Polls in flight for activities.
    pub fn activity_pollers(&self) -> Option<Gauge> {
        self.pollers(|poller_type| poller_type == "activity_task")
    }

    fn pollers(&self, wanted: impl Fn(&str) -> bool) -> Option<Gauge> {
        let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
        for ((metric, labels), gauge) in &self.gauges {
            if *metric == Metric::Pollers && wanted(&labels.poller_type) {
                for (at, value) in &gauge.samples {
                    *sums.entry(*at).or_default() += value;
                }
            }
        }
        (!sums.is_empty()).then(|| Gauge { samples: sums.into_iter().collect() })
    }

    /// How the tasks completed, seen closely, if there was a close-up of the worker's own page. Another process's page
    /// stands still until the worker sends its metrics.
    pub fn close_up(&self) -> Option<CloseUp> {
        if self.is_relayed() {
            return None;
        }
        CloseUp::of(&self.instants, self.completions_per_second())
    }

    /// Tasks of both kinds that completed in a second.
    pub fn completions_per_second(&self) -> f64 {
        let completed = self.duration(Metric::WorkflowExecution).count
            + self.duration(Metric::ActivityExecution).count;
        completed / self.seconds.max(0.001)
    }

    /// The median and the longest time of a page, in milliseconds.
    pub fn page_times(&self) -> (u64, u64) {
        let mut sorted = self.took_ms.clone();
        sorted.sort_unstable();
        (sorted.get(sorted.len() / 2).copied().unwrap_or(0), sorted.last().copied().unwrap_or(0))
    }

    /// The namespace that the pages name.
    pub fn namespace(&self) -> Option<String> {
        let named = self.gauges.keys().map(|(_, labels)| labels.namespace.as_str());
        named.filter(|name| !matches!(*name, "" | "none")).map(str::to_owned).next()
    }

    /// Task queues that the pages name.
    pub fn task_queues(&self) -> Vec<String> {
        let of_gauges = self.gauges.keys().map(|(_, labels)| &labels.task_queue);
        let mut queues: Vec<String> =
            of_gauges.filter(|queue| !queue.is_empty()).cloned().collect();
        queues.sort();
        queues.dedup();
        queues
    }
}
