//! The names of the SDKs' metrics, under every prefix and with every suffix.

/// A metric that a finding asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// How long a workflow task waited on the server.
    WorkflowScheduleToStart,
    /// How long an activity task waited on the server.
    ActivityScheduleToStart,
    /// How long a worker had a workflow task.
    WorkflowExecution,
    /// How long replay took.
    WorkflowReplay,
    /// How long a worker had an activity task.
    ActivityExecution,
    /// How long a worker had a local activity.
    LocalActivityExecution,
    /// Workflow tasks that failed.
    WorkflowTaskFailed,
    /// Activity tasks that core handed to the language.
    ActivityReceived,
    /// Polls that returned a workflow task.
    PollSucceeded,
    /// Polls that returned none.
    PollEmpty,
    /// Polls that returned no activity.
    ActivityPollEmpty,
    /// Slots that are free.
    SlotsAvailable,
    /// Slots that are taken.
    SlotsUsed,
    /// Polls in flight.
    Pollers,
    /// Starts of a worker.
    WorkerStart,
    /// Workflow tasks whose workflow was in the sticky cache.
    StickyHit,
    /// Workflow tasks whose workflow was not.
    StickyMiss,
    /// Workflows in the sticky cache.
    StickySize,
    /// Workflows that left the sticky cache before their end.
    StickyEviction,
    /// Java: evictions for want of threads.
    ThreadEviction,
    /// Java: threads of workflows.
    ActiveThreads,
    /// Workflows that ended, one way or another.
    WorkflowEnded,
    /// Requests to the server.
    Request,
    /// Requests that failed.
    RequestFailure,
    /// How long a request took.
    RequestLatency,
    /// Long polls that were sent.
    LongRequest,
    /// Long polls that failed.
    LongRequestFailure,
    /// How long a long poll took.
    LongRequestLatency,
    /// Go: requests that the server refused because of a limit.
    ResourceExhausted,
    /// `codec_kit::Observed` in Rust: the longest single poll of each call of the codec.
    CodecPoll,
    /// `codec_kit::Observed` in Rust: how long each call of the codec took, waits included.
    CodecCall,
}

/// What kind of metric it is; the kind decides its suffixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A histogram, a summary, or their count and sum.
    Duration,
}

/// The unit that a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// `_milliseconds`.
    Milliseconds,
    /// `_seconds`.
    Seconds,
}

/// The part of a metric that a series holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A counter, a gauge, or a quantile of a summary.
    Value,
    /// How many were measured.
    Count,
    /// Their sum.
    Sum,
    /// How many were at most `le`.
    Bucket,
}

/// What a series' name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The metric.
    pub metric: Metric,
    /// The part of it.
    pub part: Part,
    /// The unit, if the name has one.
    pub unit: Option<Unit>,
    /// Whether the name ends in `_total`, as counters may.
    pub total: bool,
}

use Kind::{Counter, Duration, Gauge};
use Metric as M;

/// Names without prefix and suffix. A longer name stands before one that it ends in.
const NAMES: [(&str, Metric, Kind); 36] = [
    ("workflow_task_schedule_to_start_latency", M::WorkflowScheduleToStart, Duration),
    ("activity_schedule_to_start_latency", M::ActivityScheduleToStart, Duration),
    ("workflow_task_execution_latency", M::WorkflowExecution, Duration),
    ("workflow_task_replay_latency", M::WorkflowReplay, Duration),
    ("local_activity_execution_latency", M::LocalActivityExecution, Duration),
    ("activity_execution_latency", M::ActivityExecution, Duration),
    ("workflow_task_execution_failed", M::WorkflowTaskFailed, Counter),
    ("activity_task_received", M::ActivityReceived, Counter),
    ("workflow_task_queue_poll_succeed", M::PollSucceeded, Counter),
    ("workflow_task_queue_poll_empty", M::PollEmpty, Counter),
    ("activity_poll_no_task", M::ActivityPollEmpty, Counter),
    ("worker_task_slots_available", M::SlotsAvailable, Gauge),
    ("worker_task_slots_used", M::SlotsUsed, Gauge),
    ("num_pollers", M::Pollers, Gauge),
    ("worker_start", M::WorkerStart, Counter),
    ("sticky_cache_hit", M::StickyHit, Counter),
    ("sticky_cache_miss", M::StickyMiss, Counter),
    ("sticky_cache_size", M::StickySize, Gauge),
    ("sticky_cache_total_forced_eviction", M::StickyEviction, Counter),
    // With OpenTelemetry's monotonic counters, Go writes the `total` at the end.
    ("sticky_cache_forced_eviction", M::StickyEviction, Counter),
    ("sticky_cache_thread_forced_eviction", M::ThreadEviction, Counter),
    ("workflow_active_thread_count", M::ActiveThreads, Gauge),
    ("workflow_completed", M::WorkflowEnded, Counter),
    ("workflow_failed", M::WorkflowEnded, Counter),
    ("workflow_canceled", M::WorkflowEnded, Counter),
    ("workflow_continue_as_new", M::WorkflowEnded, Counter),
    ("long_request_resource_exhausted", M::ResourceExhausted, Counter),
    ("request_resource_exhausted", M::ResourceExhausted, Counter),
    ("long_request_latency", M::LongRequestLatency, Duration),
    ("long_request_failure", M::LongRequestFailure, Counter),
    ("long_request", M::LongRequest, Counter),
    ("request_latency", M::RequestLatency, Duration),
    ("request_failure", M::RequestFailure, Counter),
    ("request", M::Request, Counter),
    ("codec_poll", M::CodecPoll, Duration),
    ("codec_call", M::CodecCall, Duration),
];

