//! `nix/process-compose.yaml`, `nix/stack.env` and the code say the same. Nothing is started.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_norway::Value;
use stack::{services::Service, settings::Settings};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The file as process-compose reads it: with the variables' values.
fn processes(settings: &Settings) -> Value {
    let mut text = file("nix/process-compose.yaml").replace("${PWD}", "/workshop");
    for (name, value) in settings.variables() {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    assert!(!text.contains("${"), "a variable that stack.env does not have:\n{text}");
    let mut file: Value = serde_norway::from_str(&text).unwrap();
    file.apply_merge().unwrap();
    file["processes"].clone()
}

#[test]
fn the_services_are_the_ones_that_the_code_knows() {
    let settings = Settings::from_env().unwrap();
    let processes = processes(&settings);
    let names: BTreeSet<_> =
        processes.as_mapping().unwrap().keys().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, Service::ALL.map(Service::name).into());
    for service in Service::ALL {
        let process = &processes[service.name()];
        let probe = &process["readiness_probe"]["http_get"];
        let part = |name: &str| probe[name].as_str().unwrap();
        let asked = format!("http://{}:{}{}", part("host"), part("port"), part("path"));
        assert_eq!(asked, service.health(&settings));
        let log = settings.log(service.name());
        assert_eq!(process["log_location"].as_str().map(PathBuf::from), Some(log));
        // A minute, on a machine that is busy.
        let readiness = &process["readiness_probe"];
        let seconds = readiness["period_seconds"].as_u64().unwrap()
            * readiness["failure_threshold"].as_u64().unwrap();
        assert!(seconds >= 60, "{service}: {seconds}");
        assert!(process["availability"]["max_restarts"].as_u64().unwrap() > 0, "{service}");
    }
}

#[test]
fn every_setting_is_used_and_every_port_is_filled_in() {
    let settings = Settings::from_env().unwrap();
    let used = [file("nix/process-compose.yaml"), file("grafana/grafana.ini")].concat()
        + &file("grafana/provisioning/datasources/prometheus.yaml");
    for (name, _) in settings.variables() {
        assert!(used.contains(name), "nobody uses {name}");
    }
    // Each target of Prometheus has the usual port, and the variable that moves it.
    let prometheus = file("nix/prometheus.yml");
    let targets: Vec<_> =
        prometheus.lines().filter_map(|line| line.trim().strip_prefix("- 127.0.0.1:")).collect();
    assert_eq!(targets.len(), 4);
    for target in targets {
        let (port, name) = target.split_once(" # ").unwrap();
        assert_eq!(port, settings.port(name).to_string(), "{name}");
        assert!(used.contains(&format!("# {name}/:${{{name}}}/")), "{name} is not filled in");
    }
}

#[test]
fn the_readme_tells_every_setting_and_its_default() {
    let readme = file("README.md");
    let settings = file("nix/stack.env");
    let settings = settings.lines().filter_map(|line| line.split_once('='));
    for (name, default) in settings.filter(|(name, _)| name.starts_with("STACK_")) {
        let row = readme.lines().find(|line| line.contains(&format!("`{name}`")));
        let row = row.unwrap_or_else(|| panic!("README.md does not tell of {name}"));
        assert!(default.is_empty() || row.contains(&format!("`{default}`")), "{default}: {row}");
    }
}
