//! What several findings need.

use crate::{
    close_up::{CloseUp, Pattern, evictions_are_prompt, evictions_wander},
    dist::Dist,
    metric::Metric,
    model::Model,
};

/// A mean time of requests above which the server, or the way to it, is slow, in seconds.
pub(crate) const SLOW_REQUESTS: f64 = 0.3;
/// Slots count as used up if none is free in this share of the time.
pub(crate) const MOSTLY: f64 = 0.5;
/// A poll of a codec beyond this delays everything else on its thread, in seconds.
pub(crate) const LONG_POLL: f64 = 0.1;

/// What several findings need, computed once.
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
    /// Whether evictions are carried out late, judging by pages that are seconds apart; `None` if they do not
    /// show it.
    pub wander: Option<bool>,
    /// Whether the same pages show that all of them are carried out at once.
    pub prompt_evictions: bool,
    /// Workflow tasks that failed for their size or at replay.
    pub failed: f64,
}

impl<'a> Facts<'a> {
    /// Computes them.
    pub fn of(model: &'a Model) -> Self {
        let misses = model.counter(Metric::StickyMiss);
        let failed = model.counter(Metric::WorkflowTaskFailed);
        let arrived = model.counter(Metric::PollSucceeded);
        // Workflows that return to the cache or fail make the sum uncertain.
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
            prompt_evictions: countable && evictions_are_prompt(&model.instants, ended),
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

    /// Whether workflow tasks take so long that the reason must be known. A busy machine explains a long tail,
    /// so a mean counts here that is above it.
    pub fn tasks_are_doubtful(&self) -> bool {
        let above = self.tasks.mean() >= 0.06 && self.model.family().has_loop();
        self.tasks_are_slow() || (self.tasks_are_suspect() && above)
    }

    /// A workflow task includes the local activities that it runs.
    pub fn local_activities_explain(&self) -> bool {
        self.local.sum > 0.5 * self.tasks.sum
    }

    /// Whether the server answers promptly, as far as the worker sees it.
    pub fn server_is_prompt(&self) -> bool {
        self.requests.mean() < SLOW_REQUESTS && !self.both_are_slow()
    }

    /// Whether the worker and the server are both slow, as on a machine without free CPU time. Then no slow
    /// part indicates a cause.
    pub fn both_are_slow(&self) -> bool {
        let (requests, tasks) = (self.requests.mean(), self.tasks.mean());
        // Where tasks count as slow earlier, so do requests.
        let slow = if self.model.family().has_loop() { 0.1 } else { 0.05 };
        let alike = self.tasks_are_slow() && requests >= slow && requests >= 0.25 * tasks;
        // A slow server leaves the work inside the worker as quick as ever, so tasks that drag have another
        // cause.
        let drags = tasks >= 0.1 && !self.local_activities_explain();
        alike || (drags && requests >= SLOW_REQUESTS)
    }

    /// Whether requests take long, some of them far less than others. A long network path delays each of
    /// them; a server or a worker without free CPU time delays some. `None` if the buckets do not show it.
    pub fn requests_are_uneven(&self) -> Option<bool> {
        let mean = self.requests.mean();
        if mean < 0.1 {
            return Some(false);
        }
        let quick = self.requests.share_within(mean / 2.0)?;
        Some(quick >= 0.08)
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

    /// Whether late evictions would have shown a blocked thread, but all were carried out at once. With few
    /// tasks in the worker, the thread is often free right after a workflow ends.
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
