//! How long a payload takes to be decoded by a codec server: `server_throughput NAME URL`. The server must have
//! the public test key of Temporal's samples. `tests/peers/throughput.sh` runs this with our server and with
//! that of Temporal's samples for Go.
//!
//! Prints one line for each sample: the name, `decode`, payloads in a request, bytes in a payload, microseconds
//! for a payload.

#![allow(clippy::print_stdout)]

use std::{
    env,
    error::Error,
    time::{Duration, Instant},
};

use codec_kit::{Keyring, Payload, seal};
use codec_server::json;
use ureq::Agent;

/// How many payloads a request has: what a page of the Web UI needs, and close to 4 MiB of JSON.
const REQUESTS: [usize; 2] = [100, 10_000];
/// In a payload, before it is encrypted.
const BYTES: usize = 100;
const WARM_UP: Duration = Duration::from_millis(500);
const SAMPLE: Duration = Duration::from_millis(500);
const SAMPLES: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = env::args().skip(1);
    let (Some(name), Some(url)) = (words.next(), words.next()) else {
        return Err("usage: server_throughput NAME URL".into());
    };
    let url = format!("{url}/decode");
    let agent = Agent::new_with_defaults();
    let keyring = Keyring::test_key();
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    let plain = Payload { metadata, data: vec![b'x'; BYTES], ..Payload::default() };
    for count in REQUESTS {
        let sealed: Vec<_> =
            (0..count).map(|_| seal(keyring.active(), &plain)).collect::<Result<_, _>>()?;
        let body = json::write(&sealed);
        let decode = || -> Result<Vec<u8>, ureq::Error> {
            let request = agent.post(&url).content_type("application/json");
            request.send(&body)?.body_mut().read_to_vec()
        };
        let payloads = json::read(&decode()?).map_err(|refusal| refusal.to_string())?;
        assert_eq!(payloads, vec![plain.clone(); count]);
        let sample = |at_least: Duration| -> Result<f64, ureq::Error> {
            let (start, mut decoded) = (Instant::now(), 0);
            while start.elapsed() < at_least {
                decode()?;
                decoded += count;
            }
            Ok(1e6 * start.elapsed().as_secs_f64() / decoded as f64)
        };
        sample(WARM_UP)?;
        for _ in 0..SAMPLES {
            let time = sample(SAMPLE)?;
            println!("{name}\tdecode\t{count}\t{BYTES}\t{time}");
        }
    }
    Ok(())
}
