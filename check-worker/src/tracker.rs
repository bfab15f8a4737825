//! Follows one worker's pages: what was counted between the first and the last, and what the gauges said.
//!
//! Memory is bounded: for each series only the last value and the gain are kept, and for each page, up to a
//! maximum, a few numbers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use crate::{
    close_up::Instant,
    exposition::{Page, Sample},
    family::{Dialect, Kinship, Overrides, detect},
    metric::{Kind, Metric, Part},
    model::{Gauge, Labels, Model, Point},
    scrape::{Scrape, Trouble},
    settings::Sdk,
};

/// Series of the SDK that are followed; further ones are left out.
const MOST_SERIES: usize = 20_000;
/// Pages whose numbers are kept; later ones still count.
const MOST_POINTS: usize = 4_000;
/// An address that restarts so often answers for several workers.
const ALTERNATES: usize = 3;
/// Workers of one page that are told apart; more are as many.
const MOST_WORKERS: usize = 100;

struct Followed {
    metric: Metric,
    part: Part,
    /// Shared: a histogram has a series for each bucket.
    labels: Arc<Labels>,
    /// The bound of a bucket, in seconds.
    bound: f64,
    last: f64,
    gained: f64,
    seconds: f64,
}

/// Follows one worker.
#[derive(Default)]
pub struct Tracker {
    overrides: Overrides,
    dialect: Option<Dialect>,
    kinship: Option<Kinship>,
    series: HashMap<u64, Followed>,
    labels: HashSet<Arc<Labels>>,
    gauges: BTreeMap<(Metric, Labels), Gauge>,
    points: Vec<Point>,
    instants: Vec<Instant>,
    took_ms: Vec<u64>,
    troubles: Vec<Trouble>,
    first_ms: Option<i64>,
    last_ms: i64,
    pages: usize,
    changes: usize,
    workers: BTreeSet<(String, String)>,
    restarts: usize,
    cut: bool,
    /// The worker was started during the watch, so everything it counts is new.
    from_zero: bool,
}

impl Tracker {
    /// A tracker that reads pages as the user says.
    pub fn new(overrides: Overrides) -> Self {
        Self { overrides, ..Self::default() }
    }

    /// Takes a page. Pages must come in the order of their time.
    pub fn push(&mut self, scrape: &Scrape) {
        let page = match &scrape.page {
            Ok(page) => page,
            Err(trouble) => {
                self.troubles.push(trouble.clone());
                return;
            }
        };
        self.took_ms.push(scrape.took_ms);
        let kinship = detect(page, &self.overrides);
        if let Kinship::Worker(dialect) = &kinship {
            // The first page of a worker that has done nothing says too little about the unit.
            self.dialect = Some(dialect.clone());
        }
        self.kinship = Some(kinship);
        let Some(dialect) = self.dialect.clone() else { return };
        if self.has_restarted(page, &dialect) {
            self.start_again();
        }
        self.cut |= page.cut;
        self.pages += 1;
        let is_first = self.pages == 1 && !self.from_zero;
        let at_ms = scrape.at_ms;
        self.first_ms.get_or_insert(at_ms);
        self.last_ms = at_ms.max(self.last_ms);
        let mut changed = false;
        for sample in page.samples.iter().filter(|sample| dialect.takes(sample)) {
            if sample.name.metric.is_distinctive() {
                self.note_worker(sample);
            }
            if is_gauge(sample) {
                let labels = Labels::of(sample);
                let gauge = self.gauges.entry((sample.name.metric, labels)).or_default();
                gauge.push(at_ms, sample.value);
            } else {
                changed |= self.count(sample, is_first);
            }
        }
        self.changes += usize::from(changed && !is_first);
        self.note_point(at_ms, scrape.took_ms);
    }

    /// A collector's page names the worker of each series in these labels.
    fn note_worker(&mut self, sample: &Sample) {
        let (job, instance) = (sample.label("job"), sample.label("instance"));
        let is_known = |(j, i): &(String, String)| j == job && i == instance;
        if self.workers.len() < MOST_WORKERS && !self.workers.iter().any(is_known) {
            self.workers.insert((job.to_owned(), instance.to_owned()));
        }
    }

    /// Counts a sample, and returns whether it is another number than before.
    fn count(&mut self, sample: &Sample, is_first: bool) -> bool {
        let value = if sample.value.is_finite() { sample.value.max(0.0) } else { 0.0 };
        let key = key(sample);
        let is_full = self.series.len() >= MOST_SERIES;
        match self.series.get_mut(&key) {
            Some(series) => {
                let changed = value != series.last;
                series.gained += (value - series.last).max(0.0);
                series.last = value;
                changed
            }
            None if is_full => {
                self.cut = true;
                false
            }
            None => {
                let seconds = self.dialect.as_ref().map_or(1.0, |d| d.to_seconds(sample));
                let le = sample.labels.get("le").and_then(|le| crate::exposition::value(le));
                // SDKs export a series only once it has counted something, so a new series started at 0.
                let gained = if is_first { 0.0 } else { value };
                let labels = Arc::new(Labels::of(sample));
                let labels = match self.labels.get(&labels) {
                    Some(known) => Arc::clone(known),
                    None => {
                        self.labels.insert(Arc::clone(&labels));
                        labels
                    }
                };
                self.series.insert(
                    key,
                    Followed {
                        metric: sample.name.metric,
                        part: sample.name.part,
                        labels,
                        bound: le.unwrap_or(f64::INFINITY) * seconds,
                        last: value,
                        gained,
                        seconds,
                    },
                );
                value > 0.0
            }
        }
    }

