//! Which SDK wrote a page, under which prefix and in which unit.

use std::{collections::BTreeMap, fmt};

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    exposition::{Page, Sample},
    metric::{Kind, Metric, Part, Unit},
};

/// SDKs whose metrics are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Python, TypeScript, .NET, Ruby and Rust, which share their core
    Core,
    /// Go, with the tally handler
    GoTally,
    /// Go, with the OpenTelemetry handler
    GoOtel,
    /// Java, with Micrometer
    Java,
}

impl Family {
    /// Its name, as flags and JSON write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::GoTally => "go-tally",
            Self::GoOtel => "go-otel",
            Self::Java => "java",
        }
    }

    /// Whether all tasks of a worker share one thread of their language, as an event loop is.
    pub fn has_loop(self) -> bool {
        self == Self::Core
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Core => "core (Python, TypeScript, .NET, Ruby or Rust)",
            Self::GoTally => "Go with tally",
            Self::GoOtel => "Go with OpenTelemetry",
            Self::Java => "Java with Micrometer",
        })
    }
}

/// What the user specified about a page; the rest is detected.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The family.
    pub family: Option<Family>,
    /// The unit of durations whose names do not say it.
    pub unit: Option<Unit>,
    /// The prefix of the metrics' names.
    pub prefix: Option<String>,
}

/// How a page is to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialect {
    /// The family.
    pub family: Family,
    /// Whether another process serves the page, such as an OpenTelemetry collector. It then changes only when the
    /// worker sends its metrics, and comes at once whatever the worker does.
    pub relayed: bool,
    /// The prefixes of the metrics' names.
    pub prefixes: Vec<String>,
    /// The unit of durations whose names do not say it.
    pub unit: Unit,
    /// Whether the names of counters end in `_total`.
    pub totals: bool,
    /// Whether the names of durations say their unit.
    pub unit_in_name: bool,
    /// Whether durations are summaries, which have no buckets.
    pub summaries: bool,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.family)?;
        if self.relayed {
            f.write_str(", through an OpenTelemetry collector or Prometheus")?;
        }
        let prefixes: Vec<_> = self.prefixes.iter().map(|prefix| format!("\"{prefix}\"")).collect();
        write!(f, "; prefix {}", prefixes.join(" and "))?;
        let unit = match self.unit {
            Unit::Milliseconds => "milliseconds",
            Unit::Seconds => "seconds",
        };
        write!(f, "; durations in {unit}")?;
        f.write_str(if self.summaries { ", as summaries" } else { "" })
    }
}

/// Whose page it is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kinship {
    /// A worker's.
    Worker(Dialect),
    /// That of a Temporal client without a worker.
    ClientOnly,
    /// The Temporal server's own.
    Server,
    /// Nothing on it comes from an SDK.
    Stranger,
}

/// Detects whose page it is.
pub fn detect(page: &Page, overrides: &Overrides) -> Kinship {
    let ours: Vec<&Sample> = page.samples.iter().filter(|sample| !is_servers_own(sample)).collect();
    let of_server = page.samples.len() > ours.len();
    let mut prefixes: Vec<String> = match &overrides.prefix {
        Some(prefix) => vec![prefix.clone()],
        None => {
            let proof = ours.iter().filter(|sample| sample.name.metric.is_distinctive());
            proof.map(|sample| sample.prefix.clone()).collect()
        }
    };
    prefixes.sort();
    prefixes.dedup();
    let ours: Vec<&Sample> = ours
        .into_iter()
        .filter(|sample| prefixes.contains(&sample.prefix))
        // Those have a prefix and a unit of their own.
        .filter(|sample| !sample.name.metric.is_codec_kits())
        .collect();
    if ours.is_empty() {
        let requests = page.samples.iter().any(|sample| {
            sample.name.metric == Metric::Request && sample.labels.contains_key("operation")
        });
        return match (of_server, requests) {
            (true, _) => Kinship::Server,
            (false, true) => Kinship::ClientOnly,
            (false, false) => Kinship::Stranger,
        };
    }
    let has = |name: &str, value: &str| {
        ours.iter().any(|sample| sample.labels.get(name).is_some_and(|given| given == value))
    };
    let labelled = |name: &str| ours.iter().any(|sample| sample.labels.contains_key(name));
    let summaries = labelled("quantile");
    let scope = labelled("otel_scope_name");
    let found = if has("service_name", "temporal-core-sdk")
        || has("poller_type", "sticky_workflow_task")
        || ours.iter().any(|sample| sample.name.metric == Metric::ActivityReceived)
    {
        Family::Core
    } else if labelled("signal_name") && labelled("query_type") {
        Family::Java
    } else if has("client_name", "temporal_go") || has("poller_type", "workflow_sticky_task") {
        if scope { Family::GoOtel } else { Family::GoTally }
    } else {
        Family::Core
    };
    let family = overrides.family.unwrap_or(found);
    Kinship::Worker(Dialect {
        family,
        // A collector and Prometheus add the job. Core's own page has no scope, which a collector adds, too.
        relayed: labelled("job") || (family == Family::Core && scope),
        unit: overrides.unit.unwrap_or_else(|| unit(&ours, family)),
        totals: ours.iter().any(|s| s.name.metric.kind() == Kind::Counter && s.name.total),
        unit_in_name: ours.iter().any(|sample| sample.name.unit.is_some()),
        summaries,
        prefixes,
    })
}

