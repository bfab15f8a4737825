//! Plays simulated runs on the live page, to look at it without a worker:
//! `cargo run -p live-page --example demo [ADDRESS]`
//!
//! It stops by itself: after three runs, and a minute in which the page can be looked at.

use std::{
    io::{Write, stderr},
    net::SocketAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use live_page::{Doing, Frame, LivePage, RunHandle, Segment};

const WORKFLOWS: u32 = 100;
const INTERVAL: f64 = 0.5;
/// How long a stalled call to the key service takes, in seconds.
const STALL: f64 = 0.4;

/// How a simulated codec waits for its key.
#[derive(Clone, Copy, PartialEq)]
enum Codec {
    Blocking,
    SpawnBlocking,
    Async,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let address: SocketAddr = address.parse()?;
    let page = LivePage::serve(address, "Demonstration: simulated numbers, no worker")?;
    writeln!(stderr(), "open {}", page.url())?;
    play(&page.start("blocking", WORKFLOWS), Codec::Blocking, 45.0);
    play(&page.start("spawn-blocking", WORKFLOWS), Codec::SpawnBlocking, 15.0);
    play(&page.start("async", WORKFLOWS), Codec::Async, 12.0);
    sleep(Duration::from_secs(60));
    page.stop();
    Ok(())
}

fn play(run: &RunHandle, codec: Codec, seconds: f64) {
    let mut random = fastrand::Rng::with_seed(codec as u64);
    let began = Instant::now();
    let is_blocking = codec == Codec::Blocking;
    let mut thread = 0.0; // what the thread did is known up to here
    let (mut lag, mut not_found) = (0.002, 0);
    let mut at = 0.0;
    while at < seconds {
        at += INTERVAL;
        sleep(Duration::from_secs_f64(at).saturating_sub(began.elapsed()));
        let share = at / seconds;
        let mut segments = Vec::new();
        while thread < at {
            let (doing, length, pause) = match (is_blocking, random.f64()) {
                (true, chance) if chance < 0.6 => {
                    let doing = if random.f64() < 0.85 { Doing::Encode } else { Doing::Decode };
                    (doing, STALL, 0.004)
                }
                (true, _) => (Doing::Busy, 0.02, 0.01),
                (false, chance) if chance < 0.1 => (Doing::Encode, 0.003, 0.03),
                (false, _) => (Doing::Busy, 0.012 * random.f64(), 0.05),
            };
            segments.push(Segment { from: thread, to: thread + length, doing });
            thread += length + pause * (0.5 + random.f64());
        }
        if is_blocking {
            lag = (lag * (0.8 + 0.6 * random.f64())).clamp(0.2, 4.0);
            not_found += u64::from(share > 0.3) * random.u64(0..4);
        }
        let workflows_done = f64::from(WORKFLOWS) * if is_blocking { share.powi(4) } else { share };
        let waits = if is_blocking { 1 } else { random.u32(5..14) };
        let healthy = 0.001 + 0.004 * random.f64();
        run.push(Frame {
            at,
            workflows_done: workflows_done as u32,
            activities_done: (workflows_done * 10.0) as u64,
            codec_measured: true,
            thread: segments,
            lag_worker: Some(if is_blocking { lag } else { healthy }),
            lag_beside: Some(if is_blocking { lag * 0.9 } else { healthy * 0.8 }),
            schedule_to_start_p95: Some(if is_blocking {
                0.3 + 9.0 * share
            } else {
                healthy * 3.0
            }),
            end_to_end_p95: (share > 0.1).then_some(if is_blocking { 40.0 * share } else { 4.0 }),
            calls_in_flight: Some(waits),
            blocking_threads: Some(if codec == Codec::SpawnBlocking { waits + 2 } else { 0 }),
            not_found,
        });
    }
    run.finish(&format!("Finished: {WORKFLOWS} workflows in {seconds:.0} s."));
}
