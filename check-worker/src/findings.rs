//! What holds up a worker: the verdicts, in the order in which they are decided.
//!
//! Each verdict has a module that looks at the model and returns `Some` only if everything it needs was seen.
//! The first finding is the verdict, the others follow it. If two causes look the same, the verdict is
//! `cannot_tell`.

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

use crate::{facts::Facts, finding::Finding, model::Model};

/// Whether a close-up would help: workflow tasks take longer than they should, and the cause is not clear.
pub fn wants_close_up(model: &Model) -> bool {
    let facts = Facts::of(model);
    model.family().has_loop()
        && !model.is_relayed()
        && facts.tasks_are_suspect()
        && facts.close_up.is_none()
}

/// What holds the worker up, the verdict first.
pub fn decide(model: &Model) -> Vec<Finding> {
    if let Some(finding) = too_little::no_worker(model) {
        return vec![finding];
    }
    let facts = Facts::of(model);
    let whose = [too_little::alternates, too_little::several, too_little::changes_seldom];
    if let Some(finding) = whose.into_iter().find_map(|look| look(model)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exposition::Page,
        family::Overrides,
        finding::Verdict,
        scrape::{Scrape, Trouble},
        tracker::Tracker,
    };

    /// A core-based worker that completes ten workflow tasks a second.
    struct Worker {
        labels: &'static str,
        /// How long they take on average, in milliseconds.
        took: u32,
        /// How many of the ten are quick.
        quick: u32,
        /// How long a request takes, in milliseconds.
        request: u32,
        /// At one moment in so many, a workflow that has ended is still in the cache.
        due_once_in: u32,
        /// The page changes as seldom, in seconds.
        every: u32,
    }

    const FROM_COLLECTOR: Worker = Worker {
        labels: "job=\"x\",otel_scope_name=\"y\"",
        took: 500,
        quick: 3,
        request: 90,
        due_once_in: 4,
        every: 1,
    };

    impl Worker {
        /// What it has counted after so many seconds.
        fn page(&self, second: u32, more_labels: &str) -> String {
            let tasks = 10 * second;
            let labels = format!("service_name=\"temporal-core-sdk\",{}{more_labels}", self.labels);
            let due = u32::from(second % self.due_once_in == 3);
            let requests = format!("{labels},operation=\"RespondWorkflowTaskCompleted\"");
            format!(
                "temporal_workflow_task_queue_poll_succeed{{{labels}}} {tasks}\n\
                 temporal_sticky_cache_hit{{{labels}}} 0\n\
                 temporal_workflow_completed{{{labels}}} {tasks}\n\
                 temporal_sticky_cache_size{{{labels}}} {due}\n\
                 temporal_worker_task_slots_used{{{labels},worker_type=\"WorkflowWorker\"}} 5\n\
                 temporal_worker_task_slots_available{{{labels},worker_type=\"WorkflowWorker\"}} 95\n\
                 temporal_workflow_task_execution_latency_bucket{{{labels},le=\"20\"}} {}\n\
                 temporal_workflow_task_execution_latency_bucket{{{labels},le=\"500\"}} {}\n\
                 temporal_workflow_task_execution_latency_sum{{{labels}}} {}\n\
                 temporal_workflow_task_execution_latency_count{{{labels}}} {tasks}\n\
                 temporal_request_latency_bucket{{{requests},le=\"100\"}} {}\n\
                 temporal_request_latency_bucket{{{requests},le=\"500\"}} {tasks}\n\
                 temporal_request_latency_sum{{{requests}}} {}\n\
                 temporal_request_latency_count{{{requests}}} {tasks}\n",
                self.quick * second,
                8 * second,
                self.took * tasks,
                8 * second,
                self.request * tasks,
            )
        }

        /// The verdict on its page, which is read each second for 20 s, and then every 20 ms for 8 s.
        fn verdict(&self) -> Verdict {
            let mut tracker = Tracker::new(Overrides::default());
            let apart = (0..20).map(|second| second * 1000);
            let close = (0..400).map(|step| 20_000 + step * 20);
            for at_ms in apart.chain(close) {
                let text = self.page(100 + at_ms / 1000 / self.every * self.every, "");
                let page = Page::parse(text.as_bytes()).map_err(Trouble::from);
                tracker.push(&Scrape { at_ms: i64::from(at_ms), took_ms: 1, page });
            }
            decide(&tracker.model())[0].verdict
        }
    }

    #[test]
    fn a_page_that_a_collector_serves_does_not_show_standstills() {
        for every in [1, 4] {
            let found = Worker { every, ..FROM_COLLECTOR }.verdict();
            assert_eq!(found, Verdict::CannotTell, "pushed every {every} s");
        }
        // Two changes are too few for anything.
        let seldom = Worker { every: 12, ..FROM_COLLECTOR };
        assert_eq!(seldom.verdict(), Verdict::NotEnoughData);
        // The same from the worker itself is a runtime that stands still for a second, again and again.
        let own_page = Worker { labels: "x=\"y\"", ..FROM_COLLECTOR };
        assert_eq!(own_page.verdict(), Verdict::Held);
    }

    #[test]
    fn a_thread_that_drops_workflows_at_once_does_not_delay_every_task() {
        let waits = Worker { quick: 0, request: 5, due_once_in: 20, ..FROM_COLLECTOR };
        assert_eq!(waits.verdict(), Verdict::SlowNotHeld);
        // A thread that is blocked now and then delays some tasks, and is free in between.
        let some = Worker { quick: 2, ..waits };
        assert_eq!(some.verdict(), Verdict::CannotTell);
        let late = Worker { quick: 0, due_once_in: 4, ..waits };
        assert_eq!(late.verdict(), Verdict::CannotTell);
        // Fewer than three tasks at a time: each may block the thread by itself, and leave it free for as long.
        let few = Worker { took: 290, ..waits };
        assert_eq!(few.verdict(), Verdict::CannotTell);
        // In Rust, requests share the thread.
        let requests = Worker { request: 90, ..waits };
        assert_eq!(requests.verdict(), Verdict::CannotTell);
    }

    #[test]
    fn a_page_of_several_workers_is_not_judged() {
        let mut tracker = Tracker::new(Overrides::default());
        for second in 0..30 {
            let page = |instance| FROM_COLLECTOR.page(second, &format!(",instance=\"{instance}\""));
            let page = Page::parse((page("a") + &page("b")).as_bytes()).map_err(Trouble::from);
            tracker.push(&Scrape { at_ms: i64::from(second) * 1000, took_ms: 1, page });
        }
        let found = decide(&tracker.model());
        assert_eq!(found[0].verdict, Verdict::CannotTell);
        assert!(found[0].headline.contains("2 workers"), "{}", found[0].headline);
    }
}
