//! The checks never pass a wrong codec and never fail a correct one: a table of both.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `variants/right.rs` | codecs that keep a step's promise, some at a cost |
//! | `variants/wrong.rs` | codecs that break it, each in a way that someone may think of |
//! | `variants/caching.rs` | both, for the last step: codecs that cache keys |
//! | `variants/puzzles.rs` | the puzzles of the workshop's end |
//! | `variants/unseen*.rs` | both, by theme: written without knowledge of what the checks measure |
//!
//! To add one, write a [`Variant`] into one of them: its codec in the few lines in which it
//! differs, and the verdict that is due. [`encodes`] and [`codec`] do the rest.
//!
//! | variable | what it does |
//! | --- | --- |
//! | `VARIANT_SEEDS` | how many seeds each is judged with (default 1), or from which to which: `6-10` |
//! | `VARIANT_JOBS` | how many are judged at a time (default 20) |
//! | `VARIANT` | judges only those whose name contains this; several are separated by a bar |
//! | `UPDATE_EVIDENCE` | writes the table into docs/evidence/variants.md, if all are judged |

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "the table is what this test is run by hand for")]

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt, fs, io,
    ops::RangeInclusive,
    panic,
    path::Path,
    process::{self, Command},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use codec_kit::{
    AnyCodec, CodecFuture, DataKey, DataKeys, KeyService, Payload, PayloadCodec,
    PayloadConversionError, SerializationContextData, key_ids, open_all, seal_all,
};
use futures::FutureExt;
use judge::{Check, JudgeError, Outcome, Promise, leaks::leak, promises, verdict};
use solutions::Step;
use tracing::Level;

#[path = "variants/caching.rs"]
mod caching;
#[path = "../../tests/support/evidence.rs"]
mod evidence;
#[path = "variants/puzzles.rs"]
mod puzzles;
#[path = "variants/right.rs"]
mod right;
#[path = "variants/unseen.rs"]
mod unseen;
#[path = "variants/wrong.rs"]
mod wrong;

/// A codec, and its expected verdict.
struct Variant {
    name: &'static str,
    make: fn(KeyService) -> AnyCodec,
    expected: Vec<(Step, Verdict)>,
}

/// An expected verdict.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// Every promise is kept, at no cost.
    Right,
    /// Every promise is kept, and the one cost that is named contains this.
    AtACost(&'static str),
    /// Every promise is kept, whatever the costs.
    RightAtAnyCost,
    /// The first promise that is broken is one of these.
    Wrong(&'static [&'static Promise]),
    /// Some promise is broken.
    WrongSomehow,
}

/// Of steps 2 and 3 alike.
fn both(verdict: Verdict) -> Vec<(Step, Verdict)> {
    vec![(Step::SpawnBlocking, verdict), (Step::Async, verdict)]
}

/// Of step 2, and of step 3.
fn each(two: Verdict, three: Verdict) -> Vec<(Step, Verdict)> {
    vec![(Step::SpawnBlocking, two), (Step::Async, three)]
}

/// What the work of a variant comes to: any error will do.
type Done = Result<Vec<Payload>, AnyError>;

type AnyError = Box<dyn Error + Send + Sync>;

/// A codec of two closures.
struct Codec<E, D> {
    keys: KeyService,
    encode: E,
    decode: D,
}

impl<E, D, F, G> PayloadCodec for Codec<E, D>
where
    E: Fn(KeyService, Vec<Payload>) -> F,
    D: Fn(KeyService, Vec<Payload>) -> G,
    F: Future<Output = Done> + Send + 'static,
    G: Future<Output = Done> + Send + 'static,
{
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        boxed((self.encode)(self.keys.clone(), payloads))
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        boxed((self.decode)(self.keys.clone(), payloads))
    }
}

fn boxed(work: impl Future<Output = Done> + Send + 'static) -> CodecFuture {
    work.map(|done| done.map_err(PayloadConversionError::EncodingError)).boxed()
}

/// The codec that encodes and decodes with these closures. What a closure does before it returns its future
/// runs before the SDK has one.
fn codec<F, G>(
    keys: KeyService,
    encode: impl Fn(KeyService, Vec<Payload>) -> F + Send + Sync + 'static,
    decode: impl Fn(KeyService, Vec<Payload>) -> G + Send + Sync + 'static,
) -> AnyCodec
where
    F: Future<Output = Done> + Send + 'static,
    G: Future<Output = Done> + Send + 'static,
{
    AnyCodec::new(Codec { keys, encode, decode })
}

