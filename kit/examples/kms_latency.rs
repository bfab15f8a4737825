//! What one unwrapping costs without a stall: `cargo run --release -p codec-kit --features kms --example
//! kms_latency`.
//!
//! The key service runs in the same process, on a thread of its own; each call goes over a socket.

#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    time::{Duration, Instant},
};

use codec_kit::{
    KeyService,
    kms::{BlockingClient, Credentials, Settings, new_wrapped_key},
};
use key_service::{Options, Server};

const WARM_UP: usize = 500;
const CALLS: usize = 10_000;

fn print(client: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_micros();
    println!("{client}: p50 {} µs, p99 {} µs, {} calls", at(0.5), at(0.99), times.len());
}

fn main() -> Result<(), Box<dyn Error>> {
    let credentials = || Credentials::new("workshop", "not-a-secret").ok_or("no credentials");
    let server = Server::start(Options::new(credentials()?))?;
    let settings = Settings::new("us-east-1", credentials()?)?.with_endpoint(&server.endpoint())?;
    let keyring = new_wrapped_key(&BlockingClient::new(&settings)?, "alias/workshop", "2026")?;
    let keys = KeyService::with_kms(keyring, &settings)?;

    let mut times = Vec::new();
    for call in 0..WARM_UP + CALLS {
        let start = Instant::now();
        keys.data_key_blocking()?;
        if call >= WARM_UP {
            times.push(start.elapsed());
        }
    }
    print("blocking", times);

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let times = runtime.block_on(async {
        let calls = async move {
            let mut times = Vec::new();
            for call in 0..WARM_UP + CALLS {
                let start = Instant::now();
                keys.data_key().await?;
                if call >= WARM_UP {
                    times.push(start.elapsed());
                }
            }
            Ok::<_, codec_kit::KeyServiceError>(times)
        };
        tokio::spawn(calls).await
    })??;
    print("async", times);
    Ok(())
}
