//! A service on free ports, and signed requests to it.

use std::{
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use key_service::{Credentials, Faults, Keys, Options, Server};
use serde_json::Value;
use sigv4::{Request, Scope, sign};
use ureq::Agent;

pub const LIMIT: Duration = Duration::from_secs(30);
pub const REGION: &str = "us-east-1";
/// Two keys, so that one ciphertext can be of the other.
pub const KEYS: &str = "workshop=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
                        other=AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

pub fn credentials() -> Credentials {
    Credentials::new("workshop", "not-a-secret").unwrap()
}

pub fn server(faults: Faults) -> Server {
    let keys = Some(Keys::parse(KEYS).unwrap());
    Server::start(Options { keys, faults, ..Options::new(credentials()) }).unwrap()
}

pub fn agent() -> Agent {
    let config = Agent::config_builder().http_status_as_error(false).proxy(None);
    config.timeout_global(Some(LIMIT)).build().into()
}

/// A status, and the JSON of the answer.
pub fn signed(endpoint: &str, operation: &str, body: &str, now: Timestamp) -> (u16, Value) {
    let host = endpoint.strip_prefix("http://").unwrap();
    let target = format!("TrentService.{operation}");
    let headers = [("host", host), ("x-amz-target", target.as_str())];
    let request =
        Request { method: "POST", path: "/", query: "", headers: &headers, body: body.as_bytes() };
    let scope = Scope { region: REGION, service: "kms" };
    let mut post = agent().post(endpoint);
    for (name, value) in sign(&request, &scope, &credentials(), now) {
        post = post.header(name, value);
    }
    for (name, value) in headers {
        post = post.header(name, value);
    }
    let mut answer = post.send(body).unwrap();
    let media_type = answer.headers().get("content-type").cloned();
    assert_eq!(media_type.unwrap(), "application/x-amz-json-1.1");
    assert!(answer.headers().contains_key("x-amzn-requestid"));
    let text = answer.body_mut().read_to_string().unwrap();
    let json = match text.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&text).unwrap(),
    };
    (answer.status().as_u16(), json)
}

pub fn call(server: &Server, operation: &str, body: Value) -> Value {
    let (status, json) = signed(&server.endpoint(), operation, &body.to_string(), Timestamp::now());
    assert_eq!(status, 200, "{operation}: {json}");
    json
}

/// The name of an error, with a status that fits.
pub fn refused(server: &Server, operation: &str, body: &str) -> String {
    let (status, json) = signed(&server.endpoint(), operation, body, Timestamp::now());
    let name = json["__type"].as_str().unwrap_or_else(|| panic!("{operation} {body}: {json}"));
    assert!(!json["message"].as_str().unwrap().is_empty());
    let wanted = match name {
        "DisabledException" => 409,
        "KMSInternalException" => 500,
        _ => 400,
    };
    assert_eq!(status, wanted, "{json}");
    name.to_owned()
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        thread::sleep(Duration::from_millis(2));
    }
}