/// The codec that encodes with this closure, and decodes correctly.
fn encodes<F>(
    keys: KeyService,
    encode: impl Fn(KeyService, Vec<Payload>) -> F + Send + Sync + 'static,
) -> AnyCodec
where
    F: Future<Output = Done> + Send + 'static,
{
    codec(keys, encode, opens)
}

/// A key id; `None` stands for the key to encrypt with.
type Which = Option<String>;

/// The codec that gets its keys with `get`, to encode and to decode.
fn gets_keys<F>(
    keys: KeyService,
    get: impl Fn(KeyService, Which) -> F + Clone + Send + Sync + 'static,
) -> AnyCodec
where
    F: Future<Output = Result<DataKey, AnyError>> + Send + 'static,
{
    let get_by_id = get.clone();
    codec(
        keys,
        move |keys, payloads| {
            let key = get(keys, None);
            async move { Ok(seal_all(&key.await?, payloads)?) }
        },
        move |keys, payloads| {
            let get = get_by_id.clone();
            async move {
                let mut found = DataKeys::default();
                for id in key_ids(&payloads) {
                    found.insert(get(keys.clone(), Some(id)).await?);
                }
                Ok(open_all(&found, payloads)?)
            }
        },
    )
}

/// Decodes correctly.
async fn opens(keys: KeyService, payloads: Vec<Payload>) -> Done {
    let mut found = DataKeys::default();
    for id in key_ids(&payloads) {
        found.insert(keys.data_key_by_id(&id).await?);
    }
    Ok(open_all(&found, payloads)?)
}

/// The verdict.
struct Judgement {
    /// The plainest reason first.
    broken: Vec<Check>,
    costs: Vec<String>,
}

/// Checks each promise, up to the first in the list that is broken.
fn judge(step: Step, make: fn(KeyService) -> AnyCodec, seed: u64) -> Judgement {
    let mut checks = Vec::new();
    for promise in promises::in_order(step) {
        checks.extend(judged(promise, step, make, seed));
        let broken = checks.iter().filter(|check| !check.is_kept());
        let first = broken.map(|check| promises::position(check.promise)).min();
        if verdict::is_the_last(promise, &checks)
            || first.is_some_and(|first| first <= promises::position(promise))
        {
            break;
        }
    }
    if checks.iter().all(Check::is_kept) {
        verdict::last_calls(step, &make, seed);
    }
    let checks = verdict::merged(checks);
    let costs = checks.iter().filter_map(|check| match &check.outcome {
        Outcome::KeptAtACost(cost) => Some(cost.clone()),
        _ => None,
    });
    let costs = costs.collect();
    let mut broken: Vec<_> = verdict::cause(&checks).cloned().into_iter().collect();
    broken.extend(checks.into_iter().filter(|check| !check.is_kept()));
    Judgement { broken, costs }
}

/// `verify` stops if the machine is too busy; here the check is tried again.
fn judged(
    promise: &'static Promise,
    step: Step,
    make: fn(KeyService) -> AnyCodec,
    seed: u64,
) -> Vec<Check> {
    let mut tries = 0..BUSY_TRIES;
    loop {
        match verdict::of(promise, step, &make, seed) {
            Err(JudgeError::TooBusy(_)) if tries.next().is_some() => {}
            judged => return judged.expect("the judge can work"),
        }
    }
}

/// How often it is tried again on a machine that is too busy.
const BUSY_TRIES: usize = 20;

