//! A Temporal worker, from the standard metrics of the SDKs that are built on Temporal's Core (Rust,
//! Python, TypeScript, .NET, Ruby) in their default form.
//!
//! Nothing here belongs to the workshop: the dashboard can be imported into any Grafana whose
//! Prometheus datasource has the uid `prometheus`, for workers whose metrics are in milliseconds and
//! have no suffix for unit or kind. For all others, panels show "No data": no query falls back to a
//! number, because a metric under another name would look like one that counted nothing.

use crate::panel::{Dashboard, Panel, Row, Variable, View, query};

/// Which series are shown.
const CHOSEN: &str = r#"namespace=~"$namespace", task_queue=~"$task_queue""#;
/// The same for requests other than polls, which belong to no task queue.
const CHOSEN_NAMESPACE: &str = r#"namespace=~"$namespace""#;
/// A gauge that every worker has at all times.
const SLOTS: &str = "temporal_worker_task_slots_available";

/// The bounds of buckets below 1, as SDKs write them: `0.1`, `0.05`, `5e-05`.
const BELOW_ONE: &str = "0[.].*[1-9].*|.+e-.+";

/// Less than a millisecond to ten minutes.
const MILLISECONDS: View = View::Log { min: 0.1, max: 600_000.0 };

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "temporal-worker",
        title: "Temporal worker",
        description: "What the operator of a Temporal worker wants to know. It supports the SDKs \
            for Rust, Python, TypeScript, .NET and Ruby with their default metric settings: prefix \
            temporal_, milliseconds, no suffixes. With durations in seconds or with suffixes, and \
            for the Go and Java SDKs, panels show \"No data\".",
        refresh: "5s",
        span: "30m",
        variables: vec![
            // `.*`: some requests are made before the namespace is known.
            Variable { name: "namespace", label: "Namespace", series: SLOTS, all: ".*" },
            Variable { name: "task_queue", label: "Task queue", series: SLOTS, all: ".*" },
        ],
        annotations: vec![],
        links: vec![],
        rows: vec![
            Row { title: Some("Requests"), width: 12, height: 7, panels: requests() },
            Row { title: Some("Long polls"), width: 8, height: 7, panels: long_polls() },
            Row { title: Some("Workflows"), width: 8, height: 7, panels: workflows() },
            Row { title: Some("Workflow tasks"), width: 8, height: 7, panels: workflow_tasks() },
            Row { title: Some("Activities"), width: 8, height: 7, panels: activities() },
            Row { title: Some("Slots and pollers"), width: 8, height: 7, panels: slots() },
            Row { title: Some("Sticky cache"), width: 6, height: 7, panels: sticky_cache() },
        ],
    }
}

fn requests() -> Vec<Panel> {
    vec![
        Panel {
            title: "Requests and failures",
            shows: "Requests to Temporal's server, without polls, and those that failed.",
            healthy: "Requests follow the load; failures are 0 or a few.",
            otherwise: "Failures that grow with the load: see which operation and which code, two \
                panels on.",
            unit: "reqps",
            view: View::Lines,
            limit: None,
            queries: vec![
                query(total("temporal_request", CHOSEN_NAMESPACE), "requests"),
                query(total("temporal_request_failure", CHOSEN_NAMESPACE), "failures"),
            ],
        },
        Panel {
            title: "Requests by operation",
            shows: "Requests to the server by what they ask for, failed ones included.",
            healthy: "Completions of workflow tasks and activities in proportion to the load.",
            otherwise: "One operation out of proportion: a retry loop. None: the worker does \
                        nothing, or can't reach the server.",
            unit: "reqps",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("operation", "temporal_request", CHOSEN_NAMESPACE),
                "{{operation}}",
            )],
        },
        Panel {
            title: "Failures by operation and code",
            shows: "Failed requests by what they asked for and by gRPC status code.",
            healthy: "No data, or 0.",
            otherwise: "RespondWorkflowTaskCompleted with NOT_FOUND: the worker answers after the \
                task's timeout. RESOURCE_EXHAUSTED: a limit of the namespace. UNAVAILABLE: the \
                server can't be reached.",
            unit: "reqps",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("operation, status_code", "temporal_request_failure", CHOSEN_NAMESPACE),
                "{{operation}} {{status_code}}",
            )],
        },
        Panel {
            title: "Request latency, p95",
            shows: "How long 95 of 100 requests take at most, by what they ask for.",
            healthy: "The network round trip to the server plus some milliseconds.",
            otherwise: "The network, the server, or a worker that is too busy to read the answer.",
            unit: "ms",
            view: MILLISECONDS,
            limit: None,
            queries: vec![query(
                p95("operation", "temporal_request_latency", CHOSEN_NAMESPACE),
                "{{operation}}",
            )],
        },
    ]
}

