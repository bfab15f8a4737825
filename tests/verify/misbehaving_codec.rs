//! Encrypts every payload as the blocking codec of step 1 does, and does harm when it is asked to:
//! `MISBEHAVES` says what, and when. One file for all, so that it is compiled once.

use std::{
    env, iter, mem,
    process::{self, Command},
    sync::Once,
    thread,
};

use codec_kit::{
    CodecFuture, DataKeys, KeyService, Observed, Payload, PayloadCodec, SerializationContextData,
    codec_future, key_ids, open_all, seal_all,
};

pub fn codec(keys: KeyService) -> impl PayloadCodec {
    misbehave("made", &[]);
    Observed::new(Encryption { keys })
}

struct Encryption {
    keys: KeyService,
}

impl PayloadCodec for Encryption {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        misbehave("called", &payloads);
        let keys = self.keys.clone();
        codec_future(async move {
            misbehave("polled", &payloads);
            let key = keys.data_key_blocking()?;
            seal_all(&key, payloads)
        })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keys = self.keys.clone();
        codec_future(async move {
            let mut found = DataKeys::default();
            for id in key_ids(&payloads) {
                found.insert(keys.data_key_by_id_blocking(&id)?);
            }
            open_all(&found, payloads)
        })
    }
}

fn misbehave(now: &str, payloads: &[Payload]) {
    let asked = env::var("MISBEHAVES").unwrap_or_default();
    let Some((what, when)) = asked.split_once(' ') else { return };
    if when != now {
        return;
    }
    match what {
        "panics" => panic!("enough of this"),
        "panics-at-length" => {
            panic!("{}\n\u{1b}[31m{}", "word ".repeat(200_000), "x".repeat(100_000))
        }
        "overflows" => overflow(1),
        "loops" => loop {
            std::hint::spin_loop();
        },
        "eats" => loop {
            mem::forget(vec![1_u8; 64 << 20]);
        },
        "asks-for-memory" => mem::forget(vec![0_u8; 16 << 30]),
        "exits-0" => process::exit(0),
        "exits-7" => process::exit(7),
        "aborts" => process::abort(),
        "prints-a-gigabyte" => a_gigabyte().for_each(|part| print!("{part}")),
        "complains-for-a-gigabyte" => a_gigabyte().for_each(|part| eprint!("{part}")),
        "starts-a-program" => start_a_program(),
        "starts-a-program-and-exits" => {
            start_a_program();
            process::exit(0);
        }
        "starts-threads" => loop {
            thread::spawn(|| thread::park());
        },
        "prints-payloads" => println!("{payloads:?}"),
        "prints-bytes" => each(payloads, |data| println!("{data:?}")),
        "prints-text" => each(payloads, |data| println!("{}", String::from_utf8_lossy(data))),
        "prints-hex" => each(payloads, |data| {
            let hex: String = data.iter().map(|byte| format!("{byte:02X} ")).collect();
            eprintln!("{hex}");
        }),
        "logs-payloads" => tracing::trace!(?payloads, "encodes"),
        "prints-the-key" => eprintln!("{:?}", b"test-key-test-key-test-key-test!"),
        "logs-decently" => {
            tracing::info!(payloads = payloads.len(), "encodes");
        }
        other => panic!("there is no way to do {other:?}"),
    }
}

/// Once is enough.
fn start_a_program() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| drop(Command::new("sleep").arg("600").spawn().unwrap()));
}

fn a_gigabyte() -> impl Iterator<Item = String> {
    iter::repeat_n("nothing new here. ".repeat(1 << 16), 1 << 10)
}

fn each(payloads: &[Payload], print: impl Fn(&[u8])) {
    payloads.iter().for_each(|payload| print(&payload.data));
}

fn overflow(depth: u64) {
    if depth > 0 {
        overflow(std::hint::black_box(depth + 1));
        std::hint::black_box(depth);
    }
}