impl Judgement {
    fn is(&self, verdict: Verdict) -> bool {
        match (verdict, self.broken.first()) {
            (Verdict::Wrong(any), Some(broken)) => any.contains(&broken.promise),
            (Verdict::AtACost(cost), None) => {
                matches!(&self.costs[..], [one] if one.contains(cost))
            }
            (Verdict::Right, None) => self.costs.is_empty(),
            (Verdict::RightAtAnyCost, None) | (Verdict::WrongSomehow, Some(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.broken.first() {
            Some(Check { promise, seen, .. }) => write!(f, "wrong | {promise:?}: {seen}"),
            None if self.costs.is_empty() => write!(f, "right |"),
            None => write!(f, "right, at a cost | {}", self.costs.join("; ")),
        }
    }
}

/// Which of the variants, which of its steps, and the seed: what a process is asked to judge.
type Case = (usize, usize, u64);

/// The variable that asks a process for one [`Case`].
const ONE: &str = "VARIANT_CASE";

fn all_variants() -> Vec<Variant> {
    let known = [
        right::variants(),
        wrong::variants(),
        caching::variants(),
        puzzles::variants(),
        unseen::variants(),
    ];
    known.into_iter().flatten().collect()
}

/// Not a test of its own: what the others start.
#[test]
fn judges_one_when_told() {
    if let Ok(case) = env::var(ONE) {
        judge_one(&all_variants(), &case);
    }
}

#[test]
fn the_judge_agrees_about_a_share_of_the_variants() {
    agrees_about_one_in(SHARE);
}

#[test]
#[ignore = "takes minutes: every variant"]
fn the_judge_agrees_about_every_variant() {
    agrees_about_one_in(1);
}

/// One verdict in this many is enough to see that the checks work at all.
const SHARE: usize = 15;
/// Judged among all of them only: one call of the checks has a thousand payloads, which takes it 10 s of CPU time.
const SLOW: &str = "encoding a call works for 10 ms on each payload, and yields";

fn agrees_about_one_in(share: usize) {
    let variants = all_variants();
    let number = |name, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let jobs = number("VARIANT_JOBS", 20);
    let seeds = seeds();
    let only = env::var("VARIANT").unwrap_or_default();

    let mut cases: Vec<Case> = Vec::new();
    for seed in seeds.clone() {
        for (number, variant) in variants.iter().enumerate() {
            if only.split('|').any(|only| variant.name.contains(only)) {
                cases.extend((0..variant.expected.len()).map(|step| (number, step, seed)));
            }
        }
    }
    let is_for_all = |(variant, ..): &Case| share > 1 && variants[*variant].name == SLOW;
    cases.retain(|case| !is_for_all(case));
    let cases: Vec<Case> = cases.into_iter().step_by(share).collect();
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let said = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    let words = in_a_process_of_its_own(&variants, *case);
                    said.lock().unwrap().insert(*case, words);
                }
            });
        }
    });
    let took = began.elapsed().as_secs();

    let mut said = said.into_inner().unwrap();
    // So many at a time are a heavier load than `verify` runs under, so a disagreement is judged again alone.
    let mut again = 0;
    for (case, words) in said.iter_mut().filter(|(_, words)| !words.starts_with(AGREES)) {
        let (variant, step, seed) = *case;
        let Variant { name, expected, .. } = &variants[variant];
        println!("judged again: seed {seed}, step {}, {name}: {words}", expected[step].0.number());
        *words = in_a_process_of_its_own(&variants, *case);
        again += 1;
    }
    let table = table(&variants, said.iter().filter(|((.., seed), _)| seed == seeds.start()));
    println!("{table}");
    if evidence::is_to_be_written() && share == 1 && only.is_empty() && *seeds.start() == 1 {
        evidence::write(EVIDENCE, &table);
    }
    let mut disagreements = String::new();
    for ((variant, step, seed), said) in &said {
        let Variant { name, expected, .. } = &variants[*variant];
        let (step, due) = expected[*step];
        if !said.starts_with(AGREES) {
            let step = step.number();
            disagreements +=
                &format!("seed {seed}, step {step}, {name}: {due:?}\n  said: {said}\n");
        }
    }
    let wrong = disagreements.matches("  said: ").count();
    println!(
        "\n{} variants, seeds {} to {}: {} of {} verdicts as due, {took} s, {jobs} at a time; \
         {again} judged again, alone",
        variants
            .iter()
            .filter(|variant| only.split('|').any(|only| variant.name.contains(only)))
            .count(),
        seeds.start(),
        seeds.end(),
        cases.len() - wrong,
        cases.len(),
    );
    assert!(disagreements.is_empty(), "\n{disagreements}");
}

fn seeds() -> RangeInclusive<u64> {
    let text = env::var("VARIANT_SEEDS").unwrap_or_else(|_| "1".to_owned());
    let (first, last) = text.split_once('-').unwrap_or(("1", &text));
    first.parse().unwrap()..=last.parse().unwrap()
}

/// The page with the table.
const EVIDENCE: &str = "variants.md";

#[test]
fn the_evidence_has_a_row_for_each_variant() {
    let variants = all_variants();
    let mut names: Vec<_> = variants.iter().map(|variant| variant.name).collect();
    let table = evidence::table(EVIDENCE);
    let rows = table.lines().skip(2);
    let mut written: Vec<_> =
        rows.filter_map(|row| row.strip_prefix("| ")?.split(" | ").next()).collect();
    written.dedup();
    written.sort_unstable();
    names.sort_unstable();
    assert_eq!(written, names, "{}=1 writes the table", evidence::UPDATE);
}