fn long_polls() -> Vec<Panel> {
    vec![
        Panel {
            title: "Polls by operation",
            shows: "Polls for tasks that the server has answered, by kind of task.",
            healthy: "They follow the load; without one, each poller asks about once a minute.",
            otherwise: "Few polls with a backlog: too few pollers, no free slots, or a worker that \
                is held up.",
            unit: "reqps",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("operation", "temporal_long_request", CHOSEN),
                "{{operation}}",
            )],
        },
        Panel {
            title: "Failed polls by operation and code",
            shows: "Polls that failed, by kind of task and gRPC status code.",
            healthy: "No data, or 0.",
            otherwise: "UNAVAILABLE or CANCELLED when the server restarts; PERMISSION_DENIED or \
                NOT_FOUND: wrong credentials or namespace.",
            unit: "reqps",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("operation, status_code", "temporal_long_request_failure", CHOSEN),
                "{{operation}} {{status_code}}",
            )],
        },
        Panel {
            title: "Poll latency, p95",
            shows: "How long 95 of 100 polls take at most. A poll waits for a task, up to a minute.",
            healthy: "Up to a minute: that many pollers wait for work.",
            otherwise: "Milliseconds, under load: every poll finds work at once. If there is a \
                        backlog, add pollers or workers.",
            unit: "ms",
            view: MILLISECONDS,
            limit: None,
            queries: vec![query(
                p95("operation", "temporal_long_request_latency", CHOSEN),
                "{{operation}}",
            )],
        },
    ]
}

fn workflows() -> Vec<Panel> {
    let ended = |how| total(&format!("temporal_workflow_{how}"), CHOSEN);
    vec![
        Panel {
            title: "Workflows ended",
            shows: "Workflows that this worker ended, by how they ended. A workflow that is \
                    terminated or times out is ended by the server, without a worker.",
            healthy: "Completed as fast as they are started.",
            otherwise: "Failed ones: see their types beside. None ended, though some run: they \
                wait, or their tasks fail.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![
                query(ended("completed"), "completed"),
                query(ended("failed"), "failed"),
                query(ended("canceled"), "canceled"),
                query(ended("continue_as_new"), "continued as new"),
            ],
        },
        Panel {
            title: "End to end, p95",
            shows: "How long 95 of 100 workflows take at most, from start to end, by type.",
            healthy: "The duration of the workflow's activities and timers.",
            otherwise: "Compare with schedule-to-start and execution of workflow tasks and \
                activities below: the part that grew with it is where to look.",
            unit: "ms",
            view: MILLISECONDS,
            limit: None,
            queries: vec![query(
                p95("workflow_type", "temporal_workflow_endtoend_latency", CHOSEN),
                "{{workflow_type}}",
            )],
        },
        Panel {
            title: "Failed workflows by type",
            shows: "Workflows that ended in failure, by type.",
            healthy: "No data, 0, or what the business expects.",
            otherwise: "The workflow's own code, or an activity that ran out of retries: the \
                        workflow's history shows which.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("workflow_type", "temporal_workflow_failed", CHOSEN),
                "{{workflow_type}}",
            )],
        },
    ]
}

