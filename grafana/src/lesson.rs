//! The lesson: what users notice when a codec blocks, and why, for one codec after another.
//!
//! All rates look back one minute, as the recording rules do: only one call in ten stalls, so a shorter
//! window would show noise.

use crate::panel::{Annotation, Dashboard, Panel, Query, Row, Variable, View, query};

/// Which of the workers' series are shown.
const CHOSEN: &str = r#"exercise=~"$exercise", codec=~"$codec""#;
/// When each worker started. A worker exports it for as long as it runs.
const STARTED: &str = "workshop_worker_start_time_seconds";

/// From milliseconds to minutes.
const SECONDS: View = View::Log { min: 0.001, max: 600.0 };
/// From a healthy poll (less than a millisecond) to a queue of stalls.
const SHORT_SECONDS: View = View::Log { min: 0.0001, max: 100.0 };
/// Seconds. The longest that a healthy poll may hold its thread here; the stall is four times that.
const LONGEST_HEALTHY_POLL: f64 = 0.1;

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "lesson",
        title: "The lesson",
        description: "What a codec that blocks its thread does to a Temporal worker, and why. Run \
                      one codec after another: each start is marked, so you can compare them.",
        refresh: "2s",
        span: "15m",
        variables: vec![variable("exercise", "Exercise"), variable("codec", "Codec")],
        annotations: vec![Annotation {
            name: "Worker starts",
            expr: format!("1000 * {}", max_of(STARTED)),
            title: "{{codec}}",
            text: "A worker started with this codec.",
        }],
        links: vec![("temporal-worker", "Temporal worker")],
        rows: vec![
            Row { title: None, width: 6, height: 3, panels: at_a_glance() },
            Row { title: None, width: 8, height: 6, panels: what_users_see() },
            Row { title: None, width: 8, height: 6, panels: why() },
            Row { title: None, width: 8, height: 6, panels: what_it_does_to_the_worker() },
            Row { title: Some("Key service"), width: 8, height: 6, panels: key_service() },
            Row { title: Some("Codec server"), width: 12, height: 6, panels: codec_server() },
        ],
    }
}

fn at_a_glance() -> Vec<Panel> {
    vec![
        Panel {
            title: "Runs now",
            shows: "The codec of each worker that Prometheus reaches now.",
            healthy: "One codec: the one under study.",
            otherwise: "None: no worker is running, or its metrics are at another address. More \
                        than one: they share a task queue, and each affects the other's \
                        workflows.",
            unit: "none",
            view: View::Names { none: "no worker" },
            limit: None,
            queries: vec![query(max_of(STARTED), "{{codec}}")],
        },
        Panel {
            title: "End to end, p95",
            shows: "How long 95 of 100 workflows took at most, in the last minute in which some \
                ended.",
            healthy: "Little more than the duration of the workflow's activities.",
            otherwise: "Workflows wait for a worker that is held up.",
            unit: "s",
            view: View::Number { none: "none ended" },
            limit: None,
            queries: vec![query(rule("workflow_endtoend_seconds:p95"), "{{codec}}")],
        },
        Panel {
            title: "Longest poll, p99",
            shows: "For 99 of 100 calls of the codec: the longest time the call held its thread \
                    without a break, in the last minute.",
            healthy: "Milliseconds, whatever the key service does.",
            otherwise: "Red from 100 ms on: a call waits on the worker's thread, and nothing else \
                        runs there meanwhile. \"Not seen\": no calls, or the codec is not wrapped \
                        in Observed.",
            unit: "s",
            view: View::Number { none: "not seen" },
            limit: Some(LONGEST_HEALTHY_POLL),
            queries: vec![query(rule("codec_poll_seconds:p99"), "{{codec}}")],
        },
        Panel {
            title: "Workflow task not found, last minute",
            shows: "Completed workflow tasks that the server rejected in the last minute, because \
                    they came after the task's timeout.",
            healthy: "0.",
            otherwise: "The worker answers too late, and the server has already scheduled the \
                        task again. Each retry encodes again, and may stall again.",
            unit: "short",
            view: View::Number { none: "0" },
            limit: Some(1.0),
            queries: vec![query(not_found(), "{{codec}}")],
        },
    ]
}