    /// Whether a counter fell, which only a new process does.
    fn has_restarted(&self, page: &Page, dialect: &Dialect) -> bool {
        page.samples.iter().filter(|s| dialect.takes(s) && !is_gauge(s)).any(|sample| {
            let before = self.series.get(&key(sample));
            before.is_some_and(|series| sample.value + 1e-6 < series.last * (1.0 - 1e-9))
        })
    }

    fn start_again(&mut self) {
        self.restarts += 1;
        self.series.clear();
        self.labels.clear();
        self.gauges.clear();
        self.points.clear();
        self.instants.clear();
        self.first_ms = Some(self.last_ms);
        self.pages = 0;
        self.changes = 0;
        self.from_zero = true;
    }

    fn note_point(&mut self, at_ms: i64, took_ms: u64) {
        if self.instants.len() >= MOST_POINTS {
            return;
        }
        let total = |metric, part| {
            let of = |s: &&Followed| s.metric == metric && s.part == part;
            self.series
                .values()
                .filter(of)
                .map(|s| s.last * if part == Part::Sum { s.seconds } else { 1.0 })
                .sum()
        };
        let now = |metric, worker_type: &str| {
            let of = |((m, labels), gauge): (&(Metric, Labels), &Gauge)| {
                let now = gauge.samples.last().filter(|(at, _)| *at == at_ms)?;
                (*m == metric && labels.worker_type.starts_with(worker_type)).then_some(now.1)
            };
            self.gauges.iter().filter_map(of).reduce(|sum, value| sum + value)
        };
        let (tasks, activities) = (
            total(Metric::WorkflowExecution, Part::Count),
            total(Metric::ActivityExecution, Part::Count),
        );
        let in_hand = now(Metric::SlotsUsed, "WorkflowWorker").unwrap_or(0.0)
            + now(Metric::SlotsUsed, "ActivityWorker").unwrap_or(0.0);
        let counted = |metric| total(metric, Part::Value);
        let cached = self.gauges.iter().filter(|((m, _), _)| *m == Metric::StickySize);
        let cached = cached.filter_map(|(_, gauge)| gauge.samples.last()).map(|(_, size)| size);
        // Workflows come into the cache with their first workflow task, or back with one that misses it.
        let cached_ever = counted(Metric::PollSucceeded)
            - counted(Metric::StickyHit)
            - counted(Metric::StickyMiss);
        let left = counted(Metric::WorkflowEnded) + counted(Metric::StickyEviction);
        self.instants.push(Instant {
            ended: counted(Metric::WorkflowEnded),
            evictions_due: left - (cached_ever - cached.sum::<f64>()),
            at_ms,
            completed: tasks + activities,
            received: total(Metric::ActivityReceived, Part::Value),
            arrived: total(Metric::PollSucceeded, Part::Value),
            in_hand,
            answers: total(Metric::RequestLatency, Part::Count)
                + total(Metric::LongRequestLatency, Part::Count),
            took_ms,
        });
        self.points.push(Point {
            at_ms,
            took_ms,
            tasks: (tasks, total(Metric::WorkflowExecution, Part::Sum)),
            activities: (activities, total(Metric::ActivityExecution, Part::Sum)),
            waits: (
                total(Metric::WorkflowScheduleToStart, Part::Count),
                total(Metric::WorkflowScheduleToStart, Part::Sum),
            ),
            requests: (
                total(Metric::RequestLatency, Part::Count),
                total(Metric::RequestLatency, Part::Sum),
            ),
            workflow_slots_free: now(Metric::SlotsAvailable, "WorkflowWorker"),
            activity_slots_free: now(Metric::SlotsAvailable, "ActivityWorker"),
            pollers: now(Metric::Pollers, ""),
        });
    }

    /// What is known so far.
    pub fn model(&self) -> Model {
        let mut model = Model {
            dialect: self.dialect.clone(),
            kinship: self.kinship.clone(),
            seconds: self
                .first_ms
                .map_or(0.0, |first| (self.last_ms - first).max(0) as f64 / 1000.0),
            pages: self.pages,
            changes: self.changes,
            workers: self.workers.len(),
            restarts: self.restarts,
            alternates: self.restarts >= ALTERNATES,
            cut: self.cut,
            troubles: self.troubles.clone(),
            points: self.points.clone(),
            instants: self.instants.clone(),
            took_ms: self.took_ms.clone(),
            gauges: self.gauges.clone(),
            sdk: self.series.values().any(|s| s.metric.is_codec_kits()).then_some(Sdk::Rust),
            ..Model::default()
        };
        for series in self.series.values() {
            let labels = || Labels::clone(&series.labels);
            match series.part {
                Part::Value => {
                    *model.counters.entry((series.metric, labels())).or_default() += series.gained
                }
                part => {
                    let dist = model.durations.entry((series.metric, labels())).or_default();
                    match part {
                        Part::Count => dist.count += series.gained,
                        Part::Sum => dist.sum += series.gained * series.seconds,
                        _ if series.bound.is_finite() => {
                            add_bucket(dist, series.bound, series.gained)
                        }
                        _ => {}
                    }
                }
            }
        }
        model.drop_empty();
        model
    }
}

