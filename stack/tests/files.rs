//! `stack/process-compose.yaml`, `stack/prometheus.yml`, `cli-kit/settings.env` and the code agree.
//! No service is started.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path, process::Command};

use cli_kit::settings::{self, Settings};
use serde_norway::Value;
use stack::{checkout::Checkout, prometheus, services::Service};
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn file(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn yaml(text: &str) -> Value {
    serde_norway::from_str(text).unwrap()
}

/// The file as process-compose reads it: with the values of variables in braces put into its text.
fn processes(settings: &Settings) -> Value {
    let mut text = file("stack/process-compose.yaml");
    for (name, value) in settings.variables().filter(|(name, _)| name.ends_with("_PORT")) {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    // The value of anything else could be read as YAML.
    assert!(!text.contains("${"), "only a port may be put into the text:\n{text}");
    let mut file = yaml(&text);
    file.apply_merge().unwrap();
    file["processes"].clone()
}

/// A checkout in a folder of that name, with the real files.
fn checkout(name: &str, settings: Settings) -> (TempDir, Checkout) {
    let folder = tempfile::tempdir().unwrap();
    let checkout = Checkout::new(folder.path().join(name), settings);
    fs::create_dir_all(checkout.folder()).unwrap();
    symlink(root().join("stack"), checkout.root().join("stack")).unwrap();
    (folder, checkout)
}

/// Each job and its target.
fn targets(config: &Value) -> Vec<(String, String)> {
    let jobs = config["scrape_configs"].as_sequence().unwrap();
    jobs.iter()
        .map(|job| {
            let targets = job["static_configs"][0]["targets"].as_sequence().unwrap();
            assert_eq!(targets.len(), 1);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&job["job_name"]), text(&targets[0]))
        })
        .collect()
}

#[test]
fn the_services_are_the_ones_that_the_code_knows() {
    let checkout = Checkout::new(root().to_owned(), Settings::from_env().unwrap());
    let processes = processes(&checkout.settings);
    let names: BTreeSet<_> =
        processes.as_mapping().unwrap().keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, Service::ALL.map(Service::name).into());
    for service in Service::ALL {
        let process = &processes[service.name()];
        let probe = &process["readiness_probe"]["http_get"];
        let part = |name: &str| probe[name].as_str().unwrap();
        let asked = format!("http://{}:{}{}", part("host"), part("port"), part("path"));
        assert_eq!(asked, service.health(&checkout.settings));
        let log = process["log_location"].as_str().map(|log| root().join(log));
        assert_eq!(log, Some(checkout.log(service.name())));
        // A minute, on a machine that is busy.
        let readiness = &process["readiness_probe"];
        let seconds = readiness["period_seconds"].as_u64().unwrap()
            * readiness["failure_threshold"].as_u64().unwrap();
        assert!(seconds >= 60, "{service}: {seconds}");
        assert!(process["availability"]["max_restarts"].as_u64().unwrap() > 0, "{service}");
    }
}

#[test]
fn every_variable_is_used_and_every_one_that_is_used_is_set() {
    let checkout = Checkout::new(root().to_owned(), Settings::from_env().unwrap());
    let known: BTreeSet<_> = checkout.variables().map(|(name, _)| name.to_owned()).collect();
    let files = [
        "stack/process-compose.yaml",
        "grafana/grafana.ini",
        "grafana/provisioning/datasources/prometheus.yaml",
        "grafana/provisioning/dashboards/workshop.yaml",
    ];
    let text = files.map(file).concat();
    let mut used: BTreeSet<_> = text
        .split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .filter(|word| word.starts_with("STACK_"))
        .map(str::to_owned)
        .collect();
    // These two are Prometheus' targets only, which the next test reads.
    used.extend(["WORKER", "STARTER"].map(|name| format!("STACK_{name}_METRICS_PORT")));
    assert_eq!(used, known);
}

/// The names on `PATH`, for the services whose program is in a variable.
#[test]
fn a_service_runs_the_program_that_is_looked_for() {
    let checkout = Checkout::new(root().to_owned(), Settings::from_env().unwrap());
    let processes = processes(&checkout.settings);
    for service in Service::ALL {
        let command = processes[service.name()]["command"].as_str().unwrap();
        let program = command.strip_prefix("exec ").unwrap().split_whitespace().next().unwrap();
        let variable = program.strip_prefix("\"$").and_then(|name| name.strip_suffix('"'));
        assert_eq!(variable.is_some(), service.program().is_built_here(), "{service}");
        let program = match variable {
            None => program.to_owned(),
            Some(name) => {
                let value = checkout.variables().find(|(known, _)| *known == name).unwrap().1;
                value.into_string().unwrap()
            }
        };
        assert_eq!(program, service.program().name);
    }
}