fn what_users_see() -> Vec<Panel> {
    vec![
        Panel {
            title: "Workflow task schedule-to-start, p95",
            shows: "How long workflow tasks wait until a worker takes them, 95 of 100 of them.",
            healthy: "Milliseconds; at the start of a load, a second at most.",
            otherwise: "The worker does not poll although its slots are free: the Tokio task that \
                        polls is blocked. More pollers would not help.",
            unit: "s",
            view: SECONDS,
            limit: None,
            queries: vec![query(rule("workflow_task_schedule_to_start_seconds:p95"), "{{codec}}")],
        },
        Panel {
            title: "End to end, p95",
            shows: "How long 95 of 100 workflows take at most, from start to end. No line if none \
                    ended for a minute.",
            healthy: "The same for every load that the worker can handle.",
            otherwise: "It grows with the number of workflows: every stall on that one thread \
                        delays all of them.",
            unit: "s",
            view: SECONDS,
            limit: None,
            queries: vec![query(rule("workflow_endtoend_seconds:p95"), "{{codec}}")],
        },
        Panel {
            title: "Workflow task execution, p95",
            shows: "How long 95 of 100 workflow tasks take in the worker at most, including the \
                    encoding of the answer.",
            healthy: "Less than one stall of the key service, and less than the task's timeout.",
            otherwise: "A multiple of one stall: the task waits for the stalls of others. From the \
                task's timeout on, its answer comes too late.",
            unit: "s",
            view: SECONDS,
            limit: None,
            queries: vec![query(rule("workflow_task_execution_seconds:p95"), "{{codec}}")],
        },
    ]
}

fn why() -> Vec<Panel> {
    vec![
        Panel {
            title: "Codec: longest poll and whole call, p99",
            shows: "For each call of the codec: the longest time it held its thread without a \
                    break (poll), and the time from its start to its result (call).",
            healthy: "Polls of milliseconds, however long the calls: a slow call waits without a \
                thread.",
            otherwise: "Both lines at the same height: the call holds its thread from start to \
                        end. That causes what all the other panels show. No lines: the codec is \
                        not wrapped in Observed.",
            unit: "s",
            view: SHORT_SECONDS,
            limit: Some(LONGEST_HEALTHY_POLL),
            queries: vec![
                query(rule("codec_poll_seconds:p99"), "{{codec}} poll"),
                query(rule("codec_call_seconds:p99"), "{{codec}} call"),
            ],
        },
        Panel {
            title: "Calls that held a thread for over 100 ms",
            shows: "Calls of the codec in the last minute whose longest poll was longer than \
                100 ms.",
            healthy: "0.",
            otherwise: "That many times in this minute, everything on that thread stood still. No \
                        line: the codec is not wrapped in Observed.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(rule("codec_held:increase1m"), "{{codec}}")],
        },
        Panel {
            title: "Lag of the runtime, p99",
            shows: "How late a 10 ms timer fires: one inside the worker's main Tokio task \
                    (worker), and one in a separate task (beside).",
            healthy: "Milliseconds for both.",
            otherwise: "Only the worker's is late: its task is blocked, on a runtime with other \
                        threads. Both are late: every thread of the runtime is blocked, or the \
                        machine is overloaded.",
            unit: "s",
            view: SHORT_SECONDS,
            limit: None,
            queries: vec![query(
                format!(
                    "histogram_quantile(0.99, sum by (le, exercise, codec, probe) \
                     (rate(workshop_lag_seconds_bucket{{{CHOSEN}}}[1m])))"
                ),
                "{{codec}} {{probe}}",
            )],
        },
    ]
}

