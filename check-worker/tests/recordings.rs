//! Every recording of a real worker, replayed: the verdict must be right, or `cannot_tell`. A wrong
//! accusation fails the test. The table in `docs/evidence/check-worker.md` is what this test saw.
//!
//! `recordings/index.tsv` names each recording, the state that its worker was in, and the command that made
//! it. `UPDATE_EVIDENCE=1 cargo test --package check-worker --test recordings` writes the table.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    io::Read,
    path::{Path, PathBuf},
    sync::{LazyLock, Mutex},
    thread,
};

use check_worker::{
    finding::{Finding, Verdict},
    findings::decide,
    recording,
    tracker::Tracker,
};

#[path = "../../tests/support/evidence.rs"]
mod evidence;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

struct Recording {
    name: String,
    state: String,
    command: String,
}

fn index() -> Vec<Recording> {
    let text = fs::read_to_string(folder().join("index.tsv")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [name, state, command] = fields.as_slice() else { panic!("{line}") };
            Recording {
                name: (*name).to_owned(),
                state: (*state).to_owned(),
                command: (*command).to_owned(),
            }
        })
        .collect()
}

/// The pages of a recording, in order. They are a gigabyte in all, so none of them goes to the disk.
fn scrapes(name: &str) -> Vec<(recording::Line, Option<Vec<u8>>)> {
    let packed = fs::File::open(folder().join(format!("{name}.tar.zst"))).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(packed).unwrap());
    let (mut index, mut pages) = (String::new(), BTreeMap::new());
    for file in archive.entries().unwrap() {
        let mut file = file.unwrap();
        let path = file.path().unwrap().into_owned();
        if path.ends_with(recording::INDEX) {
            file.read_to_string(&mut index).unwrap();
        } else {
            let mut page = Vec::new();
            file.read_to_end(&mut page).unwrap();
            let at_ms: i64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            pages.insert(at_ms, page);
        }
    }
    let lines = index.lines().map(|line| serde_json::from_str(line).unwrap());
    let scrapes = lines.map(|line: recording::Line| (line, pages.remove(&line.at_ms))).collect();
    assert!(pages.is_empty(), "{name}: pages that are not in {}", recording::INDEX);
    scrapes
}

/// What was found in a recording.
struct Replayed {
    recording: Recording,
    family: String,
    relayed: bool,
    /// From all pages.
    found: Finding,
    /// From pages that are at least half a second apart, as Prometheus has them.
    without_close_up: Finding,
}

fn replay(recording: Recording) -> Replayed {
    let (mut all, mut apart) = (Tracker::default(), Tracker::default());
    let mut last = i64::MIN / 2;
    for (line, body) in scrapes(&recording.name) {
        let scrape = recording::scrape(line, body.map(Ok));
        all.push(&scrape);
        if line.at_ms - last >= 500 {
            apart.push(&scrape);
            last = line.at_ms;
        }
    }
    let model = all.model();
    let family = model.dialect.as_ref().map_or("", |dialect| dialect.family.name()).to_owned();
    let first = |found: Vec<Finding>| found.into_iter().next().unwrap();
    let without_close_up = first(decide(&apart.model()));
    let relayed = model.is_relayed();
    Replayed { recording, family, relayed, found: first(decide(&model)), without_close_up }
}

/// All recordings, in the order of their names.
static ALL: LazyLock<Vec<Replayed>> = LazyLock::new(replay_all);