fn workflow_tasks() -> Vec<Panel> {
    vec![
        Panel {
            title: "Workflow tasks taken",
            shows: "Polls that brought a workflow task, by task queue.",
            healthy: "It follows the load.",
            otherwise: "Much more than the load explains: tasks time out or fail, and are retried.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("task_queue", "temporal_workflow_task_queue_poll_succeed", CHOSEN),
                "{{task_queue}}",
            )],
        },
        Panel {
            title: "Schedule-to-start, p95",
            shows: "How long workflow tasks wait until a worker takes them, 95 of 100 of them.",
            healthy: "Milliseconds, and below a second at peaks.",
            otherwise: "Too few workers, pollers or slots; or, with free slots, a worker whose \
                pollers are held up.",
            unit: "ms",
            view: MILLISECONDS,
            limit: None,
            queries: vec![query(
                p95("task_queue", "temporal_workflow_task_schedule_to_start_latency", CHOSEN),
                "{{task_queue}}",
            )],
        },
        Panel {
            title: "Failed workflow tasks by reason",
            shows: "Workflow tasks that the worker failed, by reason.",
            healthy: "No data, or 0.",
            otherwise: "NonDeterminismError: the code does not fit the history. WorkflowError: a \
                panic or an error that fails the task and not the workflow; it is retried until \
                the code is repaired.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("failure_reason", "temporal_workflow_task_execution_failed", CHOSEN),
                "{{failure_reason}}",
            )],
        },
        Panel {
            title: "Execution, p95",
            shows: "How long the worker takes for 95 of 100 workflow tasks at most, by workflow type.",
            healthy: "Milliseconds; far less than the task's timeout (10 s unless set).",
            otherwise: "A codec or an interceptor that waits, workflow code that blocks or \
                computes, or a process short of CPU.",
            unit: "ms",
            view: MILLISECONDS,
            limit: None,
            queries: vec![query(
                p95("workflow_type", "temporal_workflow_task_execution_latency", CHOSEN),
                "{{workflow_type}}",
            )],
        },
        Panel {
            title: "Replay, p95",
            shows: "How long 95 of 100 replays take at most, of histories that are not in the \
                    worker's cache.",
            healthy: "Milliseconds.",
            otherwise: "Long histories, or workflow code that computes while it is replayed.",
            unit: "ms",
            view: MILLISECONDS,
            limit: None,
            queries: vec![query(
                p95("workflow_type", "temporal_workflow_task_replay_latency", CHOSEN),
                "{{workflow_type}}",
            )],
        },
        Panel {
            title: "Empty polls",
            shows: "Polls for workflow tasks that brought none within their minute, by task queue.",
            healthy: "Some, if there is little to do.",
            otherwise: "Many under load: more pollers than are needed. None for long: every poller \
                finds work, look at schedule-to-start.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("task_queue", "temporal_workflow_task_queue_poll_empty", CHOSEN),
                "{{task_queue}}",
            )],
        },
    ]
}

fn activities() -> Vec<Panel> {
    vec![
        Panel {
            title: "Activities executed",
            shows: "Attempts of activities that ended, successfully or not, by type.",
            healthy: "It follows the load.",
            otherwise: "More than the load explains: retries. None: no free slots, or no worker \
                that polls for them.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("activity_type", "temporal_activity_execution_latency_count", CHOSEN),
                "{{activity_type}}",
            )],
        },
        Panel {
            title: "Failed activities by type",
            shows: "Attempts of activities that failed, by type.",
            healthy: "No data, 0, or as many as what they call fails.",
            otherwise: "What the activity calls fails, or its own code does. The retry policy \
                        decides how often it is tried again.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("activity_type", "temporal_activity_execution_failed", CHOSEN),
                "{{activity_type}}",
            )],
        },
        Panel {
            title: "Execution, p95",
            shows: "How long an attempt of an activity takes, 95 of 100 of them, by type.",
            healthy: "The duration of the activity's work.",
            otherwise: "The activity calls something slow, or the worker has too little CPU or \
                        too few threads for its slots.",
            unit: "ms",
            view: MILLISECONDS,
            limit: None,
            queries: vec![query(
                p95("activity_type", "temporal_activity_execution_latency", CHOSEN),
                "{{activity_type}}",
            )],
        },
        Panel {
            title: "Schedule-to-start, p95",
            shows: "How long activities wait until a worker takes them, 95 of 100 of them.",
            healthy: "Milliseconds, if nothing limits them on purpose.",
            otherwise: "Too few workers, slots or pollers, or a rate limit of the worker or the \
                        task queue.",
            unit: "ms",
            view: MILLISECONDS,
            limit: None,
            queries: vec![query(
                p95("task_queue", "temporal_activity_schedule_to_start_latency", CHOSEN),
                "{{task_queue}}",
            )],
        },
        Panel {
            title: "Empty polls",
            shows: "Polls for activities that brought none within their minute, by task queue.",
            healthy: "Some. Many, where activities are started eagerly with the workflow task that \
                asks for them.",
            otherwise: "None for long, with a long schedule-to-start: add pollers or workers.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("task_queue", "temporal_activity_poll_no_task", CHOSEN),
                "{{task_queue}}",
            )],
        },
    ]
}