fn what_it_does_to_the_worker() -> Vec<Panel> {
    vec![
        Panel {
            title: "Workflow tasks answered too late",
            shows: "In the last minute: workflow tasks that timed out, counted by the server, and \
                    completions rejected with \"Workflow task not found\", counted by the \
                    worker.",
            healthy: "0, both.",
            otherwise: "The worker takes tasks and answers after their timeout. The work is done \
                again, stalls included. An overloaded machine can do this, too.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![
                query(not_found(), "{{codec}} not found"),
                query("temporal:workflow_task_timeouts:increase1m", "timeouts (server)"),
            ],
        },
        Panel {
            title: "Codec calls in flight",
            shows: "Calls of the codec that have started and not finished.",
            healthy: "Encode: as many as wait for the key service at that moment. Decode: 0, or for a \
                moment one in each of the two loops that poll.",
            otherwise: "Encode always 0 or 1 under load: the calls wait one after another. \
                        Growing without end: the key service, or the blocking pool, can't keep \
                        up. Decode always at 2: payloads to decode wait in a queue.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![
                query(in_flight("encode"), "{{codec}} encode"),
                query(in_flight("decode"), "{{codec}} decode"),
            ],
        },
        Panel {
            title: "Threads of the blocking pool",
            shows: "Threads of Tokio's blocking pool, including idle ones.",
            healthy: "None for a codec that waits asynchronously; for spawn_blocking, as many as \
                      there are waits at once.",
            otherwise: "A flat line at the pool's limit: further waits queue up for a thread. \
                Threads under a codec that should be asynchronous: part of it still blocks.",
            unit: "suffix: threads",
            view: View::Lines,
            limit: None,
            queries: vec![query(max_of("workshop_blocking_threads"), "{{codec}}")],
        },
        Panel {
            title: "Slots used, workflow tasks",
            shows: "Workflow tasks that the worker has taken and not completed.",
            healthy: "A few of the worker's 100.",
            otherwise: "Many, for long: tasks are in the worker and wait there, for a thread.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(slots_used("WorkflowWorker"), "{{codec}}")],
        },
        Panel {
            title: "Slots used, activities",
            shows: "Activities that the worker has taken and not completed.",
            healthy: "As many as the load has at once, up to the worker's 400.",
            otherwise: "Slots used far longer than the activity works: its result waits to be encoded.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(slots_used("ActivityWorker"), "{{codec}}")],
        },
        Panel {
            title: "Workflows completed",
            shows: "Workflows that the worker has completed since its start.",
            healthy: "A steep line up to the number that was started.",
            otherwise: "A gentle slope, or a flat line: the same load takes longer. No work is \
                        lost, it is only late.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                or_zero(format!(
                    "sum by (exercise, codec) (temporal_workflow_completed{{{CHOSEN}}})"
                )),
                "{{codec}}",
            )],
        },
    ]
}

/// The key service: a worker's own, or the stack's if the worker's keys are wrapped by it.
fn key_service() -> Vec<Panel> {
    vec![
        Panel {
            title: "Calls of the codec and of the key service",
            shows: "Calls a second: those of the codec, and those that the key service answered, by \
                    operation and result.",
            healthy: "The key service's line follows the codec's: a codec without a cache asks at \
                least once in each call. One that caches keys asks once for each key in its \
                lifetime.",
            otherwise: "A result other than ok: the key service throttles, fails or refuses, and the \
                client has to ask again. Only the codec's lines: the worker was started with \
                --key-service simulated, or its keys are wrapped by a service elsewhere.",
            unit: "ops",
            view: View::Lines,
            limit: None,
            queries: vec![
                query(
                    or_unknown(format!(
                        "sum by (exercise, codec, operation) (rate(codec_call_seconds_count{{{CHOSEN}}}[1m]))"
                    )),
                    "{{codec}} {{operation}}",
                ),
                query(
                    "sum by (operation, result) (rate(workshop_key_service_calls_total[1m]))",
                    "key service {{operation}} {{result}}",
                ),
            ],
        },
        Panel {
            title: "Key service: time of a call, p50 and p99",
            shows: "How long 50 and 99 of 100 calls to the key service took, by what the key was for. \
                    Stalls are included.",
            healthy: "In this stack, milliseconds at p50. At p99, 0.4 s for keys to encrypt with: one \
                call in ten stalls.",
            otherwise: "p50 is slow, too: the key service is overloaded, or its faults were changed. The \
                worker has to be fast with slow calls as well: see \"Codec: longest poll\".",
            unit: "s",
            view: SHORT_SECONDS,
            limit: None,
            queries: p50_and_p99(
                "workshop_key_service_call_duration_seconds",
                "operation, purpose",
                ["p50 {{operation}} {{purpose}}", "p99 {{operation}} {{purpose}}"],
            ),
        },
        Panel {
            title: "Key service: faults, last minute",
            shows: "Faults that the key service dealt to calls in the last minute, throttled calls \
                    included.",
            healthy: "In this stack, stalls: one for every ten keys to encrypt with. The others are 0.",
            otherwise: "Throttles, failures, resets and hangs were asked for at /faults. The clients \
                repeat a call that was throttled, failed or cut at most twice.",
            unit: "short",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                "sum by (fault) (increase(workshop_key_service_faults_total[1m]))",
                "{{fault}}",
            )],
        },
    ]
}