/// Temporal's server exports series of its own workers, which are built with the Go SDK.
fn is_servers_own(sample: &Sample) -> bool {
    sample.label("client_name") == "temporal_go" && sample.label("service_name") == "worker"
        || matches!(sample.label("namespace"), "temporal-system" | "temporal_system")
}

/// The unit of durations. A name with a unit wins. Without one, milliseconds of core are whole numbers.
fn unit(samples: &[&Sample], family: Family) -> Unit {
    if let Some(unit) = samples.iter().find_map(|sample| sample.name.unit) {
        return unit;
    }
    if family != Family::Core {
        return Unit::Seconds;
    }
    let mut sums = samples.iter().filter(|sample| sample.name.part == Part::Sum);
    if sums.any(|sample| sample.value.fract() != 0.0) {
        return Unit::Seconds;
    }
    // Nothing has been measured yet, so the buckets decide: the default ones end at 1,000 ms or at 1 s.
    let mut tops: BTreeMap<Metric, f64> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name.part == Part::Bucket) {
        let le = sample.labels.get("le").and_then(|le| le.parse::<f64>().ok()).unwrap_or(0.0);
        if le.is_finite() {
            let top = tops.entry(sample.name.metric).or_default();
            *top = top.max(le);
        }
    }
    let measured = samples.iter().any(|sample| sample.name.part == Part::Sum && sample.value > 0.0);
    let small = |metric, most| tops.get(&metric).is_some_and(|top| *top <= most);
    let looks_like_seconds =
        small(Metric::WorkflowExecution, 10.0) || small(Metric::RequestLatency, 60.0);
    if looks_like_seconds && !measured { Unit::Seconds } else { Unit::Milliseconds }
}

impl Dialect {
    /// Whether a sample is one of this worker's.
    pub fn takes(&self, sample: &Sample) -> bool {
        let is_ours = self.prefixes.contains(&sample.prefix) && !is_servers_own(sample);
        is_ours || sample.name.metric.is_codec_kits()
    }

