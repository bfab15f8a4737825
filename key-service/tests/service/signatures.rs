//! Who is answered: only those who sign, with the right secret, now, and for this service.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;
use key_service::{Faults, Options, Server, StartError};
use serde_json::Value;

use crate::support::{agent, call, credentials, server, signed, wait_for};

#[test]
fn an_old_signature_is_refused() {
    let server = server(Faults::default());
    for minutes in [6, -6] {
        let then = Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        let (status, answer) = signed(&server.endpoint(), "ListKeys", "{}", then);
        assert_eq!((status, &answer["__type"]), (400, &Value::from("InvalidSignatureException")));
        assert!(answer["message"].as_str().unwrap().contains("check the clock"), "{answer}");
    }
    let then = Timestamp::now() - Duration::from_secs(240);
    assert_eq!(signed(&server.endpoint(), "ListKeys", "{}", then).0, 200);
}

#[test]
fn a_request_without_a_signature_or_to_another_path_is_refused() {
    let server = server(Faults::default());
    let endpoint = server.endpoint();
    let answer = |path: &str, authorization: Option<&str>| {
        let mut post = agent().post(format!("{endpoint}{path}"));
        post = post.header("x-amz-target", "TrentService.ListKeys");
        if let Some(authorization) = authorization {
            post = post.header("authorization", authorization);
        }
        let text = post.send("{}").unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["__type"].as_str().unwrap().to_owned()
    };
    assert_eq!(answer("/", None), "MissingAuthenticationTokenException");
    assert_eq!(answer("/", Some("Basic dTpw")), "IncompleteSignatureException");
    assert_eq!(answer("/keys", None), "UnknownOperationException");
    assert_eq!(answer("/?a=b", None), "UnknownOperationException");
    let get = agent().get(&endpoint).call().unwrap();
    assert_eq!(get.status().as_u16(), 400);
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    let server = server(Faults::default());
    let body = format!("{{\"KeyId\": \"{}\"}}", "x".repeat(70_000));
    let mut answer = agent().post(server.endpoint()).send(body).unwrap();
    assert!(answer.body_mut().read_to_string().unwrap().contains("more than 65536 bytes"));
    call(&server, "ListKeys", serde_json::json!({}));
}

#[test]
fn it_listens_on_loopback_only_and_says_which_port_is_taken() {
    let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let options = Options { address: anywhere, ..Options::new(credentials()) };
    assert!(matches!(Server::start(options), Err(StartError::NotLoopback(_))));
    let options = Options { admin_address: anywhere, ..Options::new(credentials()) };
    assert!(matches!(Server::start(options), Err(StartError::NotLoopback(_))));

    let server = server(Faults::default());
    let options = Options { address: server.address(), ..Options::new(credentials()) };
    let error = Server::start(options).unwrap_err().to_string();
    assert!(
        error.contains(&server.address().to_string()) && error.contains("another port"),
        "{error}"
    );
    // It is free again once the service has stopped.
    let address = server.address();
    server.stop();
    // Another test may have been given it for a moment.
    wait_for("the port", || {
        Server::start(Options { address, ..Options::new(credentials()) }).is_ok()
    });
}
