//! Alerts for Prometheus, to watch for what was found once.

use crate::family::Family;

/// How a family's metrics are named.
#[derive(Clone, Debug)]
pub struct Naming {
    /// The family.
    pub family: Family,
    /// The prefix.
    pub prefix: String,
    /// Whether names of counters end in `_total`.
    pub totals: bool,
    /// What follows the name of a duration.
    pub duration: &'static str,
    /// What a duration is divided by for seconds.
    pub per_second: u32,
}

impl Naming {
    /// The default names of a family.
    pub fn of(family: Family) -> Self {
        let (totals, duration, per_second) = match family {
            Family::Core => (false, "", 1000),
            Family::GoTally | Family::Java => (true, "_seconds", 1),
            Family::GoOtel => (false, "_seconds", 1),
        };
        Self { family, prefix: "temporal_".into(), totals, duration, per_second }
    }

    fn counter(&self, name: &str) -> String {
        format!("{}{name}{}", self.prefix, if self.totals { "_total" } else { "" })
    }

    fn gauge(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The mean of a duration over five minutes, in seconds.
    fn mean(&self, name: &str, labels: &str, by: &str) -> String {
        let name = format!("{}{name}{}", self.prefix, self.duration);
        let unit =
            if self.per_second == 1 { String::new() } else { format!(" / {}", self.per_second) };
        format!(
            "sum by ({by}) (rate({name}_sum{labels}[5m])) / \
             (sum by ({by}) (rate({name}_count{labels}[5m])) > 0.05){unit}"
        )
    }
}

struct Alert {
    name: &'static str,
    expr: String,
    summary: String,
    description: &'static str,
}

fn alerts(naming: &Naming) -> Vec<Alert> {
    let by = "job, instance, task_queue";
    let respond = "{operation=\"RespondWorkflowTaskCompleted\"}";
    let not_found = match naming.family {
        Family::Java => "{operation=\"RespondWorkflowTaskCompleted\",status_code=\"NOT_FOUND\"}",
        _ => "{operation=\"RespondWorkflowTaskCompleted\",status_code=~\"NOT_FOUND|NotFound\"}",
    };
    let reasons = "{failure_reason=~\"NonDeterminismError|GrpcMessageTooLarge|PayloadsTooLarge|RequestTooLarge\"}";
    let rate = |metric: &str, labels: &str, by: &str| {
        format!("sum by ({by}) (rate({}{labels}[5m]))", naming.counter(metric))
    };
    // A gauge may go down: on OpenTelemetry's handler in Go, counters are gauges, and rate still works.
    let mut alerts = vec![
        Alert {
            name: "TemporalWorkflowTasksSlowInWorker",
            expr: format!("{} > 0.5", naming.mean("workflow_task_execution_latency", "", by)),
            summary: "Workflow tasks take {{ $value | humanizeDuration }} in the worker {{ \
                      $labels.instance }}."
                .into(),
            description: "Something blocks the thread that runs the worker's code, or each task waits for a \
                          slow codec. check-worker tells the two apart.",
        },
        Alert {
            name: "TemporalWorkflowTasksAnsweredTooLate",
            expr: format!("{} > 0.01", rate("request_failure", not_found, "job, instance")),
            summary: "Workflow tasks time out before the worker {{ $labels.instance }} answers."
                .into(),
            description: "The server hands them out again, which is more work for a worker that is late \
                          already. Run check-worker.",
        },
        Alert {
            name: "TemporalWorkflowTasksWait",
            expr: format!(
                "{} > 0.5",
                naming.mean("workflow_task_schedule_to_start_latency", "", by)
            ),
            summary: "Workflow tasks wait {{ $value | humanizeDuration }} for the worker {{ \
                      $labels.instance }}."
                .into(),
            description: "The worker is held up, has too few slots or pollers, or there are too few workers. \
                          Run check-worker.",
        },
        Alert {
            name: "TemporalActivitySlotsUsedUp",
            expr: format!(
                "max_over_time({}{{worker_type=\"ActivityWorker\"}}[5m]) <= 0",
                naming.gauge("worker_task_slots_available")
            ),
            summary: "No slot for activities was free for five minutes on {{ $labels.instance \
                      }}."
            .into(),
            description: "Activities are slow or stuck, or there are too few slots. Run check-worker.",
        },
        Alert {
            name: "TemporalServerSlow",
            expr: format!("{} > 0.3", naming.mean("request_latency", respond, "job, instance")),
            summary: "The server takes {{ $value | humanizeDuration }} to take an answer of {{ \
                      $labels.instance }}."
                .into(),
            description: "The server or the network to it is slow, or, in Rust, the worker's runtime is \
                          blocked.",
        },
        Alert {
            name: "TemporalWorkflowTasksFail",
            expr: format!(
                "{} > 0",
                rate("workflow_task_execution_failed", reasons, "job, instance, failure_reason")
            ),
            summary: "Workflow tasks of {{ $labels.instance }} fail: {{ $labels.failure_reason \
                      }}."
            .into(),
            description: "Such tasks are tried again without end, and their workflows stand still.",
        },
    ];
    let misses = rate("sticky_cache_miss", "", "job, instance");
    let hits = rate("sticky_cache_hit", "", "job, instance");
    alerts.push(Alert {
        name: "TemporalStickyCacheMisses",
        // Without a hit, the series of hits does not exist.
        expr: format!("({misses} / ({misses} + ({hits} or {misses} * 0)) > 0.2) and {misses} > 0.1"),
        summary: "{{ $value | humanizePercentage }} of the lookups in the sticky cache of {{ \
                  $labels.instance }} miss."
            .into(),
        description: "The cache is too small, or workflow tasks are answered too late. Each miss replays a \
                      whole history.",
    });
    alerts
}

/// A file of rules.
pub fn rules(naming: &Naming) -> String {
    let mut text = format!(
        "# Alerts for Temporal workers of the family {}, written by `check-worker rules`.\n\
         groups:\n  - name: check-worker-{}\n    rules:\n",
        naming.family.name(),
        naming.family.name()
    );
    for alert in alerts(naming) {
        text += &format!(
            "      - alert: {}\n        expr: >-\n          {}\n        for: 2m\n        labels:\n          \
             severity: warning\n        annotations:\n          summary: >-\n            {}\n          \
             description: >-\n            {}\n",
            alert.name, alert.expr, alert.summary, alert.description
        );
    }
    text
}

/// Tests of these rules, for `promtool test rules`: each alert fires where it should, and nowhere else.
pub fn tests(naming: &Naming, rules_file: &str) -> String {
    let per_second = f64::from(naming.per_second);
    let duration = |name: &str| format!("{}{name}{}", naming.prefix, naming.duration);
    let of = "job=\"worker\",instance=\"a:1\",task_queue=\"q\"";
    let rising = |name: &str, labels: &str, per_minute: f64| {
        format!("      - series: '{name}{{{of}{labels}}}'\n        values: 0+{per_minute}x20\n")
    };
    let flat = |name: &str, labels: &str, value: f64| {
        format!("      - series: '{name}{{{of}{labels}}}'\n        values: {value}x20\n")
    };
    let timed = |name: &str, labels: &str, mean: f64| {
        let name = duration(name);
        rising(&format!("{name}_count"), labels, 60.0)
            + &rising(&format!("{name}_sum"), labels, 60.0 * mean * per_second)
    };
    let respond = ",operation=\"RespondWorkflowTaskCompleted\"";
    let counter = |name: &str| naming.counter(name);
    let activity_slots = |free| {
        flat(&naming.gauge("worker_task_slots_available"), ",worker_type=\"ActivityWorker\"", free)
    };
    let fine = [
        timed("workflow_task_execution_latency", "", 0.01),
        timed("workflow_task_schedule_to_start_latency", "", 0.01),
        timed("request_latency", respond, 0.005),
        activity_slots(90.0),
        rising(&counter("sticky_cache_hit"), "", 60.0),
        rising(&counter("sticky_cache_miss"), "", 1.0),
    ]
    .concat();
    let cases = [
        ("TemporalWorkflowTasksSlowInWorker", timed("workflow_task_execution_latency", "", 2.0)),
        (
            "TemporalWorkflowTasksAnsweredTooLate",
            rising(
                &counter("request_failure"),
                &format!("{respond},status_code=\"NOT_FOUND\""),
                6.0,
            ),
        ),
        ("TemporalWorkflowTasksWait", timed("workflow_task_schedule_to_start_latency", "", 3.0)),
        ("TemporalActivitySlotsUsedUp", activity_slots(0.0)),
        ("TemporalServerSlow", timed("request_latency", respond, 0.6)),
        (
            "TemporalWorkflowTasksFail",
            rising(
                &counter("workflow_task_execution_failed"),
                ",failure_reason=\"NonDeterminismError\"",
                6.0,
            ),
        ),
        ("TemporalStickyCacheMisses", rising(&counter("sticky_cache_miss"), "", 60.0)),
    ];
    let mut text = format!("rule_files:\n  - {rules_file}\nevaluation_interval: 1m\ntests:\n");
    let all: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
    let none = |name: &str| {
        format!(
            "      - expr: count(ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}})\n        eval_time: 15m\n"
        )
    };
    text += &format!(
        "  - interval: 1m\n    name: a healthy worker\n    input_series:\n{fine}    promql_expr_test:\n"
    );
    text.extend(all.iter().map(|name| none(name)));
    for (name, series) in &cases {
        text += &format!(
            "  - interval: 1m\n    name: {name}\n    input_series:\n{series}    promql_expr_test:\n"
        );
        for other in &all {
            text += &none(other);
            if other == name {
                text += "        exp_samples:\n          - value: 1\n";
            }
        }
    }
    text
}