/// The table of docs/evidence/variants.md: a row for each variant, or for each step if they differ.
fn table<'a>(variants: &[Variant], said: impl Iterator<Item = (&'a Case, &'a String)>) -> String {
    let mut rows: Vec<(&str, String, String)> = Vec::new();
    for ((variant, step, _), said) in said {
        let Variant { name, expected, .. } = &variants[*variant];
        let number = expected[*step].0.number().to_string();
        let row = said.split_once(' ').map_or("", |(_, row)| row);
        let row = match row.char_indices().nth(REASON) {
            // Cut at the end of a word.
            Some((end, _)) => {
                format!("{} …", row[..end].rsplit_once(' ').map_or("", |(row, _)| row))
            }
            None => row.to_owned(),
        };
        // Figures differ from run to run.
        let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        match rows.last_mut() {
            Some((last, steps, said)) if last == name && words(said) == words(&row) => {
                *steps += &format!(", {number}");
            }
            _ => rows.push((name, number, row)),
        }
    }
    let heading = "| variant | step | verdict | reason |\n| --- | --- | --- | --- |\n".to_owned();
    rows.into_iter().fold(heading, |table, (name, steps, row)| {
        table + &format!("| {name} | {steps} | {row} |\n")
    })
}

/// How much of a reason the table shows: tokio's panics are long.
const REASON: usize = 170;

/// What comes before the verdict on the line that a process prints, and whether it is the one due.
const SAYS: &str = "the judge says ";
const AGREES: &str = "agrees";
const DISAGREES: &str = "disagrees";

/// Runs in the process that was started for this case.
fn judge_one(variants: &[Variant], case: &str) {
    // The checks report a codec's panics, so they are not printed.
    panic::set_hook(Box::new(|_| {}));
    let mut numbers = case.split(' ').map(|number| number.parse::<usize>().unwrap_or_default());
    let mut number = || numbers.next().unwrap_or_default();
    let Variant { make, expected, .. } = &variants[number()];
    let (step, due) = expected[number()];
    // As in the examiner: what a codec logs counts as printed.
    tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(io::stderr).init();
    let judgement = judge(step, *make, number() as u64);
    let agrees = if judgement.is(due) { AGREES } else { DISAGREES };
    println!("\n{SAYS}{agrees} {judgement}");
    // What a wrong codec has left running ends here.
    process::exit(0);
}

/// Each codec is judged in its own process, because the checks count threads, and a wrong codec may leave
/// some behind. It mostly waits, so several can be judged at a time.
fn in_a_process_of_its_own(variants: &[Variant], (variant, step, seed): Case) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{variant}-{step}-{seed}"));
    fs::create_dir_all(&folder).expect("cargo's folder for tests can be written to");
    let output = Command::new(env::current_exe().expect("this test is a program"))
        .args(["judges_one_when_told", "--exact", "--nocapture"])
        .env(ONE, format!("{variant} {step} {seed}"))
        // Some variants write files.
        .current_dir(&folder)
        .env("TMPDIR", &folder)
        .output()
        .expect("this test can be started");
    let printed = String::from_utf8_lossy(&output.stdout);
    let (says, others): (Vec<_>, Vec<_>) = printed.lines().partition(|line| line.starts_with(SAYS));
    let said = says.first().and_then(|line| line.strip_prefix(SAYS));
    let said = said.map_or_else(|| format!("nothing | {printed}"), str::to_owned);
    // The search for leaks that `verify` makes when all promises are kept.
    let written = fs::read_dir(&folder).into_iter().flatten().flatten();
    let written = written.flat_map(|file| fs::read(file.path()).unwrap_or_default());
    let shown: Vec<u8> =
        others.join("\n").into_bytes().into_iter().chain(output.stderr).chain(written).collect();
    fs::remove_dir_all(&folder).ok();
    let (_, due) = variants[variant].expected[step];
    match leak(&shown) {
        Some(leak) if said.contains(" right") => {
            let is_due = matches!(due, Verdict::WrongSomehow | Verdict::Wrong(_));
            let agrees = if is_due { AGREES } else { DISAGREES };
            format!("{agrees} wrong | shows {}, {}", leak.what, leak.form)
        }
        _ => said,
    }
}