fn slots() -> Vec<Panel> {
    vec![
        Panel {
            title: "Slots available",
            shows: "How many more tasks the workers could take now, by kind.",
            healthy: "Above 0.",
            otherwise: "0: the worker is full, and new tasks wait on the server.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(gauge("worker_type", SLOTS), "{{worker_type}}")],
        },
        Panel {
            title: "Slots used",
            shows: "How many tasks the workers have taken and not completed, by kind.",
            healthy: "It follows the load, and returns to 0 with it.",
            otherwise: "High while little is completed: tasks are in the worker but make no progress.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                gauge("worker_type", "temporal_worker_task_slots_used"),
                "{{worker_type}}",
            )],
        },
        Panel {
            title: "Pollers",
            shows: "Polls that are open now, by kind.",
            healthy: "What is configured, or what autoscaling has settled on.",
            otherwise: "Fewer: no free slots, polls that fail, or a worker that is shutting down.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(gauge("poller_type", "temporal_num_pollers"), "{{poller_type}}")],
        },
    ]
}

fn sticky_cache() -> Vec<Panel> {
    vec![
        Panel {
            title: "Cached workflows",
            shows: "Workflows that the workers hold in memory, by task queue.",
            healthy: "As many as are open, below the cache's size.",
            otherwise: "At the cache's size: see whether evictions and misses follow.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                gauge("task_queue", "temporal_sticky_cache_size"),
                "{{task_queue}}",
            )],
        },
        Panel {
            title: "Forced evictions",
            shows: "Workflows evicted from the cache before their end, by task queue.",
            healthy: "No data, or 0.",
            otherwise: "The cache is too small, or workflow tasks fail or time out: each of those \
                costs a replay.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("task_queue", "temporal_sticky_cache_total_forced_eviction", CHOSEN),
                "{{task_queue}}",
            )],
        },
        Panel {
            title: "Hits",
            shows: "Workflow tasks that found their workflow in the cache, by task queue.",
            healthy: "Nearly all tasks except a workflow's first.",
            otherwise: "Few, compared with many misses: the cache is too small for the open workflows.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("task_queue", "temporal_sticky_cache_hit", CHOSEN),
                "{{task_queue}}",
            )],
        },
        Panel {
            title: "Misses",
            shows: "Workflow tasks that did not find their workflow in the cache, by task queue. \
                The history is fetched and replayed.",
            healthy: "No data, or 0; some after a worker's start.",
            otherwise: "The cache is too small, or sticky polls come too late and tasks move to \
                other workers.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                rate("task_queue", "temporal_sticky_cache_miss", CHOSEN),
                "{{task_queue}}",
            )],
        },
    ]
}

/// A counter by labels, a second. An SDK exports a counter only once it has counted something.
fn rate(by: &str, metric: &str, chosen: &str) -> String {
    format!("sum by ({by}) (rate({metric}{{{chosen}}}[$__rate_interval]))")
}

/// The same without labels.
fn total(metric: &str, chosen: &str) -> String {
    format!("sum(rate({metric}{{{chosen}}}[$__rate_interval]))")
}

/// A histogram's 95th percentile by a label, for workers that measure in milliseconds. Some SDKs export
/// seconds under the same names, which would be wrong by a factor of a thousand. Those have buckets with
/// bounds below 1, and no SDK has buckets for less than a millisecond.
fn p95(by: &str, metric: &str, chosen: &str) -> String {
    format!(
        "histogram_quantile(0.95, sum by (le, {by}) (\
         rate({metric}_bucket{{{chosen}}}[$__rate_interval]) \
         unless on (job, instance) {metric}_bucket{{{chosen}, le=~\"{BELOW_ONE}\"}}))"
    )
}

/// A gauge, all workers together, by a label.
fn gauge(by: &str, metric: &str) -> String {
    format!("sum by ({by}) ({metric}{{{CHOSEN}}})")
}
