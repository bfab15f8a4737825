//! One call: its signature, its faults, its answer.

use std::{convert::Infallible, future, io, time::Duration};

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, USER_AGENT},
    http::request::Parts,
};
use jiff::Timestamp;
use sigv4::{Credentials, Scope, verify};
use tokio::time::{sleep, timeout};
use uuid::Uuid;
use zeroize::Zeroize;

use crate::{
    connection::Reset,
    error::{ApiError, Kind},
    faults::{Deal, Dealer, Outcome, Purpose},
    metrics::{Fault, Metrics, OK},
    operations::{Answer, Operation, Vault},
};

/// What KMS takes for the media type of JSON.
const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");
const SERVICE: &str = "kms";
const TARGET: &str = "x-amz-target";
/// What comes before an operation's name in the header that says which one is meant.
const TARGET_PREFIX: &str = "TrentService.";
/// The largest request of KMS has 6 KiB of ciphertext and 8 KiB of context.
const LONGEST_BODY: usize = 64 * 1024;
/// How long a client may take to send a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How far the clocks of client and service may differ, as with AWS.
const TOLERANCE: Duration = Duration::from_secs(300);
/// How long a reset waits, so that the first half of the answer is on its way.
const BEFORE_RESET: Duration = Duration::from_millis(5);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Service {
    pub vault: Vault,
    pub credentials: Vec<Credentials>,
    pub dealer: Dealer,
    pub metrics: Metrics,
}

impl Service {
    /// Answers a request.
    pub async fn answer(
        &self,
        request: Request<Incoming>,
        reset: Reset,
    ) -> Result<Response<Body>, Infallible> {
        let (parts, body) = request.into_parts();
        let operation = operation(&parts.headers);
        let purpose = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        let purpose = purpose.and_then(Purpose::of_user_agent);
        let call = self.metrics.call(operation, purpose);

        let body = match read(body).await {
            Ok(body) => body,
            Err(error) => {
                call.end(error.kind.name());
                return Ok(response(Err(error)));
            }
        };
        let checked = self.check(&parts, &body);
        let operation = match checked.and_then(|()| operation.ok_or_else(|| unknown(&parts))) {
            Ok(operation) => operation,
            Err(error) => {
                wipe(body);
                call.end(error.kind.name());
                return Ok(response(Err(error)));
            }
        };

        let Deal { stall, outcome } = self.dealer.deal(operation, purpose);
        if let Some(stall) = stall {
            call.fault(Fault::Stall);
            sleep(stall).await;
        }
        let failed = |kind, reason| {
            wipe(body.clone());
            Err(ApiError::new(kind, reason))
        };
        let answer = match outcome {
            Outcome::Hang => {
                call.fault(Fault::Hang);
                // Until the client closes the connection, or the service stops.
                return future::pending().await;
            }
            Outcome::Throttle => {
                call.fault(Fault::Throttle);
                failed(Kind::Throttling, "too many calls: the rate is exceeded")
            }
            Outcome::Fail => {
                call.fault(Fault::Failure);
                failed(Kind::Internal, "the service failed, as its faults ask for")
            }
            Outcome::Answer | Outcome::Reset => {
                let answer = self.vault.perform(operation, &body);
                wipe(body);
                answer
            }
        };
        if outcome == Outcome::Reset {
            call.fault(Fault::Reset);
            call.end("reset");
            return Ok(half(answer, reset));
        }
        call.end(answer.as_ref().map_or_else(|error| error.kind.name(), |_| OK));
        Ok(response(answer))
    }

    /// Whether it is a call at all, and of someone who may make it.
    fn check(&self, parts: &Parts, body: &[u8]) -> Result<(), ApiError> {
        if parts.method != Method::POST || parts.uri.path() != "/" || parts.uri.query().is_some() {
            let reason =
                "the key service answers POST / with a header X-Amz-Target, and nothing else";
            return Err(ApiError::new(Kind::UnknownOperation, reason));
        }
        let text = |value: &HeaderValue| value.to_str().map(str::to_owned);
        let headers: Result<Vec<_>, _> =
            parts.headers.iter().map(|(name, value)| Ok((name.as_str(), text(value)?))).collect();
        let headers = headers.map_err(|_: hyper::header::ToStrError| {
            ApiError::new(Kind::Validation, "a header has characters that are not ASCII")
        })?;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request =
            sigv4::Request { method: "POST", path: "/", query: "", headers: &headers, body };
        let scope = Scope { region: self.vault.region(), service: SERVICE };
        verify(&request, &scope, &self.credentials, Timestamp::now(), TOLERANCE)?;
        Ok(())
    }
}

fn operation(headers: &HeaderMap) -> Option<Operation> {
    let target = headers.get(TARGET)?.to_str().ok()?;
    Operation::from_name(target.strip_prefix(TARGET_PREFIX)?)
}

fn unknown(parts: &Parts) -> ApiError {
    let target = parts.headers.get(TARGET).and_then(|target| target.to_str().ok());
    let known = Operation::ALL.map(Operation::name).join(", ");
    let reason = match target {
        Some(target) => format!("{target:?} is no operation of this service, which has {known}"),
        None => format!("the header X-Amz-Target is missing: TrentService. and one of {known}"),
    };
    ApiError::new(Kind::UnknownOperation, reason)
}

async fn read(body: Incoming) -> Result<Bytes, ApiError> {
    let reading = axum::body::to_bytes(Body::new(body), LONGEST_BODY);
    match timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => {
            let reason =
                format!("the body did not arrive whole, or has more than {LONGEST_BODY} bytes");
            Err(ApiError::new(Kind::Validation, reason))
        }
        Err(_) => Err(ApiError::new(Kind::Validation, "the body did not arrive in time")),
    }
}

/// Wipes a request, which may have a plaintext, unless a part of it is in use elsewhere. hyper's own buffer,
/// into which the next request is read, is out of reach.
fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.zeroize();
    }
}

/// The status and the body of an answer. hyper passes the body's own bytes to the system, and they are wiped once
/// they are sent.
fn sent(answer: Result<Answer, ApiError>) -> (u16, Bytes) {
    match answer {
        Ok(body) => (200, Bytes::from_owner(body)),
        Err(error) => (error.kind.status(), error.json().into()),
    }
}

fn response(answer: Result<Answer, ApiError>) -> Response<Body> {
    let (status, body) = sent(answer);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    if let Ok(id) = HeaderValue::from_str(&request_id()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

/// The id of an answer, for a log. It is not secret, so any random number is good enough.
fn request_id() -> String {
    Uuid::from_u128(fastrand::u128(..)).to_string()
}

/// The first half of an answer; then the connection is reset.
fn half(answer: Result<Answer, ApiError>, reset: Reset) -> Response<Body> {
    let (status, mut bytes) = sent(answer);
    let length = bytes.len().max(2);
    bytes.truncate(length / 2);
    let first = stream::once(future::ready(Ok(bytes)));
    let end = stream::once(async move {
        sleep(BEFORE_RESET).await;
        reset.set();
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    let mut response = Response::new(Body::from_stream(first.chain(end)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}
