//! The second port: faults, metrics, health. For programs of this machine, and for no page of a web site.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use cli_kit::host;

use crate::{faults::Faults, service::Service};

const JSON: &str = "application/json";
/// Faults are a few hundred bytes.
const LONGEST_BODY: usize = 64 * 1024;

pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/health", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .route("/faults", get(faults).put(set_faults))
        .with_state(service)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .layer(middleware::from_fn(guard))
}

/// Answers only who asks for this machine by name, and no page in a browser: a site could have its own name
/// resolve to 127.0.0.1, and then set faults. A browser says on which page's behalf it asks.
async fn guard(request: Request, next: Next) -> Response {
    if !is_local(request.headers()) || request.headers().contains_key(header::ORIGIN) {
        let reason = "The key service's admin port answers only at localhost or a loopback address, and no web \
                      page.\n";
        return (StatusCode::FORBIDDEN, reason).into_response();
    }
    next.run(request).await
}

fn is_local(headers: &HeaderMap) -> bool {
    host::is_this_machine(headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes))
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], service.metrics.page())
}

async fn faults(State(service): State<Arc<Service>>) -> Response {
    show(&service.dealer.faults())
}

/// Replaces the faults: what is left out has its default, so `{}` ends all of them.
async fn set_faults(State(service): State<Arc<Service>>, body: Bytes) -> Response {
    let wrong = |reason: &dyn std::fmt::Display| {
        (StatusCode::BAD_REQUEST, format!("these faults can't be set: {reason}\n")).into_response()
    };
    let faults: Faults = match serde_json::from_slice(&body) {
        Ok(faults) => faults,
        Err(error) => return wrong(&error),
    };
    if let Err(error) = faults.check() {
        return wrong(&error);
    }
    service.dealer.set(faults.clone());
    show(&faults)
}

fn show(faults: &Faults) -> Response {
    match serde_json::to_string_pretty(faults) {
        Ok(json) => ([(header::CONTENT_TYPE, JSON)], json + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
