//! No plaintext and no key in any log, nor in the metrics: at the most detailed level, and when payloads
//! can't be opened, read or sealed.

use codec_kit::{
    AnyCodec, CodecFuture, ENCODING, Keyring, Payload, PayloadCodec, SerializationContextData,
    codec_future, seal_all,
};
use greeting::workflows::{GreetingInput, GreetingWorkflow, TASK_QUEUE};
use judge::leaks::Printed;
use rustix::process::Signal;
use temporalio_client::WorkflowStartOptions;

use crate::support::{Stage, Worker, json, stderr, wait_for};

/// Whom the workflows greet: short, so that nothing that cuts payloads to a length cuts it.
const NAME: &str = "Zq8kLw4TvX7m";
/// The key of these tests, and as `CODEC_KEYS` has it.
const KEY: &[u8] = b"the key of this test: 32 bytes!!";
const KEYS: &str = "mine=dGhlIGtleSBvZiB0aGlzIHRlc3Q6IDMyIGJ5dGVzISE=";
/// Everything that the SDK and the libraries below it log, and payloads in full, if they log any.
const LOUD: [(&str, &str); 3] =
    [("RUST_LOG", "trace"), ("TEMPORAL_PRINT_FULL_PAYLOADS", "1"), ("CODEC_KEYS", KEYS)];

fn tells_no_secret(who: &str, output: &[u8]) {
    let printed = Printed::new(output);
    for (what, secret) in [("the name", NAME.as_bytes()), ("the key", KEY)] {
        let shown = printed.shows(secret).map(|form| format!("{who} tells {what} {form}"));
        assert_eq!(shown, None);
    }
}

/// All its output: its log, what it prints, its metrics.
fn worker_tells_no_secret(mut worker: Worker) {
    let metrics = worker.metrics();
    assert!(metrics.contains("temporal_worker_task_slots_available"), "{metrics}");
    tells_no_secret("the worker's metrics", metrics.as_bytes());
    worker.process.signal(Signal::TERM);
    assert_eq!(worker.process.wait().code(), Some(0), "{}", worker.log());
    let log = worker.log();
    // It was loud, and the SDK was, too.
    assert!(log.contains("TRACE") && log.contains("temporalio_sdk_core"), "{log}");
    tells_no_secret("the worker's log", log.as_bytes());
    tells_no_secret("the worker", worker.printed().as_bytes());
}

#[test]
fn nothing_secret_is_told_of_a_load_at_the_level_that_tells_most() {
    let stage = Stage::new();
    let worker = stage.worker_with("worker", 3, &[], &LOUD);
    let load = ["--workflows", "2", "--activities", "2", "--activity-seconds", "0.1", "--json"];
    let mut starter = stage.starter(&load);
    let output = starter.args(["--name", NAME]).envs(LOUD).output().unwrap();
    assert_eq!(json(&output)["workflows"]["completed"], 2, "{}", stderr(&output));
    assert!(stderr(&output).contains("TRACE"), "{}", stderr(&output));
    tells_no_secret("the starter's log", &output.stderr);
    tells_no_secret("the starter", &output.stdout);
    worker_tells_no_secret(worker);
}

/// Sends something other than what it was given to encode.
struct Sends(fn(Vec<Payload>) -> Vec<Payload>);

impl PayloadCodec for Sends {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let sent = (self.0)(payloads);
        codec_future(async move { Ok(sent) })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        codec_future(async move { Ok(payloads) })
    }
}

fn sealed(keys: &str, payloads: Vec<Payload>) -> Vec<Payload> {
    seal_all(Keyring::parse(keys, None).unwrap().active(), payloads).unwrap()
}

#[test]
fn nothing_secret_is_told_of_payloads_that_cannot_be_opened_read_or_sealed() {
    let stage = Stage::new();
    let worker = stage.worker_with("worker", 3, &["--failure-rate", "0.4"], &LOUD);
    let sends: [(&str, Sends, &str); 5] = [
        (
            "under another key",
            Sends(|payloads| {
                sealed("other=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", payloads)
            }),
            "key id \"other\", which the key service does not hold",
        ),
        (
            "changed",
            Sends(|payloads| {
                let mut sealed = sealed(KEYS, payloads);
                sealed.iter_mut().for_each(|payload| payload.data[20] ^= 1);
                sealed
            }),
            "decryption with key id \"mine\" failed",
        ),
        (
            "truncated",
            Sends(|payloads| {
                let mut sealed = sealed(KEYS, payloads);
                sealed.iter_mut().for_each(|payload| payload.data.truncate(20));
                sealed
            }),
            "it was truncated",
        ),
        (
            "of another type",
            Sends(|_| {
                let payload = Payload {
                    metadata: [(ENCODING.to_owned(), b"json/plain".to_vec())].into(),
                    data: format!("\"{NAME}\"").into(),
                    ..Payload::default()
                };
                sealed(KEYS, vec![payload])
            }),
            "Failed to create workflow",
        ),
        ("as it should be", Sends(|payloads| sealed(KEYS, payloads)), "KMSInternalException"),
    ];
    for (id, sends, told) in sends {
        let client = stage.client(AnyCodec::new(sends));
        stage.runtime.block_on(async {
            let input = GreetingInput { name: NAME.into(), ..GreetingInput::default() };
            let options = WorkflowStartOptions::new(TASK_QUEUE, id).build();
            client.start_workflow(GreetingWorkflow::run, input, options).await.unwrap();
        });
        wait_for(&format!("the worker to tell that one is {id}"), || {
            worker.log().contains(told).then_some(())
        });
    }
    worker_tells_no_secret(worker);
}