    /// What a value of a duration is multiplied with for seconds.
    pub fn to_seconds(&self, sample: &Sample) -> f64 {
        match sample.name.unit.unwrap_or(self.unit) {
            Unit::Milliseconds => 0.001,
            Unit::Seconds => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(page: &str) -> Dialect {
        match detect(&Page::parse(page.as_bytes()).unwrap(), &Overrides::default()) {
            Kinship::Worker(dialect) => dialect,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_codecs_own_metrics_say_nothing_about_the_sdks() {
        let codec = "codec_poll_seconds_sum{operation=\"encode\"} 0.5\n";
        let samples = Page::parse(codec.as_bytes()).unwrap().samples;
        for prefix in ["", "temporal_"] {
            let dialect = dialect(&format!(
                "{prefix}num_pollers{{service_name=\"temporal-core-sdk\"}} 5\n\
                 {prefix}workflow_task_execution_latency_sum 12\n{codec}"
            ));
            assert_eq!((dialect.unit, dialect.unit_in_name), (Unit::Milliseconds, false));
            assert!(dialect.takes(&samples[0]), "{prefix}");
        }
        // Without an SDK's, they are no worker's page.
        let alone = detect(&Page::parse(codec.as_bytes()).unwrap(), &Overrides::default());
        assert!(!matches!(alone, Kinship::Worker(_)), "{alone:?}");
    }

    #[test]
    fn core_with_each_unit() {
        let page = |suffix: &str, sum: &str| {
            format!(
                "temporal_num_pollers{{service_name=\"temporal-core-sdk\"}} 5\n\
                 temporal_request_latency{suffix}_sum{{operation=\"a\"}} {sum}\n"
            )
        };
        assert_eq!(dialect(&page("", "12")).unit, Unit::Milliseconds);
        assert_eq!(dialect(&page("", "12.5")).unit, Unit::Seconds);
        assert_eq!(dialect(&page("_seconds", "12")).unit, Unit::Seconds);
        assert_eq!(dialect(&page("_milliseconds", "12.5")).unit, Unit::Milliseconds);
        assert_eq!(dialect(&page("", "12")).family, Family::Core);
    }

    #[test]
    fn nothing_measured_yet_is_read_off_the_buckets() {
        let page = "num_pollers{poller_type=\"sticky_workflow_task\"} 5\n\
                    workflow_task_execution_latency_bucket{le=\"1.0\"} 0\n\
                    workflow_task_execution_latency_sum 0\n";
        assert_eq!(
            (dialect(page).unit, dialect(page).prefixes),
            (Unit::Seconds, vec![String::new()])
        );
    }

    #[test]
    fn go_and_java_by_their_labels() {
        let go = "app_temporal_num_pollers{client_name=\"temporal_go\"} 2\n";
        assert_eq!(dialect(go).family, Family::GoTally);
        assert_eq!(dialect(go).prefixes, ["app_temporal_"]);
        let otel = "temporal_num_pollers{client_name=\"temporal_go\",otel_scope_name=\"temporal-sdk-go\"} 2\n";
        assert_eq!(dialect(otel).family, Family::GoOtel);
        let java = "temporal_num_pollers{signal_name=\"none\",query_type=\"none\"} 2\n";
        assert_eq!(dialect(java).family, Family::Java);
        assert_eq!(dialect(java).unit, Unit::Seconds);
    }

    #[test]
    fn a_page_that_another_process_serves() {
        let relayed =
            |labels: &str| dialect(&format!("temporal_num_pollers{{{labels}}} 2\n")).relayed;
        let (core, go) = ("service_name=\"temporal-core-sdk\"", "client_name=\"temporal_go\"");
        assert!(!relayed(core));
        // Core's own page has no scope, Go's has one.
        let scope = "otel_scope_name=\"x\"";
        assert!(relayed(&format!("{core},{scope}")));
        assert!(!relayed(&format!("{go},{scope}")));
        // A collector adds the job, and so does Prometheus.
        assert!(relayed(&format!("{core},job=\"x\"")));
        assert!(relayed(&format!("{go},{scope},job=\"x\"")));
    }

    #[test]
    fn who_is_no_worker() {
        let detect =
            |page: &str| detect(&Page::parse(page.as_bytes()).unwrap(), &Overrides::default());
        assert_eq!(detect("up 1\n"), Kinship::Stranger);
        assert_eq!(
            detect("temporal_request{operation=\"StartWorkflowExecution\"} 1\n"),
            Kinship::ClientOnly
        );
        // A web server's own requests do not make it a worker.
        assert_eq!(detect("http_request{path=\"/\"} 1\n"), Kinship::Stranger);
        let server = "num_pollers{client_name=\"temporal_go\",service_name=\"worker\"} 2\n";
        assert_eq!(detect(server), Kinship::Server);
    }

    #[test]
    fn what_the_user_says_wins() {
        let page = Page::parse(b"temporal_num_pollers 5\n").unwrap();
        let overrides = Overrides {
            family: Some(Family::Java),
            unit: Some(Unit::Seconds),
            prefix: Some("temporal_".into()),
        };
        let Kinship::Worker(dialect) = detect(&page, &overrides) else { panic!() };
        assert_eq!((dialect.family, dialect.unit), (Family::Java, Unit::Seconds));
        let other = Overrides { prefix: Some("other_".into()), ..Overrides::default() };
        assert_eq!(detect(&page, &other), Kinship::Stranger);
    }
}
