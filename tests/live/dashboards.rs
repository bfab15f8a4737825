//! The dashboards, rules and alerts against the real thing: Temporal and Prometheus, started as
//! `stack/process-compose.yaml` starts them; a worker with the blocking codec, then one with the async
//! codec; a load for each. Every expression returns data, and those that show the stall differ.
//!
//! It needs Prometheus, which not every machine has, so it is ignored unless it is asked for: `cargo test
//! --test live dashboards -- --ignored --nocapture` prints the table of `docs/evidence/dashboards.md`.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use cli_kit::settings::{self, Settings};
use rustix::process::Signal;
use serde_json::Value;
use stack::{
    checkout::Checkout,
    programs, prometheus,
    services::{Asker, Service},
};
use tempfile::TempDir;
use url::Url;

use crate::support::{Process, STARTER, WORKSHOP, Worker, free_ports, json, program, wait_for};

/// Enough for a blocking codec's tasks to time out, and little enough for an async one's to be in time
/// on a machine that is busy.
const WORKFLOWS: u32 = 40;
/// How many such loads the blocking codec gets at most. How late it takes tasks depends on which calls stall: once in
/// many runs, one load passed without that alert.
const LOADS: u32 = 4;
/// A load before that.
const FIRST: u32 = 5;

/// Metrics of the SDK that a healthy run may never count.
const MAY_BE_ABSENT: [&str; 11] = [
    "temporal_activity_execution_failed",
    "temporal_activity_poll_no_task",
    "temporal_long_request_failure",
    "temporal_request_failure",
    "temporal_sticky_cache_miss",
    "temporal_sticky_cache_total_forced_eviction",
    "temporal_workflow_canceled",
    "temporal_workflow_continue_as_new",
    "temporal_workflow_failed",
    "temporal_workflow_task_execution_failed",
    "temporal_workflow_task_queue_poll_empty",
];

/// Panels of the lesson that show the stall, and by what factor at least the blocking codec is worse
/// than the async one. Far below what was measured: the machine may be busy.
const WORSE_BY: [(&str, f64); 7] = [
    ("End to end, p95", 5.),
    ("Workflow task schedule-to-start, p95", 3.),
    ("Workflow task execution, p95", 2.),
    ("Longest poll, p99", 5.),
    ("Lag of the runtime, p99", 5.),
    ("Workflow task not found, last minute", 5.),
    ("Calls that held a thread for over 100 ms", 5.),
];

/// Temporal and Prometheus, with ports and a folder of their own.
struct Services {
    settings: Settings,
    asker: Asker,
    folder: TempDir,
    _running: Vec<Process>,
}

impl Services {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = free_ports();
        let services = [Service::Temporal, Service::Prometheus];
        let mut running = services.map(|service| run(service, &settings, folder.path()));
        let asker = Asker::default();
        for (service, process) in services.into_iter().zip(&mut running) {
            wait_for(service.name(), || {
                let runs = process.is_running();
                let log = || fs::read_to_string(log_of(service, folder.path())).unwrap();
                assert!(runs, "{} has ended:\n{}", service.name(), log());
                asker.is_healthy(service, &settings).then_some(())
            });
        }
        Self { settings, asker, folder, _running: running.into() }
    }

    fn worker(&self, solution: u8) -> Worker {
        let mut command = program(WORKSHOP);
        command.args(["worker", "--solution", &solution.to_string()]);
        command.envs(self.settings.variables());
        let worker = Worker::start(command, self.folder.path(), &format!("worker-{solution}"));
        self.wait_until(&format!("workshop_worker_start_time_seconds{{exercise=\"{solution}\"}}"));
        worker
    }

    /// Runs a load to its end.
    fn load(&self, workflows: u32, prefix: &str, timeout: &str) {
        let mut command = program(STARTER);
        command
            .args(["--workflows", &workflows.to_string(), "--id-prefix", prefix, "--json"])
            .args(["--activities", "3", "--activity-seconds", "0.1"])
            .args(["--workflow-task-timeout", timeout])
            .envs(self.settings.variables());
        let report = json(&command.output().unwrap());
        assert_eq!(report["workflows"]["completed"], workflows, "{report}");
    }

    /// Asks Prometheus.
    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let url = self.settings.url(settings::PROMETHEUS_PORT, path);
        let url = Url::parse_with_params(&url, parameters).unwrap();
        let page = self.asker.page(url.as_str());
        let page = page.unwrap_or_else(|error| panic!("{error}: {parameters:?}"));
        serde_json::from_str::<Value>(&page).unwrap()["data"].take()
    }

    /// Whether the expression has a value now.
    fn has(&self, expression: &str) -> bool {
        let answer = self.ask("/api/v1/query", &[("query", expression)]);
        answer["result"].as_array().is_some_and(|series| !series.is_empty())
    }

    fn wait_until(&self, expression: &str) {
        wait_for(expression, || self.has(expression).then_some(()));
    }

    /// All values of an expression in a window, whatever series they belong to.
    fn values(&self, expression: &str, window: &Window) -> Vec<f64> {
        let (start, end) = (window.start.to_string(), window.end.to_string());
        let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", "1")];
        let answer = self.ask("/api/v1/query_range", &parameters);
        let series = answer["result"].as_array().unwrap();
        series
            .iter()
            .flat_map(|series| series["values"].as_array().unwrap())
            .map(|pair| pair[1].as_str().unwrap().parse().unwrap())
            .collect()
    }
}