/// Replays them side by side.
fn replay_all() -> Vec<Replayed> {
    let left = Mutex::new(index().into_iter());
    let threads = thread::available_parallelism().map_or(1, |n| n.get());
    let mut replayed: Vec<Replayed> = thread::scope(|scope| {
        let work = || {
            let next = || left.lock().unwrap().next();
            std::iter::from_fn(next).map(replay).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    replayed.sort_by(|a, b| a.recording.name.cmp(&b.recording.name));
    replayed
}

/// The verdicts that are right for a state. The first is the best.
fn right(name: &str, state: &str) -> &'static [Verdict] {
    use Verdict as V;
    let language = name.trim_start_matches("starved-");
    let has_loop = !["go", "java", "spring"].iter().any(|other| language.starts_with(other));
    // Where the machine had no free CPU time, the server is slow as well. That is no cause to accuse.
    if let Some(state) = state.strip_suffix(" without free CPU") {
        return right(name, state);
    }
    match state {
        "healthy" | "cached" => &[V::Healthy],
        "held" | "held-often" | "held-observed" if has_loop => &[V::Held],
        // One call in ten waits: whether that is slow depends on how many calls a task makes.
        "awaited-rare" if has_loop => &[V::SlowNotHeld, V::Healthy],
        // A goroutine or thread that sleeps holds up its own task only.
        "held" | "held-often" | "awaited" | "awaited-rare" | "awaited-jitter" | "awaited-queue"
        | "computes" => &[V::SlowNotHeld],
        "few-slots" | "few-activity-slots" => &[V::TooFewSlots],
        "few-pollers" => &[V::TooFewPollers],
        "slow-activities" | "stuck-activities" => &[V::SlowActivities],
        "tiny-cache" | "few-threads" => &[V::StickyThrash],
        "too-large" | "nondeterministic" => &[V::TooLargeOrNondeterminism],
        "slow-server" => &[V::ServerSlow],
        "idle" => &[V::NotEnoughData],
        other => panic!("what is right for {other}?"),
    }
}

/// Whether it names no cause, and says so.
fn is_unsure(recording: &Recording, finding: &Finding) -> bool {
    let starved = recording.state.ends_with(" without free CPU");
    finding.verdict == Verdict::CannotTell || (starved && finding.verdict == Verdict::NotEnoughData)
}

fn is_wrong(recording: &Recording, finding: &Finding) -> bool {
    !is_unsure(recording, finding)
        && !right(&recording.name, &recording.state).contains(&finding.verdict)
}

#[test]
fn no_recording_has_a_wrong_verdict() {
    let all = &*ALL;
    let mut wrong = String::new();
    let mut rows: Rows = BTreeMap::new();
    for Replayed { recording, family, relayed, found, without_close_up } in all {
        for (finding, pages) in [(found, "all pages"), (without_close_up, "pages apart")] {
            if is_wrong(recording, finding) {
                let verdict = finding.verdict.name();
                writeln!(wrong, "{}, {pages}: {verdict} ({})", recording.name, finding.seen)
                    .unwrap();
            }
        }
        let language =
            recording.name.split('-').find(|part| *part != "starved").unwrap_or_default();
        let family =
            format!("{family} ({language}{})", if *relayed { ", through a collector" } else { "" });
        let row = rows.entry((family, recording.state.clone())).or_default();
        row.push((found.clone(), without_close_up.clone()));
    }
    assert!(wrong.is_empty(), "wrong verdicts:\n{wrong}");
    let unsure = all.iter().filter(|r| is_unsure(&r.recording, &r.found)).count();
    let starved = |r: &&Replayed| r.recording.state.ends_with(" without free CPU");
    let without_cpu = all.iter().filter(starved).count();
    let unsure_without_cpu =
        all.iter().filter(starved).filter(|r| is_unsure(&r.recording, &r.found)).count();
    let (judged, not) = (all.len() - without_cpu, unsure - unsure_without_cpu);
    assert!(not * 20 <= judged, "{not} of {judged} recordings have no verdict");
    let summary = format!(
        "\n{judged} recordings: {} with the right verdict, {not} with `cannot_tell`, 0 with a wrong one. \
         Another {without_cpu} were made while the machine had no free CPU time, so that the server was slow, \
         too: {} with the right verdict, {unsure_without_cpu} with `cannot_tell` or \
         `not_enough_data`, 0 with a wrong one.\n",
        judged - not,
        without_cpu - unsure_without_cpu,
    );
    compare_with_evidence(&(table(&rows) + &summary));
}

/// What the texts of the exercises promise, for their worker and under their load.
#[test]
fn the_workshops_own_worker_is_held_until_its_codec_is_fixed() {
    for (name, verdict) in [
        ("rust-held-exercise", Verdict::Held),
        ("rust-held-observed-exercise", Verdict::Held),
        ("rust-awaited-rare-exercise", Verdict::SlowNotHeld),
        ("rust-cached-exercise", Verdict::Healthy),
    ] {
        let found = &ALL.iter().find(|replayed| replayed.recording.name == name).unwrap().found;
        assert_eq!(found.verdict, verdict, "{name}: {found:?}");
    }
}

#[test]
fn each_recording_has_the_command_that_made_it() {
    let index = index();
    for recording in &index {
        assert!(
            folder().join(format!("{}.tar.zst", recording.name)).is_file(),
            "{}",
            recording.name
        );
        assert!(recording.command.starts_with("python record.py "), "{}", recording.command);
    }
    let packed = fs::read_dir(folder()).unwrap().filter_map(|entry| {
        entry.unwrap().file_name().to_str()?.strip_suffix(".tar.zst").map(str::to_owned)
    });
    for name in packed {
        assert!(index.iter().any(|recording| recording.name == name), "{name} is not in the index");
    }
}

/// What was found for each family and state: from all pages, and from pages apart.
type Rows = BTreeMap<(String, String), Vec<(Finding, Finding)>>;

fn table(rows: &Rows) -> String {
    let mut text =
        "| family | state of the worker | recordings | verdict (sureness) | from pages that are \
                    seconds apart |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
    for ((family, state), found) in rows {
        let count = |verdicts: Vec<String>| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for verdict in verdicts {
                *counts.entry(verdict).or_default() += 1;
            }
            let counts = counts.iter().map(|(verdict, n)| format!("{n} x {verdict}"));
            counts.collect::<Vec<_>>().join(", ")
        };
        let full = count(
            found
                .iter()
                .map(|(f, _)| format!("`{}` ({})", f.verdict.name(), f.sureness.name()))
                .collect(),
        );
        let apart = count(found.iter().map(|(_, f)| format!("`{}`", f.verdict.name())).collect());
        writeln!(text, "| {family} | {state} | {} | {full} | {apart} |", found.len()).unwrap();
    }
    text
}

fn compare_with_evidence(table: &str) {
    const PAGE: &str = "check-worker.md";
    if evidence::is_to_be_written() {
        evidence::write(PAGE, table);
    } else {
        let update = evidence::UPDATE;
        assert_eq!(evidence::table(PAGE), table, "run it with {update}=1 to write the table");
    }
}
