//! What both clients get from any service that speaks KMS's protocol.
//!
//! Against moto's server: `MOTO_SERVER=PATH cargo test -p codec-kit --features kms --test kms -- --ignored
//! moto`, where the path is the program `moto_server` of a virtual environment with `moto[server]`.

use std::{
    env,
    process::{Child, Command, Stdio},
};

use key_service::Faults;

use crate::port::free_port;
use crate::support::{ALIAS, Client, context, metric, server, settings, wait_for};

/// The suite. What only the workshop's service does, such as refusing disabled keys, is tested elsewhere.
fn conforms(client: &Client, key: &str) {
    let name = client.name();
    let there = context(&[("codec-key-id", "2026"), ("ä", "ö \"\\\n"), ("empty", "")]);

    let blob = client.encrypt(key, b"a data key", &there).unwrap();
    assert_eq!(&**client.decrypt(&blob, &there).unwrap(), b"a data key", "{name}");
    assert_ne!(blob, client.encrypt(key, b"a data key", &there).unwrap(), "{name}");
    let largest = [7; 4096];
    let other = client.encrypt(key, &largest, &context(&[])).unwrap();
    assert_eq!(&**client.decrypt(&other, &context(&[])).unwrap(), &largest, "{name}");

    let made = client.generate(key, &there).unwrap();
    assert_eq!(made.plaintext.len(), 32, "{name}");
    assert_eq!(client.decrypt(&made.ciphertext, &there).unwrap(), made.plaintext, "{name}");
    assert_ne!(client.generate(key, &there).unwrap().plaintext, made.plaintext, "{name}");

    let before = client.attempts();
    let mut damaged = blob.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let elsewhere = context(&[("codec-key-id", "2025")]);
    for (error, wanted) in [
        (client.decrypt(&blob, &elsewhere).unwrap_err(), "InvalidCiphertextException"),
        (client.decrypt(&damaged, &there).unwrap_err(), "InvalidCiphertextException"),
        (client.encrypt("alias/other", b"x", &there).unwrap_err(), "NotFoundException"),
        (
            client.generate("00000000-0000-4000-8000-000000000000", &there).err().unwrap(),
            "NotFoundException",
        ),
        (client.encrypt(key, &[7; 4097], &there).unwrap_err(), "ValidationException"),
    ] {
        assert_eq!(error.name(), Some(wanted), "{name}: {error}");
        let message = error.to_string();
        assert!(message.contains("was refused") && !message.contains("asked"), "{name}: {message}");
    }
    // Every one of those would be refused again, so none was asked again.
    let after = client.attempts();
    assert_eq!((after.calls - before.calls, after.retries - before.retries), (5, 0), "{name}");
}

#[test]
fn both_clients_with_the_workshops_key_service() {
    let server = server(Faults::default());
    let clients = Client::both(&settings(&server.endpoint()));
    for client in &clients {
        conforms(client, ALIAS);
    }
    // Each decrypts what the other encrypted.
    let there = context(&[("a", "b")]);
    let blobs = clients.each_ref().map(|client| client.encrypt(ALIAS, b"x", &there).unwrap());
    assert!(clients[1].decrypt(&blobs[0], &there).is_ok());
    assert!(clients[0].decrypt(&blobs[1], &there).is_ok());
    // Connections are used again. The async client opens another one if it asks before the last one is free.
    let calls = metric(&server, "calls_total", &[]);
    let connections = server.connections();
    assert!(calls >= 30.0 && connections <= 5, "{connections} for {calls} calls");
}

/// Stopped when it is dropped.
struct Moto(Child);

impl Drop for Moto {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
#[ignore = "needs MOTO_SERVER, the program of moto[server]"]
fn both_clients_with_moto() {
    let program = env::var_os("MOTO_SERVER").expect("MOTO_SERVER is the path of moto_server");
    let port = free_port();
    let mut command = Command::new(program);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let mut moto = Moto(
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("moto_server starts"),
    );
    let endpoint = format!("http://127.0.0.1:{port}");
    wait_for("moto's server", || {
        assert!(moto.0.try_wait().unwrap().is_none(), "moto's server exited");
        ureq::get(format!("{endpoint}/moto-api/")).call().is_ok()
    });
    // moto has no key from the start, and checks no signature. It finds the service by the credential's
    // scope.
    let scope = "AWS4-HMAC-SHA256 Credential=workshop/20260101/us-east-1/kms/aws4_request, \
                 SignedHeaders=host, Signature=0";
    let mut answer = ureq::post(&endpoint)
        .header("x-amz-target", "TrentService.CreateKey")
        .header("content-type", "application/x-amz-json-1.1")
        .header("authorization", scope)
        .send("{}")
        .unwrap();
    let answer: serde_json::Value =
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    let key = answer["KeyMetadata"]["KeyId"].as_str().unwrap();
    for client in &Client::both(&settings(&endpoint)) {
        conforms(client, key);
    }
}
