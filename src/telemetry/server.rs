//! `/metrics`: the SDK's metrics and ours, in one answer; and the client that reads such a page.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use prometheus::{
    TextEncoder,
    proto::{LabelPair, MetricFamily},
};
use tokio::net::TcpListener;

use super::Labels;

/// Longer than a scrape takes, shorter than anybody waits for one.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Reads `/metrics` pages.
#[derive(Clone)]
pub struct Scraper(Client<HttpConnector, Empty<axum::body::Bytes>>);

impl Default for Scraper {
    fn default() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }
}

impl Scraper {
    /// The page at `address`, as text.
    ///
    /// # Errors
    /// When nobody answers there in time, or not with a page.
    pub async fn scrape(&self, address: SocketAddr) -> anyhow::Result<String> {
        let uri = format!("http://{address}/metrics").parse()?;
        let fetch = async {
            let response = self.0.get(uri).await?;
            if !response.status().is_success() {
                bail!("HTTP status {}", response.status());
            }
            let body = response.into_body().collect().await?.to_bytes();
            Ok(String::from_utf8(body.into())?)
        };
        tokio::time::timeout(TIMEOUT, fetch)
            .await
            .map_err(anyhow::Error::from)
            .flatten()
            .with_context(|| format!("no metrics from http://{address}/metrics"))
    }
}

/// What a page is made of.
#[derive(Clone)]
struct Sources {
    scraper: Scraper,
    /// Where the SDK's own exporter answers.
    sdk: SocketAddr,
    labels: Labels,
}

/// Serves `/metrics` for ever: our registry, with `labels` on each metric, and what the SDK's own
/// exporter says at `sdk`.
pub async fn serve(listener: TcpListener, sdk: SocketAddr, labels: Labels) {
    let sources = Sources { scraper: Scraper::default(), sdk, labels };
    let router = Router::new().route("/metrics", get(metrics)).with_state(sources);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "/metrics is no longer served");
    }
}

async fn metrics(State(sources): State<Sources>) -> impl IntoResponse {
    let ours = TextEncoder::new().encode_to_string(&labelled(&sources.labels));
    match (sources.scraper.scrape(sources.sdk).await, ours) {
        (Ok(sdk), Ok(ours)) => {
            (StatusCode::OK, [("content-type", prometheus::TEXT_FORMAT)], sdk + &ours)
        }
        (Err(error), _) => failed(format!("{error:#}")),
        (_, Err(error)) => failed(error.to_string()),
    }
}

/// All of the default registry. Its labels can't be set there: `Observed` registers itself before
/// anybody could.
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