/// Runs the command that `process-compose.yaml` has for the service.
fn run(service: Service, settings: &Settings, folder: &Path) -> Process {
    let checkout = Checkout::new(root(), settings.clone());
    let config = folder.join("prometheus.yml");
    fs::write(&config, prometheus::config(&checkout).unwrap()).unwrap();
    let file = fs::read_to_string(root().join("stack/process-compose.yaml")).unwrap();
    let file: serde_norway::Value = serde_norway::from_str(&file).unwrap();
    let command = file["processes"][service.name()]["command"].as_str().unwrap();
    let log = File::create(log_of(service, folder)).unwrap();
    let mut shell = Command::new("bash");
    shell
        .args(["-c", command])
        .current_dir(root())
        .env("PATH", programs::search_path(&root()))
        .envs(checkout.variables())
        // The files of a stack that runs here are left alone.
        .env("STACK_DATA", folder)
        .env("STACK_PROMETHEUS_CONFIG", config)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Process::new(shell.spawn().unwrap())
}

fn log_of(service: Service, folder: &Path) -> PathBuf {
    folder.join(service.name()).with_extension("log")
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// When a codec was measured, in seconds since 1970.
struct Window {
    start: u64,
    end: u64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What starts the names of the codec server's metrics. It does not run here: `stack/tests/stack.rs` asks for them.
const OF_CODEC_SERVER: &str = "codec_server_";

/// A query of a dashboard's panel.
struct Query {
    panel: String,
    expression: String,
}

impl Query {
    /// With Grafana's variables filled in, for one exercise.
    fn asked(&self, exercise: u8) -> String {
        let asked = self
            .expression
            .replace("$exercise", &exercise.to_string())
            .replace("$codec", ".+")
            .replace("$namespace", ".*")
            .replace("$task_queue", ".*")
            .replace("$__rate_interval", "15s");
        assert!(!asked.contains('$'), "a variable that this test does not know: {asked}");
        asked
    }
}

fn dashboard(name: &str) -> (Vec<Query>, Vec<String>) {
    let text = fs::read_to_string(root().join(format!("grafana/dashboards/{name}.json"))).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut panels = list(&dashboard["panels"]);
    let nested: Vec<_> = panels.iter().flat_map(|row| list(&row["panels"])).collect();
    panels.extend(nested);
    let queries = panels.iter().flat_map(|panel| {
        list(&panel["targets"]).into_iter().map(|target| Query {
            panel: panel["title"].as_str().unwrap().to_owned(),
            expression: target["expr"].as_str().unwrap().to_owned(),
        })
    });
    let queries = queries.filter(|query| !query.expression.contains(OF_CODEC_SERVER));
    let annotations = list(&dashboard["annotations"]["list"]);
    let annotations = annotations
        .iter()
        .map(|annotation| annotation["target"]["expr"].as_str().unwrap().to_owned());
    (queries.collect(), annotations.collect())
}

/// The names of metrics in an expression.
fn metrics(expression: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let ours = ["temporal_", "codec_", "workshop_", "codec:", "temporal:"];
    expression
        .split(|c| !is_name(c))
        .filter(|word| ours.iter().any(|prefix| word.starts_with(prefix)))
        .map(str::to_owned)
        .collect()
}

fn highest(values: &[f64]) -> Option<f64> {
    values.iter().copied().filter(|value| value.is_finite()).reduce(f64::max)
}

fn figure(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.2e}"),
    }
}

