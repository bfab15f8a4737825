//! `workshop verify` with codecs that misbehave only in a worker, not in the checks: the server's records and
//! the worker's log show it.

use serde_json::Value;
use solutions::Step;

use crate::support::{
    checkout::{Checkout, solution},
    json, stderr, stdout,
};

/// The reference codec of exercise 3, with `does` at the beginning of `encode`. It behaves while it is judged.
fn codec(does: &str) -> String {
    let encode =
        "fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {";
    let mut judged = solution(Step::Async);
    assert!(judged.contains(encode), "{judged}");
    judged = judged.replace(
        encode,
        &format!(
            "{}
        let judged = std::env::args().any(|argument| argument == \"--for\");
        let activity = matches!(context, SerializationContextData::Activity(_));
        if activity && !judged {{
            {does}
        }}",
            encode.replace("_: &Ser", "context: &Ser")
        ),
    );
    judged
}

/// The report of `verify 3`, and its diagnosis.
fn judged(checkout: &Checkout, does: &str) -> (Value, String) {
    checkout.writes(Step::Async, codec(does));
    let output = checkout.judged(&["verify", "3", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(&output), stderr(&output));
    let report = json(&output);
    let lines = report["diagnosis"].as_array().unwrap();
    let said = lines.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n");
    for nonsense in ["..", "times that", "NaN", "inf"] {
        assert!(!said.contains(nonsense), "{said}");
    }
    (report, said)
}

#[test]
#[ignore = "takes some minutes: loads on a real server"]
fn what_an_activity_leaves_in_plain_text_is_found_on_the_server() {
    let checkout = Checkout::take();
    let (report, said) = judged(&checkout, "return codec_future(async move { Ok(payloads) });");
    let live = &report["live"];
    assert_eq!(live["as_expected"], 22, "{live:#}");
    // The workflow that fails on purpose, its only activity, and the payload of its failure.
    assert!(
        said.contains("Not solved yet: the server stores data that is not encrypted."),
        "{said}"
    );
    let named = "event 7 (ActivityTaskFailed) of workflow compare-verify-mine_3-0: \
                 failure.applicationFailureInfo.details.0 is \"json/plain\", not \
                 \"binary/encrypted\", and shows the name to greet as text";
    assert!(said.contains(named), "{said}");
    // Results of activities as well, and nothing that a workflow has encoded.
    let findings = live["evidence"]["findings"].as_array().unwrap();
    let types = ["ActivityTaskFailed", "ActivityTaskCompleted", "ActivityTaskStarted"];
    for event_type in types {
        assert!(findings.iter().any(|found| found["event_type"] == event_type), "{findings:#?}");
    }
    let others = findings
        .iter()
        .find(|found| types.iter().all(|event_type| found["event_type"] != *event_type));
    assert_eq!(others, None);
}

#[test]
#[ignore = "takes some minutes: loads on a real server"]
fn why_no_workflow_completes_is_in_the_workers_log() {
    let checkout = Checkout::take();
    let (_, said) = judged(&checkout, "panic!(\"enough of this\");");
    assert!(said.starts_with("Not solved yet: the codec panics in a worker."), "{said}");
    assert!(said.contains("the worker panicked at exercises/03-async-codec/codec.rs:"), "{said}");
    assert!(said.contains(": enough of this."), "{said}");

    let (_, said) = judged(&checkout, "std::process::exit(7);");
    assert!(said.starts_with("Not solved yet: the worker exits with this codec."), "{said}");
    assert!(said.contains("the worker exited (exit status: 7)"), "{said}");
}

#[test]
#[ignore = "takes some minutes: loads on a real server"]
fn a_codec_that_prints_is_judged_as_one_that_does_not() {
    let checkout = Checkout::take();
    let prints = "println!(\"{}\", \"sealed \".repeat(1 << 10)); eprintln!(\"sealed\");";
    checkout.writes(Step::Async, codec(prints));
    let output = checkout.judged(&["verify", "3", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let log = checkout.root.join(".workshop/verify/mine_3.worker.log");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("sealed sealed ") && log.contains("\nsealed\n"), "{log}");
}
