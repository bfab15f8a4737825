//! `/metrics`: the SDK's metrics and ours, in one answer. `/timeline`: what held the thread.

use std::{collections::HashMap, net::SocketAddr};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
    response::IntoResponse,
    routing::get,
};
use cli_kit::http::Http;
use prometheus::{
    TextEncoder,
    proto::{LabelPair, MetricFamily},
};
use tokio::{net::TcpListener, task::spawn_blocking};
use url::form_urlencoded;

use super::{lag::LagProbe, timeline::Timeline};

/// Labels that every metric of a process carries, the SDK's and ours.
pub type Labels = HashMap<String, String>;

/// What a page is made of.
#[derive(Clone)]
struct Sources {
    http: Http,
    /// Where the SDK's own exporter answers.
    sdk: SocketAddr,
    labels: Labels,
}

/// Serves forever. `/metrics`: our registry, with `labels` on each metric, and what the SDK's own exporter says
/// at `sdk`. `/timeline?since=SECONDS`, where there is a probe: what it and the observed codecs saw since then, as
/// JSON.
pub async fn serve(
    listener: TcpListener,
    sdk: SocketAddr,
    labels: Labels,
    probe: Option<LagProbe>,
) {
    let sources = Sources { http: Http::default(), sdk, labels };
    let mut router = Router::new().route("/metrics", get(metrics)).with_state(sources);
    if let Some(probe) = probe {
        router = router.route("/timeline", get(move |uri| async move { timeline(&uri, &probe) }));
    }
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "/metrics is no longer served");
    }
}

async fn metrics(State(sources): State<Sources>) -> impl IntoResponse {
    let ours = TextEncoder::new().encode_to_string(&labelled(&sources.labels));
    let Sources { http, sdk, .. } = sources;
    // The HTTP client blocks, and the exporter that it asks runs on this very thread.
    let sdk = spawn_blocking(move || http.page(&format!("http://{sdk}/metrics"))).await;
    match (sdk.map_err(anyhow::Error::from).flatten(), ours) {
        (Ok(sdk), Ok(ours)) => {
            (StatusCode::OK, [("content-type", prometheus::TEXT_FORMAT)], sdk + &ours)
        }
        (Err(error), _) => failed(format!("{error:#}")),
        (_, Err(error)) => failed(error.to_string()),
    }
}

fn timeline(uri: &Uri, probe: &LagProbe) -> impl IntoResponse + use<> {
    let mut query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let since = query.find(|(name, _)| name == "since");
    let since = since.and_then(|(_, value)| value.parse().ok()).unwrap_or_default();
    match serde_json::to_string(&Timeline::since(since, probe)) {
        Ok(json) => (StatusCode::OK, [("content-type", "application/json")], json),
        Err(error) => failed(error.to_string()),
    }
}

/// All of the default registry. The labels can't be set there, because `Observed` registers its metrics
/// earlier.
fn labelled(labels: &Labels) -> Vec<MetricFamily> {
    let pairs: Vec<_> = labels
        .iter()
        .map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.clone());
            pair
        })
        .collect();
    let mut families = prometheus::gather();
    for metric in families.iter_mut().flat_map(MetricFamily::mut_metric) {
        let own = metric.take_label();
        metric.set_label(own.into_iter().chain(pairs.iter().cloned()).collect());
    }
    families
}

fn failed(reason: String) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    (StatusCode::INTERNAL_SERVER_ERROR, [("content-type", "text/plain")], reason)
}