fn add_bucket(dist: &mut crate::dist::Dist, bound: f64, gained: f64) {
    match dist.buckets.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
        Ok(at) => dist.buckets[at].1 += gained,
        Err(at) => dist.buckets.insert(at, (bound, gained)),
    }
}

/// Whether it is a gauge. OpenTelemetry's handler in Go exports counters as gauges, which are not meant here.
/// A summary's quantile is a gauge that is used nowhere.
fn is_gauge(sample: &Sample) -> bool {
    match sample.name.metric.kind() {
        Kind::Gauge => true,
        Kind::Counter => false,
        Kind::Duration => sample.name.part == Part::Value,
    }
}

fn key(sample: &Sample) -> u64 {
    let mut hasher = DefaultHasher::new();
    (sample.name, &sample.prefix).hash(&mut hasher);
    for (name, value) in &sample.labels {
        // "1.0" and "1" are the same bound.
        match (name.as_str(), value.parse::<f64>()) {
            ("le", Ok(bound)) => (name, bound.to_bits()).hash(&mut hasher),
            _ => (name, value).hash(&mut hasher),
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::NotMetrics;

    fn push(tracker: &mut Tracker, at_ms: i64, page: &str) {
        let page = Page::parse(page.as_bytes()).map_err(Trouble::from);
        tracker.push(&Scrape { at_ms, took_ms: 1, page });
    }

    fn page(hits: u32, misses: Option<u32>) -> String {
        let misses = misses.map_or(String::new(), |n| format!("temporal_sticky_cache_miss {n}\n"));
        format!(
            "temporal_num_pollers{{service_name=\"temporal-core-sdk\"}} 5\ntemporal_sticky_cache_hit {hits}\n{misses}"
        )
    }

    fn gained(tracker: &Tracker) -> (f64, f64) {
        let model = tracker.model();
        (model.counter(Metric::StickyHit), model.counter(Metric::StickyMiss))
    }

    #[test]
    fn a_gain_is_what_came_since_the_first_page() {
        let mut tracker = Tracker::new(Overrides::default());
        push(&mut tracker, 0, &page(100, None));
        push(&mut tracker, 1000, &page(103, Some(2)));
        push(&mut tracker, 2000, &page(110, Some(2)));
        assert_eq!(gained(&tracker), (10.0, 2.0));
        assert_eq!((tracker.model().seconds, tracker.model().pages), (2.0, 3));
    }

    #[test]
    fn a_page_that_counts_on_is_a_change() {
        let mut tracker = Tracker::new(Overrides::default());
        for (at, hits) in [(0, 100), (1000, 100), (2000, 103), (3000, 103), (4000, 104)] {
            push(&mut tracker, at, &page(hits, None));
        }
        assert_eq!(tracker.model().changes, 2);
    }

    #[test]
    fn only_a_codec_in_observed_says_that_it_is_rust() {
        let mut tracker = Tracker::new(Overrides::default());
        push(&mut tracker, 0, &page(100, None));
        assert_eq!(tracker.model().sdk, None);
        push(&mut tracker, 1000, &(page(101, None) + "codec_call_seconds_count 5\n"));
        assert_eq!(tracker.model().sdk, Some(Sdk::Rust));
    }

    #[test]
    fn after_a_restart_counting_starts_again() {
        let mut tracker = Tracker::new(Overrides::default());
        push(&mut tracker, 0, &page(100, Some(50)));
        push(&mut tracker, 1000, &page(110, Some(50)));
        push(&mut tracker, 2000, &page(4, None));
        push(&mut tracker, 3000, &page(6, None));
        let model = tracker.model();
        assert_eq!(gained(&tracker), (6.0, 0.0));
        assert_eq!((model.restarts, model.alternates, model.seconds), (1, false, 2.0));
    }

    #[test]
    fn pages_of_two_workers_in_turn_are_noticed() {
        let mut tracker = Tracker::new(Overrides::default());
        for at in 0..8 {
            push(&mut tracker, at * 1000, &page(if at % 2 == 0 { 100 } else { 20 }, None));
        }
        assert!(tracker.model().alternates);
    }

    #[test]
    fn a_page_that_fails_is_remembered() {
        let mut tracker = Tracker::new(Overrides::default());
        push(&mut tracker, 0, "<html>");
        let model = tracker.model();
        assert_eq!(model.troubles, [Trouble::NotMetrics(NotMetrics::Html)]);
        assert_eq!(model.pages, 0);
    }
}
