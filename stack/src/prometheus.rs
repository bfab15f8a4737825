//! Prometheus' configuration for a run, and whether Prometheus has loaded its rules.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, bail};
use cli_kit::settings;
use serde::{Deserialize, Serialize};
use serde_norway::Mapping;

use crate::{checkout::Checkout, programs::Unfit};

/// The template of a run's configuration. By itself it is a valid configuration, with the default ports.
const TEMPLATE: &str = "stack/prometheus.yml";
/// The files of rules that the template names.
const RULES: [&str; 2] =
    [include_str!("../rules/recording.yml"), include_str!("../rules/alerts.yml")];

/// The parts of a configuration that a run changes. All others stay as the template has them.
#[derive(Serialize, Deserialize)]
struct Config {
    #[serde(flatten)]
    others: Mapping,
    rule_files: Vec<String>,
    scrape_configs: Vec<ScrapeConfig>,
}

#[derive(Serialize, Deserialize)]
struct ScrapeConfig {
    job_name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    static_configs: Vec<StaticConfig>,
    #[serde(flatten)]
    others: Mapping,
}

#[derive(Serialize, Deserialize)]
struct StaticConfig {
    targets: Vec<String>,
    #[serde(flatten)]
    others: Mapping,
}

/// The configuration for a run: the template, with the ports of the settings and with absolute paths,
/// because Prometheus looks for relative ones beside its configuration.
///
/// # Errors
/// When the template can't be read, or the workshop's folder is [`unfit`].
pub fn config(checkout: &Checkout) -> anyhow::Result<String> {
    if let Some(unfit) = unfit(checkout.root()) {
        return Err(unfit.into());
    }
    let template = checkout.root().join(TEMPLATE);
    let can_t_read = || format!("can't read {}", template.display());
    let text = fs::read_to_string(&template).with_context(can_t_read)?;
    let mut config: Config = serde_norway::from_str(&text).with_context(can_t_read)?;
    for file in &mut config.rule_files {
        // The file's name may be a pattern; the folder's path must not be read as one.
        if Path::new(file).is_relative() {
            *file = format!("{}/stack/{file}", escape_pattern(&checkout.root().to_string_lossy()));
        }
    }
    for scrape in &mut config.scrape_configs {
        // A job that someone has added keeps its targets.
        let Some(port) = port(&scrape.job_name) else { continue };
        for group in &mut scrape.static_configs {
            group.targets = vec![checkout.settings.address(port).to_string()];
        }
    }
    Ok(serde_norway::to_string(&config)?)
}

/// The setting that names the port of a job.
fn port(job: &str) -> Option<&'static str> {
    match job {
        "worker" => Some(settings::WORKER_METRICS_PORT),
        "starter" => Some(settings::STARTER_METRICS_PORT),
        "temporal" => Some(settings::TEMPORAL_METRICS_PORT),
        "codec-server" => Some(settings::CODEC_SERVER_PORT),
        "key-service" => Some(settings::KEY_SERVICE_ADMIN_PORT),
        "prometheus" => Some(settings::PROMETHEUS_PORT),
        _ => None,
    }
}

/// Prometheus takes the path of a file of rules for a pattern, as Go's `filepath.Match` reads it.
fn escape_pattern(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for character in path.chars() {
        if matches!(character, '\\' | '?' | '[') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Why Prometheus could not be given rules in that folder; `None` if it can. It refuses a `*` before a
/// path's last `/`, escaped or not, and its configuration is UTF-8.
pub fn unfit(root: &Path) -> Option<Unfit> {
    let why = match root.to_str() {
        None => "is not UTF-8",
        Some(path) if path.contains('*') => "has a *",
        Some(_) => return None,
    };
    Some(Unfit {
        seen: format!("the path {} {why}, which Prometheus does not accept", root.display()),
        what_to_do: "rename the folder, or clone the workshop to another".to_owned(),
    })
}

/// The part that is compared, of a rules file and of Prometheus' own list of rules.
#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
}

/// The answer at `/api/v1/rules`.
#[derive(Deserialize)]
struct Answer {
    data: Groups,
}

/// Looks for the workshop's rules in Prometheus' answer at `/api/v1/rules`. Without them Prometheus is ready
/// all the same, but dashboards and alerts stay empty.
///
/// # Errors
/// Names the groups of rules that are missing.
pub fn has_rules(answer: &str) -> anyhow::Result<()> {
    let answer: Answer = serde_json::from_str(answer).context("its list of rules can't be read")?;
    let loaded: BTreeSet<_> = answer.data.groups.into_iter().map(|group| group.name).collect();
    let expected = rule_groups()?;
    let missing: Vec<_> = expected.difference(&loaded).map(String::as_str).collect();
    if !missing.is_empty() {
        bail!("it runs without the workshop's rules ({})", missing.join(", "));
    }
    Ok(())
}

fn rule_groups() -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for file in RULES {
        let file: Groups = serde_norway::from_str(file).context("a file of rules can't be read")?;
        names.extend(file.groups.into_iter().map(|group| group.name));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    use super::*;

    #[test]
    fn what_prometheus_takes_for_a_pattern_is_escaped() {
        assert_eq!(escape_pattern(r"/a\b/c?/[d]/R&D"), r"/a\\b/c\?/\[d]/R&D");
    }

    #[test]
    fn a_folder_that_prometheus_does_not_take_is_named() {
        assert!(unfit(Path::new("/home/me/R&D/it's a \"$b\"|[x]?")).is_none());
        for (path, why) in [(b"/a*b".as_slice(), "/a*b has a *"), (b"/a\xffb", "is not UTF-8")] {
            let unfit = unfit(Path::new(OsStr::from_bytes(path))).unwrap();
            assert!(unfit.to_string().contains(why), "{unfit}");
        }
    }

    #[test]
    fn a_group_that_is_not_loaded_is_named() {
        let groups = rule_groups().unwrap();
        assert!(groups.len() >= 2, "{groups:?}");
        let answer = |names: &[&String]| {
            let groups: Vec<_> =
                names.iter().map(|name| serde_json::json!({"name": name})).collect();
            serde_json::json!({"status": "success", "data": {"groups": groups}}).to_string()
        };
        let all: Vec<_> = groups.iter().collect();
        has_rules(&answer(&all)).unwrap();
        let error = has_rules(&answer(&all[1..])).unwrap_err().to_string();
        assert!(error.contains(all[0]), "{error}");
        has_rules(&answer(&[])).unwrap_err();
        has_rules("404 page not found").unwrap_err();
    }
}