impl Metric {
    /// What kind of metric it is.
    pub fn kind(self) -> Kind {
        NAMES.iter().find(|(_, metric, _)| *metric == self).map_or(Counter, |(_, _, kind)| *kind)
    }

    /// Its name in the SDK metrics reference, without prefix and suffix.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, metric, _)| *metric == self).map_or("", |(name, _, _)| name)
    }

    /// Whether `codec_kit::Observed` exports it, and not an SDK.
    pub fn is_codec_kits(self) -> bool {
        matches!(self, M::CodecPoll | M::CodecCall)
    }

    /// Whether only a Temporal SDK has a metric of this name: it is proof of a prefix.
    pub fn is_distinctive(self) -> bool {
        matches!(
            self,
            M::WorkflowScheduleToStart
                | M::ActivityScheduleToStart
                | M::WorkflowExecution
                | M::PollSucceeded
                | M::SlotsAvailable
                | M::SlotsUsed
                | M::Pollers
                | M::StickySize
        )
    }
}

/// Splits a series' name into its prefix and what the rest says; `None` if no SDK has such a metric.
pub fn recognise(name: &str) -> Option<(&str, Name)> {
    let parts = [("_bucket", Part::Bucket), ("_count", Part::Count), ("_sum", Part::Sum)];
    let (stem, part) = parts
        .into_iter()
        .find_map(|(suffix, part)| Some((name.strip_suffix(suffix)?, part)))
        .unwrap_or((name, Part::Value));
    let (stem, unit) = if let Some(stem) = stem.strip_suffix("_milliseconds") {
        (stem, Some(Unit::Milliseconds))
    } else if let Some(stem) = stem.strip_suffix("_seconds") {
        (stem, Some(Unit::Seconds))
    } else {
        (stem, None)
    };
    let (bare, total) = match stem.strip_suffix("_total") {
        Some(bare) => (bare, true),
        None => (stem, false),
    };
    NAMES.iter().find_map(|(known, metric, kind)| {
        let prefix = bare.strip_suffix(known)?;
        let fits = match kind {
            Duration => !total,
            Counter | Gauge => part == Part::Value && unit.is_none() && !(total && *kind == Gauge),
        };
        let whole_words = prefix.is_empty() || prefix.ends_with('_') || prefix.ends_with(':');
        let name = Name { metric: *metric, part, unit, total };
        (fits && whole_words).then_some((prefix, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_recognised_with_every_prefix_and_suffix() {
        let cases = [
            ("temporal_request", "temporal_", M::Request, Part::Value, None, false),
            ("temporal_long_request_total", "temporal_", M::LongRequest, Part::Value, None, true),
            ("request_latency_sum", "", M::RequestLatency, Part::Sum, None, false),
            (
                "app_temporal_workflow_task_execution_latency_seconds_bucket",
                "app_temporal_",
                M::WorkflowExecution,
                Part::Bucket,
                Some(Unit::Seconds),
                false,
            ),
            (
                "temporal_local_activity_execution_latency_milliseconds_count",
                "temporal_",
                M::LocalActivityExecution,
                Part::Count,
                Some(Unit::Milliseconds),
                false,
            ),
            (
                "temporal_sticky_cache_forced_eviction_total",
                "temporal_",
                M::StickyEviction,
                Part::Value,
                None,
                true,
            ),
            (
                "temporal_sticky_cache_total_forced_eviction_total",
                "temporal_",
                M::StickyEviction,
                Part::Value,
                None,
                true,
            ),
        ];
        for (name, prefix, metric, part, unit, total) in cases {
            let expected = Name { metric, part, unit, total };
            assert_eq!(recognise(name), Some((prefix, expected)), "{name}");
        }
    }

    #[test]
    fn what_is_no_metric_of_an_sdk_is_not_recognised() {
        for name in [
            "up",
            "myrequest",
            "temporal_request_attempt",
            "temporal_request_latency_attempt_seconds_sum",
            "temporal_activity_execution_failed",
            "temporal_activity_execution_latency_seconds_max",
            "temporal_num_pollers_total",
            "temporal_request_created",
        ] {
            assert_eq!(recognise(name), None, "{name}");
        }
    }

    #[test]
    fn a_longer_name_stands_before_one_that_it_ends_in() {
        for (at, (name, ..)) in NAMES.iter().enumerate() {
            for (earlier, ..) in &NAMES[..at] {
                assert!(!name.ends_with(&format!("_{earlier}")), "{earlier} hides {name}");
            }
        }
    }
}
