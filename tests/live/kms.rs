//! A worker and a starter whose data keys a key management service unwraps, over a real socket.

use codec_kit::kms::{BlockingClient, Credentials, Settings, new_wrapped_key};
use key_service::{Faults, Options, Server};

use crate::support::{Stage, stderr, stdout};

const REGION: &str = "us-east-1";
const ID: &str = "workshop";
const SECRET: &str = "not-a-secret";

#[test]
fn every_codec_waits_for_a_real_key_service() {
    let credentials = Credentials::new(ID, SECRET).unwrap();
    let service = Server::start(Options::new(credentials.clone())).unwrap();
    let endpoint = service.endpoint();
    let settings = Settings::new(REGION, credentials).unwrap().with_endpoint(&endpoint).unwrap();
    let client = BlockingClient::new(&settings).unwrap();
    let keys = new_wrapped_key(&client, "alias/workshop", "2026").unwrap().to_string();
    // Some calls take longer: a codec that waits for them still completes every workflow.
    let stalls = vec!["Decrypt:encrypt=0.2@200ms".parse().unwrap()];
    service.set_faults(Faults { stalls, ..Faults::default() }).unwrap();
    let variables = [
        ("CODEC_KEYS", &*keys),
        ("AWS_ENDPOINT_URL_KMS", &endpoint),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ];

    let stage = Stage::new();
    for solution in 1..=4 {
        let queue = format!("solution-{solution}");
        let flags = ["--task-queue", &queue];
        let name = format!("worker-{solution}");
        let worker = stage.worker_with(&name, solution, &flags, &variables);
        let mut starter = stage.starter(&flags);
        let load = ["--workflows", "3", "--activities", "2", "--activity-seconds", "0.1"];
        let output =
            starter.args(load).args(["--id-prefix", &queue]).envs(variables).output().unwrap();
        let (said, log) = (stdout(&output), stderr(&output));
        assert!(said.contains("3 workflows started, 3 completed"), "{said}{log}");
        assert!(!worker.log().contains("ERROR"), "{}", worker.log());
    }
    let metrics = service.metrics();
    for purpose in ["encrypt", "decrypt"] {
        let label = format!("purpose=\"{purpose}\"");
        assert!(metrics.contains(&label), "{metrics}");
    }
    service.stop();
}
