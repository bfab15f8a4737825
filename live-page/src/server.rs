//! The page over HTTP: for browsers on this machine, and for no page of another site.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use cli_kit::host;
use futures::StreamExt;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    assets::ASSETS,
    hub::{Hub, MOST_BROWSERS, Message, Update},
};

/// How long browsers have, at the end, to take what they were sent.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often a quiet connection is used, so that one without a browser is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The page's own files run and nothing else; it asks this server and no other; no site shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEADERS: [(header::HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Serves the page until the command stops it.
pub async fn run(
    listener: std::net::TcpListener,
    heading: String,
    mut updates: mpsc::Receiver<Update>,
) {
    // Only fails outside a runtime.
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let hub = Arc::new(Hub::new(&heading));
    let (stop, stopped) = oneshot::channel::<()>();
    let serve = axum::serve(listener, router(hub.clone())).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let serve = tokio::spawn(serve.into_future());
    while let Some(update) = updates.recv().await {
        if hub.apply(update) {
            break;
        }
    }
    drop(stop);
    let _ = timeout(FAREWELL, serve).await;
}

fn router(hub: Arc<Hub>) -> Router {
    let mut router =
        Router::new().route("/events", get(events)).route("/data.json", get(data)).with_state(hub);
    for asset in &ASSETS {
        let answer = ([(header::CONTENT_TYPE, asset.kind)], asset.text);
        router = router.route(asset.path, get(async move || answer));
    }
    router.layer(middleware::from_fn(guard))
}

/// Answers only who asks for this machine by name, and adds the headers. A page of another site could have its
/// own name resolve to 127.0.0.1 and then read what it likes: its requests carry that name.
async fn guard(request: Request, next: Next) -> Response {
    let mut response = match is_local(request.headers()) {
        true => next.run(request).await,
        false => {
            let reason = "The live page answers only at localhost or a loopback address.\n";
            (StatusCode::FORBIDDEN, reason).into_response()
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_local(headers: &HeaderMap) -> bool {
    host::is_this_machine(headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes))
}

async fn data(State(hub): State<Arc<Hub>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], hub.snapshot())
}

async fn events(State(hub): State<Arc<Hub>>) -> Response {
    let Some(messages) = hub.subscribe() else {
        let reason = format!("{MOST_BROWSERS} pages are open already. Close one.\n");
        return (StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
    };
    let events = messages.map(|message| Ok::<_, Infallible>(event(&message)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

fn event(message: &Message) -> Event {
    let named = |name, sequence: &u64, json: &str| {
        Event::default().event(name).id(sequence.to_string()).data(json)
    };
    match message {
        Message::Snapshot(sequence, json) => named("snapshot", sequence, json),
        Message::Change(sequence, json) => named("change", sequence, json),
        Message::End => Event::default().event("end").data("{}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_answered() {
        for (host, expected) in [
            ("127.0.0.1:8088", true),
            ("127.0.0.1", true),
            ("127.1.2.3:80", true),
            ("localhost:8088", true),
            ("LocalHost", true),
            ("[::1]:8088", true),
            ("[::1]", true),
            ("example.com:8088", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com:80", false),
            ("192.0.2.7:8088", false),
            ("0.0.0.0:8088", false),
            ("localhost:80@example.com", false),
            ("[::1].example.com", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(is_local(&headers), expected, "{host}");
        }
        assert!(!is_local(&HeaderMap::new()), "no name at all");
    }

    #[test]
    fn two_names_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        headers.append(header::HOST, HeaderValue::from_static("example.com"));
        assert!(!is_local(&headers));
    }
}
