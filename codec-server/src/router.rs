//! From a request to its answer: routes, and the order of the checks.

use std::time::Instant;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use cli_kit::term::one_line;
use codec_kit::{AnyCodec, PayloadCodec};
use prometheus::{Registry, TEXT_FORMAT};

use crate::{
    auth::Auth,
    cors::{self, Origins},
    json,
    limits::{Budget, Limits, PacedBody, ReadBody, drain_refused},
    metrics::{Metrics, Route},
    offload::offload,
    protocol::{self, Operation},
    refusal::{Kind, Refusal},
    transform::transform,
};

/// Where a probe asks whether the server answers.
pub const HEALTH: &str = "/healthz";
/// Where Prometheus asks for metrics.
pub const METRICS: &str = "/metrics";

/// The most that a log line quotes of a name, in characters.
const QUOTED: usize = 100;

/// A codec server for any codec: what it may do, and for whom.
///
/// By itself it has no limits for connections; [`serve`](crate::serve::serve) adds them.
pub struct CodecServer {
    codec: AnyCodec,
    auth: Auth,
    origins: Origins,
    limits: Limits,
    metrics: Option<Metrics>,
}

impl CodecServer {
    /// A server that authenticates no one and answers no web page, with the default limits.
    pub fn new(codec: impl PayloadCodec + Send + Sync + 'static) -> Self {
        Self {
            codec: AnyCodec::new(codec),
            auth: Auth::Open,
            origins: Origins::default(),
            limits: Limits::default(),
            metrics: None,
        }
    }

    /// How requests are authenticated.
    #[must_use]
    pub fn auth(self, auth: Auth) -> Self {
        Self { auth, ..self }
    }

    /// The origins of the web pages that may use the server.
    #[must_use]
    pub fn origins(self, origins: Origins) -> Self {
        Self { origins, ..self }
    }

    /// What requests may take.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Where requests are counted; by default in a registry of its own.
    #[must_use]
    pub fn metrics(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The routes: `…/encode`, `…/decode`, `/healthz` and `/metrics`.
    pub fn router(self) -> Router {
        let Self { codec, auth, origins, limits, metrics } = self;
        let metrics = metrics.unwrap_or_else(|| {
            Metrics::new(&Registry::new()).expect("an empty registry has none of these names")
        });
        let state = App { codec, auth, budget: Budget::new(limits), metrics };
        let page = |metrics: State<App>| async move { metrics_page(&metrics.metrics) };
        Router::new()
            .route(HEALTH, get(async || "ok\n").fallback(no_such_method))
            .route(METRICS, get(page).fallback(no_such_method))
            .fallback(codec_request)
            .with_state(state.clone())
            // The last is the outermost: what CORS refuses is counted, too.
            .layer(middleware::from_fn_with_state(origins, cors::guard))
            .layer(middleware::from_fn_with_state(state, report))
    }
}

#[derive(Clone)]
struct App {
    codec: AnyCodec,
    auth: Auth,
    budget: Budget,
    metrics: Metrics,
}

async fn no_such_method(request: Request) -> Response {
    let refusal = Refusal::new(
        Kind::PageMethod,
        format!("{} for {}", request.method(), request.uri().path()),
    );
    refusal.into_response()
}

fn metrics_page(metrics: &Metrics) -> Response {
    match metrics.page() {
        Ok(page) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Counts and logs every request, and adds the headers that every answer has.
async fn report(State(app): State<App>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = Operation::of(request.uri().path()).map_or(Route::Other, Route::Codec);
    let mut response = next.run(request).await;
    let refusal = response.extensions_mut().remove::<Refusal>();
    let code = response.status().as_u16();
    app.metrics.answered(route, code, started.elapsed(), refusal.as_ref().map(Refusal::kind));
    if let Some(refusal) = refusal {
        let kind = refusal.kind().name();
        tracing::warn!(route = route.name(), code, kind, "refused: {refusal}");
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn codec_request(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let checked = app.check(&head).await;
    let Checked { operation, namespace, sender } = match checked {
        Ok(checked) => checked,
        Err(refusal) => {
            drain_refused(&head.headers, body, app.budget.limits.body_time).await;
            return Err(refusal);
        }
    };
    let ReadBody { bytes, mut share } = app.budget.read(body).await?;
    app.budget.turn(&mut share).await?;
    let received = bytes.len();
    let payloads = offload(received, move || json::read(&bytes)).await??;
    let count = payloads.len();
    let limits = &app.budget.limits;
    let answer = transform(&app.codec, operation, payloads, limits, &share.inflated).await?;
    let answer = offload(received, move || json::write(&answer)).await?;
    app.metrics.transformed(operation, count, received, answer.len());
    let namespace = namespace.as_deref().map(|namespace| one_line(namespace, QUOTED));
    match sender {
        // Who reads payloads is worth a line in any log.
        Some(sender) => {
            let sender = one_line(&sender, QUOTED);
            tracing::info!(%operation, namespace, %sender, payloads = count, "transformed");
        }
        None => tracing::debug!(%operation, namespace, payloads = count, "transformed"),
    }
    let media_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((media_type, PacedBody::of(answer, share)).into_response())
}

/// What is known about a request before its body is read.
struct Checked {
    operation: Operation,
    namespace: Option<String>,
    sender: Option<String>,
}

impl App {
    async fn check(&self, head: &axum::http::request::Parts) -> Result<Checked, Refusal> {
        let path = head.uri.path();
        let Some(operation) = Operation::of(path) else {
            return Err(Refusal::new(Kind::UnknownPath, "an unknown path"));
        };
        if head.method != Method::POST {
            return Err(Refusal::new(Kind::Method, format!("{} for {operation}", head.method)));
        }
        let namespace = protocol::namespace(&head.headers, path)?;
        let sender = self.auth.authorize(&head.headers, operation, namespace.as_deref()).await?;
        protocol::check_media_type(&head.headers)?;
        Ok(Checked { operation, namespace, sender })
    }
}
