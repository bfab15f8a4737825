//! The admin port: faults while it runs, metrics, health, and who may use it.

use jiff::Timestamp;
use key_service::{Faults, Server};
use serde_json::json;

use crate::support::{agent, call, refused, server, signed, wait_for};

fn page(server: &Server, path: &str) -> String {
    let mut answer =
        agent().get(format!("http://{}{path}", server.admin_address())).call().unwrap();
    answer.body_mut().read_to_string().unwrap()
}

/// A status and a text.
fn put(server: &Server, faults: &str, header: Option<(&str, &str)>) -> (u16, String) {
    let mut put = agent().put(format!("http://{}/faults", server.admin_address()));
    if let Some((name, value)) = header {
        put = put.header(name, value);
    }
    let mut answer = put.send(faults).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn faults_are_set_while_it_runs_and_end_with_an_empty_object() {
    let server = server(Faults::default());
    call(&server, "ListKeys", json!({}));
    let (status, text) = put(&server, r#"{"failure_rate": 1.0}"#, None);
    assert_eq!(status, 200, "{text}");
    assert_eq!(server.faults().failure_rate, 1.0);
    assert_eq!(refused(&server, "ListKeys", "{}"), "KMSInternalException");
    assert_eq!(put(&server, r#"{"throttle_per_second": 1}"#, None).0, 200);
    // On a busy machine, a second may pass between two calls, and then the next is allowed, too.
    wait_for("a call to be throttled", || {
        let (status, answer) = signed(&server.endpoint(), "ListKeys", "{}", Timestamp::now());
        assert!(status == 200 || answer["__type"] == "ThrottlingException", "{answer}");
        status == 400
    });
    assert_eq!(put(&server, "{}", None).0, 200);
    call(&server, "ListKeys", json!({}));
    let shown: Faults = serde_json::from_str(&page(&server, "/faults")).unwrap();
    assert_eq!(shown, Faults::default());

    for wrong in ["", "{", r#"{"failures": 1}"#, r#"{"failure_rate": 2}"#, r#"{"stalls": ["x"]}"#] {
        let (status, text) = put(&server, wrong, None);
        assert_eq!(status, 400, "{wrong}");
        assert!(text.starts_with("these faults can't be set"), "{text}");
    }
    assert_eq!(server.faults(), Faults::default());
}

#[test]
fn no_web_page_sets_faults() {
    let server = server(Faults::default());
    let outage = r#"{"refuse": true}"#;
    assert_eq!(put(&server, outage, Some(("origin", "https://site.example"))).0, 403);
    assert_eq!(put(&server, outage, Some(("host", "site.example"))).0, 403);
    assert!(!server.faults().refuse);
    assert_eq!(put(&server, outage, Some(("host", "localhost:8091"))).0, 200);
    assert!(server.faults().refuse);
}

/// Health and metrics are there during an outage: it is one of the service, not of its admin port.
#[test]
fn calls_and_faults_are_counted_by_operation() {
    let stalls = vec!["ListKeys=1@1ms".parse().unwrap()];
    let server = server(Faults { stalls, ..Faults::default() });
    call(&server, "ListKeys", json!({}));
    call(&server, "ListAliases", json!({}));
    refused(&server, "DescribeKey", "{}");
    server.set_faults(Faults { refuse: true, ..Faults::default() }).unwrap();
    assert_eq!(page(&server, "/health"), "ok\n");
    let metrics = page(&server, "/metrics");
    for line in [
        r#"workshop_key_service_calls_total{operation="ListKeys",purpose="",result="ok"} 1"#,
        r#"workshop_key_service_calls_total{operation="ListAliases",purpose="",result="ok"} 1"#,
        r#"workshop_key_service_calls_total{operation="DescribeKey",purpose="",result="ValidationException"} 1"#,
        r#"workshop_key_service_faults_total{fault="stall",operation="ListKeys",purpose=""} 1"#,
        r#"workshop_key_service_call_duration_seconds_count{operation="ListKeys",purpose=""} 1"#,
        "workshop_key_service_calls_in_flight 0",
        "workshop_key_service_connections_total 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
}
