//! Random inputs, for tests that no input is too strange. Each test tries them for 200 ms. Two variables change that:
//!
//! ```sh
//! FUZZ_INPUTS=10000000 cargo test --release --package codec-kit --test fuzz -- --nocapture
//! FUZZ_INPUTS=1 FUZZ_SEED=4711 cargo test --package codec-kit --test fuzz    # one input again
//! ```
//!
//! The seed of the first input is 1, or `FUZZ_SEED`; that of each further input is one more. An input that fails is
//! named by its seed.

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use arbtest::arbitrary::{Result, Unstructured};
use fastrand::Rng;

/// How long a test takes unless the number of inputs is given.
const BUDGET: Duration = Duration::from_millis(200);
/// An input that takes longer has hung. Others take microseconds, and the system may run something else for a while.
const SLOWEST: Duration = Duration::from_secs(10);
/// The most by which the process may grow after its first inputs, in MiB.
const GROWTH: u64 = 32;
/// The longest input, in bytes.
const LONGEST: usize = 1024;

/// Names the input during which it is dropped by a panic.
struct Current(u64);

impl Drop for Current {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this input again: FUZZ_INPUTS=1 FUZZ_SEED={}", self.0);
        }
    }
}

/// Runs a check on random inputs. It prints how many there were, the time that the slowest took, and the memory.
pub fn each(name: &str, check: impl FnMut(&mut Unstructured<'_>) -> Result<()>) {
    let start = Instant::now();
    assert_few_resources(name, start, &[share(0, 1, check)]);
}

/// The same on several threads at once, for checks that mostly wait. Each thread makes a check of its own.
#[allow(dead_code, reason = "not every test that has this module waits")]
pub fn each_on_threads<C: FnMut(&mut Unstructured<'_>) -> Result<()>>(
    name: &str,
    threads: u64,
    make: impl Fn() -> C + Sync,
) {
    let start = Instant::now();
    let shares: Vec<_> = thread::scope(|scope| {
        let make = &make;
        let running: Vec<_> = (0..threads)
            .map(|number| scope.spawn(move || share(number, threads, make())))
            .collect();
        running.into_iter().map(|thread| thread.join().expect("no input is too strange")).collect()
    });
    assert_few_resources(name, start, &shares);
}

/// What one thread has seen.
struct Share {
    inputs: u64,
    slowest: Duration,
    /// Memory in MiB after a twentieth of the inputs, if their number is given.
    early: Option<u64>,
}

/// Of each `threads` inputs, checks the one with this number.
fn share(
    number: u64,
    threads: u64,
    mut check: impl FnMut(&mut Unstructured<'_>) -> Result<()>,
) -> Share {
    let variable = |name| env::var(name).ok().map(|text| text.parse().expect("a number"));
    let (wanted, first) = (variable("FUZZ_INPUTS"), variable("FUZZ_SEED").unwrap_or(1));
    let start = Instant::now();
    let mut bytes = [0; LONGEST];
    let mut share = Share { inputs: 0, slowest: Duration::ZERO, early: None };
    let mut next = number;
    while wanted.map_or_else(|| start.elapsed() < BUDGET, |wanted| next < wanted) {
        let current = Current(first + next);
        let mut random = Rng::with_seed(current.0);
        // Short ones are more frequent: most checks want few bytes, and use all of a short input.
        let most = random.usize(1..=LONGEST);
        let length = random.usize(1..=most);
        random.fill(&mut bytes[..length]);
        let started = Instant::now();
        // An error means that the input was too short for what the check wanted.
        let _ = check(&mut Unstructured::new(&bytes[..length]));
        share.slowest = share.slowest.max(started.elapsed());
        share.inputs += 1;
        next += threads;
        if share.early.is_none() && wanted.is_some_and(|wanted| next > wanted / 20) {
            share.early = memory("VmRSS");
        }
    }
    share
}

fn assert_few_resources(name: &str, start: Instant, shares: &[Share]) {
    let time = start.elapsed().as_secs_f64();
    let inputs: u64 = shares.iter().map(|share| share.inputs).sum();
    let slowest = shares.iter().map(|share| share.slowest).max().unwrap_or_default();
    println!("{name}: {inputs} inputs in {time:.1} s, the slowest {slowest:.1?}");
    assert!(slowest < SLOWEST, "an input took {slowest:?}");
    let early = shares.iter().filter_map(|share| share.early).min();
    if let (Some(early), Some(late), Some(peak)) = (early, memory("VmRSS"), memory("VmHWM")) {
        println!("{name}: {early} MiB of memory early, {late} MiB at the end, {peak} MiB at most");
        assert!(late < early + GROWTH, "{early} MiB became {late} MiB");
    }
}

/// Memory of this process in MiB, where the system tells it.
fn memory(field: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1024)
}

/// Text or bytes that are nearly right: pieces of the right form, and anything between them.
pub fn nearly<P: AsRef<[u8]>>(u: &mut Unstructured<'_>, pieces: &[P]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !u.is_empty() && u.ratio(15, 16)? && bytes.len() < 4096 {
        match u.ratio(15, 16)? {
            true => bytes.extend_from_slice(u.choose(pieces)?.as_ref()),
            false => bytes.extend_from_slice(u.arbitrary()?),
        }
    }
    Ok(bytes)
}

/// Bytes with a few of them changed, removed or added.
pub fn changed(u: &mut Unstructured<'_>, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    for _ in 0..u.int_in_range(1..=3)? {
        if bytes.is_empty() {
            break;
        }
        let at = u.choose_index(bytes.len())?;
        match u.int_in_range(0..=3)? {
            0 => bytes[at] ^= 1 << u.int_in_range(0..=7)?,
            1 => bytes.truncate(at),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, u.arbitrary()?),
        }
    }
    Ok(bytes)
}