/// The share and the length of the stalls that the worker simulates unless its flags say otherwise.
#[test]
fn the_key_service_stalls_as_the_workers_simulation_does() {
    let arguments = file("greeting/src/args.rs");
    let default = |flag: &str| -> f64 {
        let (before, _) = arguments.split_once(&format!("pub {flag}: f64")).unwrap();
        let (_, default) = before.rsplit_once("default_value_t = ").unwrap();
        default.split(',').next().unwrap().parse().unwrap()
    };
    let (share, seconds) = (default("stall_probability"), default("stall_seconds"));
    let stall = format!("--stall Decrypt:encrypt={share}@{}ms", seconds * 1000.0);
    let checkout = Checkout::new(root().to_owned(), Settings::from_env().unwrap());
    let processes = processes(&checkout.settings);
    let command = processes["key-service"]["command"].as_str().unwrap();
    assert!(command.contains(&stall), "{stall}: {command}");
}

/// The jobs of Prometheus, and the settings that name their ports.
const JOBS: [(&str, &str); 6] = [
    ("worker", settings::WORKER_METRICS_PORT),
    ("starter", settings::STARTER_METRICS_PORT),
    ("temporal", settings::TEMPORAL_METRICS_PORT),
    ("codec-server", settings::CODEC_SERVER_PORT),
    ("key-service", settings::KEY_SERVICE_ADMIN_PORT),
    ("prometheus", settings::PROMETHEUS_PORT),
];

#[test]
fn prometheus_gets_the_ports_of_the_settings_and_absolute_paths_of_its_rules() {
    let template = file("stack/prometheus.yml");
    let mut template = yaml(&template);
    let mut settings = Settings::from_env().unwrap();
    for moved in [false, true] {
        if moved {
            for (job, (_, port)) in JOBS.iter().enumerate() {
                settings.set(port, (20_001 + job).to_string());
            }
        }
        let (_folder, checkout) = checkout("checkout", settings.clone());
        let mut config = yaml(&prometheus::config(&checkout).unwrap());
        let expected = JOBS.map(|(job, port)| (job.to_owned(), settings.address(port).to_string()));
        assert_eq!(targets(&config), expected);
        for file in ["recording.yml", "alerts.yml"] {
            let path = checkout.root().join("stack/rules").join(file);
            let path = Value::from(path.to_str().unwrap());
            assert!(config["rule_files"].as_sequence().unwrap().contains(&path), "{config:?}");
        }
        // All else is as the template has it, and so are the usual ports.
        for config in [&mut config, &mut template] {
            config["rule_files"] = Value::Null;
            if moved {
                for job in config["scrape_configs"].as_sequence_mut().unwrap() {
                    job["static_configs"] = Value::Null;
                }
            }
        }
        assert_eq!(config, template);
    }
}

#[test]
fn prometheus_finds_its_rules_in_a_folder_of_any_name() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("NOT RUN: there is no promtool");
        return;
    }
    for name in [
        "R&D",
        "x|y",
        r#"a"b"#,
        r"a\b",
        "a$b",
        "a$$b",
        "it's",
        "ü b",
        "# a: b",
        "[a]?{{b}}",
        "a\nb",
    ] {
        let (_folder, checkout) = checkout(name, Settings::from_env().unwrap());
        fs::write(checkout.prometheus_config(), prometheus::config(&checkout).unwrap()).unwrap();
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "config"]).arg(checkout.prometheus_config());
        let output = promtool.output().unwrap();
        let [said, error] =
            [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
        assert!(output.status.success(), "{name}: {error}");
        assert!(said.contains("2 rule files found"), "{name}: {said}");
    }
}

#[test]
fn the_texts_list_every_setting_and_its_default() {
    let page = file("docs/stack.md");
    let settings = file("cli-kit/settings.env");
    let settings = settings.lines().filter_map(|line| line.split_once('='));
    for (name, default) in settings.filter(|(name, _)| name.starts_with("STACK_")) {
        let row = page.lines().find(|line| line.contains(&format!("`{name}`")));
        let row = row.unwrap_or_else(|| panic!("docs/stack.md does not list {name}"));
        assert!(default.is_empty() || row.contains(&format!("`{default}`")), "{default}: {row}");
    }
}