#[test]
#[ignore = "needs prometheus"]
fn every_panel_has_data_and_the_stall_is_seen() {
    let services = Services::start();
    // In seconds. The blocking codec misses the first one for sure, the async one keeps the second on a busy machine.
    let workers = [(1, "blocking", "1"), (3, "async", "2")];
    let [blocking, asynchronous] = workers.map(|(solution, prefix, timeout)| {
        // The next second: in this one, the codec before may still be seen.
        let start = now() + 1;
        let mut worker = services.worker(solution);
        // The SDK exports most of its metrics only once it has counted: after this they are there.
        services.load(FIRST, &format!("{prefix}-first"), timeout);
        let mut workflows = FIRST;
        for load in 0..LOADS {
            services.load(WORKFLOWS, &format!("{prefix}-{load}"), timeout);
            workflows += WORKFLOWS;
            services.wait_until(&format!(
                "temporal_workflow_completed{{job=\"worker\", exercise=\"{solution}\"}} >= {workflows}"
            ));
            let late = firing_for("ScheduleToStartHigh", solution);
            if solution == 3 || services.has(&format!("max_over_time({late}[1h])")) {
                break;
            }
        }
        let window = Window { start, end: now() + 1 };
        worker.process.signal(Signal::TERM);
        assert_eq!(worker.process.wait().code(), Some(0), "{}", worker.log());
        services.wait_until(&firing("WorkerSilent"));
        // What tells of the last minute must not tell of the other codec.
        services.wait_until("temporal:workflow_task_timeouts:increase1m == 0");
        window
    });

    let known = services.ask("/api/v1/label/__name__/values", &[]);
    let known: BTreeSet<&str> =
        known.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in ["lesson", "temporal-worker"] {
        println!(
            "\n| panel of {name} | expression | blocking | async |\n| --- | --- | --- | --- |"
        );
        let (queries, annotations) = dashboard(name);
        for query in &queries {
            let values = [(&blocking, 1), (&asynchronous, 3)].map(|(window, exercise)| {
                let values = services.values(&query.asked(exercise), window);
                // What a healthy run never counts has no data.
                let may_be_absent = metrics(&query.expression)
                    .iter()
                    .any(|metric| MAY_BE_ABSENT.contains(&metric.as_str()));
                assert!(
                    may_be_absent || !values.is_empty(),
                    "no data: {}: {}",
                    query.panel,
                    query.expression
                );
                highest(&values)
            });
            for metric in metrics(&query.expression) {
                let there = known.contains(metric.as_str());
                let absent = MAY_BE_ABSENT.contains(&metric.as_str());
                assert!(there || absent, "there is no {metric}: {}", query.panel);
            }
            let expression = query.expression.replace('|', "\\|");
            let [blocking, asynchronous] = values.map(figure);
            println!("| {} | `{expression}` | {blocking} | {asynchronous} |", query.panel);
            if name == "lesson" {
                let [Some(blocking), Some(asynchronous)] = values else {
                    panic!("no number: {}: {}", query.panel, query.expression);
                };
                if let Some((_, factor)) = WORSE_BY.iter().find(|(panel, _)| *panel == query.panel)
                {
                    let worse = blocking / asynchronous;
                    assert!(worse >= *factor, "{}: {blocking} / {asynchronous}", query.panel);
                }
            }
        }
        for annotation in annotations {
            let annotation = Query { panel: "annotation".to_owned(), expression: annotation };
            for (window, exercise) in [(&blocking, 1), (&asynchronous, 3)] {
                let marks = services.values(&annotation.asked(exercise), window);
                // Milliseconds since 1970, within the run.
                let inside = |at: &f64| (*at / 1000.0) as u64 + 1 >= window.start;
                assert!(!marks.is_empty() && marks.iter().all(inside), "{marks:?}");
            }
        }
    }

    println!("\n| rule | blocking | async |\n| --- | --- | --- |");
    let rules = services.ask("/api/v1/rules", &[("type", "record")]);
    for rule in
        rules["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array().unwrap())
    {
        assert_eq!(rule["health"], "ok", "{rule}");
        let name = rule["name"].as_str().unwrap();
        let values = [&blocking, &asynchronous].map(|window| {
            let values = services.values(name, window);
            assert!(!values.is_empty(), "no data: {name}");
            highest(&values)
        });
        let [blocking, asynchronous] = values.map(figure);
        println!("| `{name}` | {blocking} | {asynchronous} |");
    }

    println!("\n| alert | blocking | async |\n| --- | --- | --- |");
    for (alert, of_the_stall) in [
        ("ThreadHeld", true),
        ("WorkflowTasksTimeOut", true),
        ("ScheduleToStartHigh", true),
        ("WorkerSilent", false),
    ] {
        let fired = [(&blocking, 1), (&asynchronous, 3)].map(|(window, exercise)| {
            // A worker's silence begins with its end.
            let after = Window { start: window.end, end: window.end + 60 };
            let (alert, window) = match of_the_stall {
                true => (firing_for(alert, exercise), window),
                false => (firing(alert), &after),
            };
            !services.values(&alert, window).is_empty()
        });
        println!("| {alert} | {} | {} |", said(fired[0]), said(fired[1]));
        assert_eq!(fired, [true, !of_the_stall], "{alert}");
    }

    let slowest = "max_over_time(scrape_duration_seconds{job=\"worker\"}[1s])";
    let slowest = highest(&services.values(slowest, &blocking)).unwrap();
    println!("\nslowest scrape of the stalled worker: {slowest:.3} s");
    let seen = services.values("workshop_starter_workflows_total{state=\"completed\"}", &blocking);
    assert!(highest(&seen).unwrap() > 0.0, "the starter was not scraped");
}

fn firing(alert: &str) -> String {
    format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}")
}

