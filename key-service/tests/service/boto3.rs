//! AWS's own SDK as a client: boto3.
//!
//! `BOTO3_PYTHON=PATH cargo test -p key-service -- --ignored boto3`, where the path is the Python of a
//! virtual environment with `boto3`.

use std::{env, process::Command};

use key_service::Faults;

use crate::support::server;

#[test]
#[ignore = "needs BOTO3_PYTHON, a Python with boto3"]
fn boto3_uses_every_operation() {
    let python =
        env::var_os("BOTO3_PYTHON").expect("BOTO3_PYTHON is the path of a Python with boto3");
    let server = server(Faults::default());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/service/with_boto3.py");
    let output = Command::new(python)
        .arg(script)
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .env("AWS_ENDPOINT_URL_KMS", server.endpoint())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "workshop")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.trim(), "done");
}
