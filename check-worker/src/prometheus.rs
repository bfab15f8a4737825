//! Pages of the past, from a Prometheus server's API.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use cli_kit::exit::Failure;
use serde::Deserialize;

use crate::{
    exposition::{Page, Sample, value},
    fetch::Fetcher,
    metric::recognise,
    scrape::Scrape,
};

/// Metrics of an SDK, whatever their prefix and suffix.
const NAMES: &str = ".*(workflow_task|activity|num_pollers|worker_task_slots|worker_start|sticky_cache|workflow_(completed|failed|canceled|continue_as_new|active_thread_count)|request|codec_(poll|call)_seconds).*";
/// So many moments at most.
const MOMENTS: u64 = 60;

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

/// The pages of each worker that a selector finds, over the last `seconds`, by the worker's `instance`, or the one
/// that a collector gave it.
///
/// # Errors
/// When the server does not answer, or the selector is wrong.
pub fn pages(
    fetcher: &Fetcher,
    server: &str,
    selector: &str,
    seconds: u64,
    now_ms: i64,
) -> anyhow::Result<BTreeMap<String, Vec<Scrape>>> {
    let step = (seconds / MOMENTS).max(1);
    let end = now_ms / 1000;
    let start = end.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX));
    let url = format!(
        "{}/api/v1/query_range?query={}&start={start}&end={end}&step={step}",
        server.trim_end_matches('/'),
        encode(&query(selector)?)
    );
    let (status, text) = fetcher.text(&url).with_context(|| {
        format!("no answer from Prometheus at {server}; try its page in a browser")
    })?;
    let answer: Answer = serde_json::from_str(&text).with_context(|| {
        format!(
            "{server} answered with HTTP status {status}, and not as Prometheus does; check \
                 --prometheus"
        )
    })?;
    if answer.status != "success" {
        return Err(Failure::usage(format!(
            "Prometheus refuses the selector {selector}: {}",
            answer.error
        ))
        .into());
    }
    if answer.data.result.is_empty() {
        bail!(
            "Prometheus has no metrics of a Temporal SDK for {selector} in the last {seconds} s; look for \
             the right labels with the query temporal_num_pollers"
        );
    }
    Ok(by_worker(answer.data.result))
}

fn by_worker(all: Vec<Series>) -> BTreeMap<String, Vec<Scrape>> {
    let mut moments: BTreeMap<String, BTreeMap<i64, Vec<Sample>>> = BTreeMap::new();
    for series in all {
        let Some(full) = series.metric.get("__name__").cloned() else { continue };
        let Some((prefix, name)) = recognise(&full) else { continue };
        // Where Prometheus scrapes a collector, `instance` is the collector.
        let worker =
            ["exported_instance", "instance"].into_iter().find_map(|l| series.metric.get(l));
        let worker = worker.cloned().unwrap_or_default();
        let mut labels = series.metric;
        labels.remove("__name__");
        // Labels that Prometheus had to rename.
        for (exported, value) in labels.clone() {
            if let Some(own) = exported.strip_prefix("exported_") {
                labels.insert(own.to_owned(), value);
            }
        }
        for (at, number) in series.values {
            let Some(value) = value(&number) else { continue };
            let sample = Sample { name, prefix: prefix.to_owned(), labels: labels.clone(), value };
            let at_ms = (at * 1000.0) as i64;
            moments.entry(worker.clone()).or_default().entry(at_ms).or_default().push(sample);
        }
    }
    let scrapes = |moments: BTreeMap<i64, Vec<Sample>>| {
        let scrape = |(at_ms, samples)| Scrape { at_ms, took_ms: 0, page: Ok(Page::of(samples)) };
        moments.into_iter().map(scrape).collect()
    };
    moments.into_iter().map(|(worker, moments)| (worker, scrapes(moments))).collect()
}

/// The selector, with the names of an SDK's metrics added.
fn query(selector: &str) -> Result<String, Failure> {
    let inside = selector.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let Some(inside) = inside else {
        return Err(Failure::usage(format!(
            "the selector {selector} needs braces, as in --selector '{{job=\"worker\"}}'"
        )));
    };
    let comma = if inside.trim().is_empty() { "" } else { "," };
    Ok(format!("{{{}{comma}__name__=~\"{NAMES}\"}}", inside.trim().trim_end_matches(',')))
}

/// Percent-encodes a query.
fn encode(text: &str) -> String {
    let keeps = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if keeps(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;

    #[test]
    fn a_selector_gets_the_names() {
        assert!(query("{job=\"x\"}").unwrap().starts_with("{job=\"x\",__name__=~\""));
        assert!(query("{}").unwrap().starts_with("{__name__"));
        assert!(query("job=x").unwrap_err().to_string().contains("needs braces"));
        assert_eq!(encode("{a=\"b c\"}"), "%7Ba%3D%22b%20c%22%7D");
    }

    #[test]
    fn an_answer_becomes_pages_of_each_worker() {
        let text = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"__name__":"temporal_num_pollers","instance":"a:1","exported_namespace":"shop","namespace":"k8s"},
             "values":[[10,"5"],[20,"4"]]},
            {"metric":{"__name__":"temporal_num_pollers","instance":"collector:1","exported_instance":"b:1"},"values":[[10,"1"]]},
            {"metric":{"__name__":"http_requests_total","instance":"a:1"},"values":[[10,"1"]]}]}}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        let workers = by_worker(answer.data.result);
        assert_eq!(workers.keys().collect::<Vec<_>>(), ["a:1", "b:1"]);
        let first = workers["a:1"][0].page.as_ref().unwrap();
        assert_eq!(first.samples[0].name.metric, Metric::Pollers);
        assert_eq!(first.samples[0].label("namespace"), "shop");
        assert_eq!(workers["a:1"][1].at_ms, 20_000);
    }
}