/// For the worker of that exercise.
fn firing_for(alert: &str, exercise: u8) -> String {
    format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\", exercise=\"{exercise}\"}}")
}

fn said(fired: bool) -> &'static str {
    if fired { "fired" } else { "-" }
}

/// Series of a worker whose metrics have other names or another unit, as `promtool` reads them.
fn other_worker(expressions: &[String], suffix: &str, bounds: [&str; 3]) -> Vec<Value> {
    let labels = "job=\"other\", instance=\"a:1\", namespace=\"default\", task_queue=\"q\"";
    let series = |name: String, labels: &str| serde_json::json!({"series": format!("{name}{{{labels}}}"), "values": "0+1x120"});
    let names: BTreeSet<_> =
        expressions.iter().flat_map(|expression| metrics(expression)).collect();
    names
        .iter()
        .flat_map(|name| match name.strip_suffix("_bucket") {
            Some(name) => bounds
                .iter()
                .map(|le| series(format!("{name}_bucket"), &format!("{labels}, le=\"{le}\"")))
                .collect(),
            // Gauges have the same name everywhere, and are numbers of things.
            None if name.contains("_slots_")
                || name.ends_with("_size")
                || name.ends_with("_pollers") =>
            {
                vec![]
            }
            None => vec![series(format!("{name}{suffix}"), labels)],
        })
        .collect()
}

/// A healthy-looking 0 for an unsupported worker would be the worst result.
#[test]
#[ignore = "needs promtool"]
fn a_worker_that_is_not_supported_has_no_data() {
    let (queries, _) = dashboard("temporal-worker");
    let expressions: Vec<_> = queries.iter().map(|query| query.asked(1)).collect();
    let (latencies, counters): (Vec<_>, Vec<_>) =
        expressions.iter().cloned().partition(|expression| expression.contains("_bucket"));
    let [seconds, milliseconds] = [["0.1", "2.5", "+Inf"], ["50", "2500", "+Inf"]];
    // The expressions, the series there are, and whether there is something to see.
    let cases = [
        (&expressions, vec![], false),
        (&counters, other_worker(&counters, "_total", milliseconds), false),
        (&latencies, other_worker(&latencies, "", seconds), false),
        (&latencies, other_worker(&latencies, "", milliseconds), true),
    ];
    let promtool = |expressions: &[String], series: &[Value]| {
        let asked = |expression: &String| serde_json::json!({"expr": expression, "eval_time": "1m", "exp_samples": []});
        let test = serde_json::json!({
            "evaluation_interval": "1s",
            "tests": [{
                "interval": "1s",
                "input_series": series,
                "promql_expr_test": expressions.iter().map(asked).collect::<Vec<_>>(),
            }],
        });
        // JSON is YAML.
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), test.to_string()).unwrap();
        Command::new("promtool").args(["test", "rules"]).arg(file.path()).output().unwrap()
    };
    for (expressions, series, shows) in cases {
        assert!(!expressions.is_empty());
        let output = promtool(expressions, &series);
        let said =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), !shows, "{said}");
        let failed = said.matches("expr: ").count();
        assert_eq!(failed, if shows { expressions.len() } else { 0 }, "{said}");
    }
}