/// The stack's codec server, which the Web UI and the CLI ask.
fn codec_server() -> Vec<Panel> {
    vec![
        Panel {
            title: "Codec server: requests by code",
            shows: "Requests a second to the codec server, by what they asked for and its answer's status.",
            healthy: "decode 200 while you look at workflows in the Web UI, encode 200 when you start one \
                there.",
            otherwise: "400: a payload was encrypted with a key that the codec server does not have. 403: \
                a page of another origin asked. Its log has the reason.",
            unit: "reqps",
            view: View::Lines,
            limit: None,
            queries: vec![query(
                "sum by (route, code) (rate(codec_server_requests_total[1m]))",
                "{{route}} {{code}}",
            )],
        },
        Panel {
            title: "Codec server: duration, p50 and p99",
            shows: "How long 50 and 99 of 100 requests to the codec server took. No line if there were \
                none for a minute.",
            healthy: "Milliseconds.",
            otherwise: "Long requests have many payloads, or wait for the key service.",
            unit: "s",
            view: SHORT_SECONDS,
            limit: None,
            queries: p50_and_p99(
                "codec_server_request_duration_seconds",
                "route",
                ["p50 {{route}}", "p99 {{route}}"],
            ),
        },
    ]
}

fn variable(name: &'static str, label: &'static str) -> Variable {
    // `.+` excludes the starter, which has a codec as well, but not this label.
    Variable { name, label, series: STARTED, all: ".+" }
}

/// The highest value of `metric` for each codec.
fn max_of(metric: &str) -> String {
    format!("max by (exercise, codec) ({metric}{{{CHOSEN}}})")
}

/// Calls in flight, with encode and decode as separate lines.
fn in_flight(operation: &str) -> String {
    or_unknown(format!(
        "sum by (exercise, codec) (codec_in_flight{{{CHOSEN}, operation=\"{operation}\"}})"
    ))
}

/// A recording rule. Those of the codec have a value for each of its operations: the worse counts.
fn rule(name: &str) -> String {
    or_unknown(max_of(&format!("codec:{name}")))
}

/// Two quantiles of the last minute, for each value of these labels.
fn p50_and_p99(histogram: &str, labels: &str, legends: [&'static str; 2]) -> Vec<Query> {
    let quantiles = [0.5, 0.99].into_iter().zip(legends);
    let of_last_minute = format!("sum by (le, {labels}) (rate({histogram}_bucket[1m]))");
    quantiles
        .map(|(share, legend)| {
            query(format!("histogram_quantile({share}, {of_last_minute})"), legend)
        })
        .collect()
}

fn not_found() -> String {
    or_zero(max_of("codec:workflow_task_not_found:increase1m"))
}

fn slots_used(kind: &str) -> String {
    format!(
        "sum by (exercise, codec) \
         (temporal_worker_task_slots_used{{{CHOSEN}, worker_type=\"{kind}\"}})"
    )
}

/// `expr`, or 0 for each worker without a value: the SDK exports a counter only once it has counted
/// something.
fn or_zero(expr: String) -> String {
    format!("{expr} or 0 * {}", max_of(STARTED))
}

/// `expr`, or NaN, which draws nothing, for each worker without a value: nothing has happened yet, or the
/// codec is not wrapped in `Observed`.
fn or_unknown(expr: String) -> String {
    format!("{expr} or NaN * {}", max_of(STARTED))
}
