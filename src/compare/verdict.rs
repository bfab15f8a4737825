//! The meaning of a comparison in plain words, from its own numbers.

use super::{results::Comparison, table::seconds};
use crate::experiment::{Codec, Reference, Run};

/// A codec that held its thread for at least this share of the stall blocked.
const HELD: f64 = 0.9;
/// A codec this much slower than async is mentioned.
pub const SLOWER: f64 = 1.5;

/// A few sentences: the cause, the evidence, the next step.
pub fn verdict(all: &Comparison) -> Vec<String> {
    let mut words = Vec::new();
    words
        .extend(all.runs.iter().filter(|run| blocked(all, run)).flat_map(|run| blocking(all, run)));
    if let Some(run) = all.run(Reference::SpawnBlocking) {
        words.extend(spawn_blocking(all, run));
    }
    if let Some(run) = all.run(Reference::Async) {
        words.extend(asynchronous(all, run));
    }
    if let Some(run) = all.run(Reference::BeyondAsync) {
        words.extend(beyond_async(all, run));
    }
    for run in all.runs.iter().filter(|run| !blocked(all, run)) {
        if let Codec::Mine(_) = run.codec {
            words.push(mine(all, run));
        }
    }
    for run in &all.runs {
        if run.workflows.failed > 0 || run.workflows.started < all.scenario.load.workflows as usize
        {
            words.push(format!(
                "Of {} workflows with {}, {} started and {} failed; the JSON lists the reasons under \
                 failures.",
                all.scenario.load.workflows,
                run.codec.in_words(),
                run.workflows.started,
                run.workflows.failed
            ));
        }
    }
    words.extend(all.runs.iter().filter(|run| run.cut_off).map(|run| {
        format!(
            "The run of {} was cut off after {:.0} s, with {} of {} workflows done: ≥ marks lower \
             bounds, not figures.",
            run.codec.in_words(),
            run.wall_seconds,
            run.workflows.completed,
            run.workflows.started
        )
    }));
    if all.finished {
        words.push(
            "Next: you have solved every exercise. Look for such a wait in your own worker: \
             docs/your-own-worker.md shows how."
                .to_owned(),
        );
    }
    words
}

fn blocked(all: &Comparison, run: &Run) -> bool {
    run.longest_poll_seconds.is_some_and(|poll| poll >= HELD * all.scenario.keys.stall_seconds)
        && all.scenario.keys.stall_probability > 0.0
}

fn blocking(all: &Comparison, run: &Run) -> Vec<String> {
    let poll = run.longest_poll_seconds.unwrap_or_default();
    let mut words = vec![format!(
        "{} held the worker's thread for {} in a single poll, as long as one stall of the key \
         service ({} s). While it waits for its key, that thread does nothing else.",
        subject(run.codec),
        seconds(poll),
        all.scenario.keys.stall_seconds
    )];
    if let Some(ratio) = all.ratios.get(&run.codec).and_then(|ratio| ratio.end_to_end_p95) {
        words.push(format!(
            "Every stall delays every workflow on that thread: its end-to-end p95 is {}{ratio:.0} times \
             that of async.",
            at_least(run),
        ));
    }
    if run.workflow_task_not_found > 0 {
        words.push(format!(
            "The worker took workflow tasks and completed them too late: {} completions came back \
             with \"Workflow task not found\". Each retry of such a task encodes its payloads again, \
             and may stall again.",
            run.workflow_task_not_found
        ));
    }
    words
}

fn spawn_blocking(all: &Comparison, run: &Run) -> Vec<String> {
    if blocked(all, run) {
        return Vec::new();
    }
    let pool = all.scenario.runtime.blocking_threads;
    let threads = run
        .peak_threads
        .map(|threads| format!(" (its process had up to {threads} threads)"))
        .unwrap_or_default();
    match all.ratios.get(&run.codec).and_then(|ratio| ratio.end_to_end_p95) {
        Some(ratio)
            if ratio >= SLOWER && run.peak_threads.is_some_and(|peak| peak < pool.get() as u64) =>
        {
            vec![format!(
                "spawn_blocking kept the worker's thread free, and the blocking pool never had all its \
                 {pool} threads{threads}. Its end-to-end p95 is still {}{ratio:.1} times that of async, \
                 so something else on this machine slowed it down: run it again.",
                at_least(run),
            )]
        }
        Some(ratio) if ratio >= SLOWER => vec![format!(
            "spawn_blocking kept the worker's thread free, but its waits queue for the {pool} threads \
             of the blocking pool{threads}: its end-to-end p95 is {}{ratio:.1} times that of async. \
             More threads would raise that limit; waiting asynchronously removes it.",
            at_least(run),
        )],
        Some(ratio) => vec![format!(
            "spawn_blocking waits on the blocking pool{threads}, which keeps the worker's thread free: \
             its end-to-end p95 is {} that of async, with {} \"not found\". Use it where the key service \
             has only a blocking client; --scenario pool shows its limit.",
            times(ratio),
            run.workflow_task_not_found
        )],
        None => Vec::new(),
    }
}

fn asynchronous(all: &Comparison, run: &Run) -> Vec<String> {
    if blocked(all, run) || run.cut_off {
        return Vec::new();
    }
    let Some(end_to_end) = run.end_to_end_seconds else { return Vec::new() };
    let never = all.run(Reference::NeverStalls).and_then(|run| run.end_to_end_seconds);
    let against = match never {
        Some(never) if never.p95 > 0.0 => {
            format!(", {} that of a codec that never stalls", times(end_to_end.p95 / never.p95))
        }
        _ => String::new(),
    };
    let longest = run
        .longest_poll_seconds
        .map(|poll| format!("; its longest poll took {}", seconds(poll)))
        .unwrap_or_default();
    let mut words = vec![format!(
        "async waits without a thread: end-to-end p95 {}{against}{longest}.",
        seconds(end_to_end.p95),
    )];
    if run.workflow_task_not_found > 0 {
        words.push(format!(
            "{} of its completions came back with \"Workflow task not found\", though it never blocked \
             the thread: the machine was too busy. Run it again when nothing else runs.",
            run.workflow_task_not_found
        ));
    }
    if !all.finished && all.runs.iter().any(|run| blocked(all, run)) {
        words.push(
            "Next: find the wait in your own codec and make it async. If the client can only block, \
             call it in spawn_blocking and await that. `cargo workshop` takes you through this in \
             four exercises."
                .to_owned(),
        );
    }
    words
}

fn beyond_async(all: &Comparison, run: &Run) -> Option<String> {
    let end_to_end = run.end_to_end_seconds?;
    let ratio = all.ratios.get(&run.codec)?.end_to_end_p95?;
    let keys = &all.scenario.keys;
    let said = if ratio * SLOWER <= 1.0 && keys.decode_stall_probability > 0.0 {
        format!(
            "Payloads are decoded one after another, and {:.0}% of async's calls for a key to decode \
             with stalled: the others waited in the queue, though no thread was blocked. beyond_async \
             caches its keys: end-to-end p95 {}, {:.1} times faster.",
            keys.decode_stall_probability * 100.0,
            seconds(end_to_end.p95),
            1.0 / ratio
        )
    } else {
        format!(
            "beyond_async caches its keys: end-to-end p95 {}, {} that of async.",
            seconds(end_to_end.p95),
            times(ratio)
        )
    };
    Some(said)
}

fn mine(all: &Comparison, run: &Run) -> String {
    let seen = match run.longest_poll_seconds {
        None => "does not say how long it holds a thread: wrap it in Observed".to_owned(),
        Some(poll) => format!("held a thread for at most {}", seconds(poll)),
    };
    let against = match all.ratios.get(&run.codec).and_then(|ratio| ratio.end_to_end_p95) {
        Some(ratio) => format!(" Its end-to-end p95 is {}.", against_async(ratio, run)),
        None => String::new(),
    };
    format!("{} {seen}.{against}", subject(run.codec))
}

/// Its name at the start of a sentence: "Your exercise 1 codec". The reference codecs' names are those of flags.
fn subject(codec: Codec) -> String {
    codec.in_words().replacen("your ", "Your ", 1)
}

fn against_async(ratio: f64, run: &Run) -> String {
    let at_least = at_least(run);
    match ratio {
        ratio if ratio > 1.1 => format!("{at_least}{ratio:.1} times as long as async's"),
        ratio if ratio >= 0.9 => "about that of async".to_owned(),
        ratio if ratio > 0.5 => format!("{:.0}% below async's", (1.0 - ratio) * 100.0),
        ratio => format!(
            "{:.0}% below async's, which took {:.1} times as long",
            (1.0 - ratio) * 100.0,
            1.0 / ratio
        ),
    }
}

/// What stands before a figure of a run that was cut off.
pub fn at_least(run: &Run) -> &'static str {
    if run.cut_off { "at least " } else { "" }
}

/// "1.30 times", but "about".
fn times(ratio: f64) -> String {
    if (0.9..=1.1).contains(&ratio) { "about".to_owned() } else { format!("{ratio:.2} times") }
}

#[cfg(test)]
mod tests {
    use greeting::quantiles::Quantiles;
    use solutions::Step;

    use super::*;
    use crate::experiment::{ScenarioName, Workflows};

    const BLOCKING: Codec = Codec::Reference(Reference::Blocking);
    const SPAWN_BLOCKING: Codec = Codec::Reference(Reference::SpawnBlocking);
    const ASYNC: Codec = Codec::BASELINE;
    const BEYOND_ASYNC: Codec = Codec::Reference(Reference::BeyondAsync);

    fn run(codec: Codec, p95: f64, poll: f64) -> Run {
        let workflows = Workflows { started: 40, completed: 40, ..Workflows::default() };
        Run {
            end_to_end_seconds: Some(Quantiles { p95, ..Quantiles::default() }),
            longest_poll_seconds: Some(poll),
            workflows,
            ..Run::empty(codec)
        }
    }

    fn words(runs: Vec<Run>) -> String {
        verdict(&Comparison::new(runs, ScenarioName::Quick.scenario(), None)).join("\n")
    }

    #[test]
    fn a_blocking_codec_is_named_with_its_evidence() {
        let blocking = Run { workflow_task_not_found: 7, ..run(BLOCKING, 60.0, 0.41) };
        let said = words(vec![blocking, run(SPAWN_BLOCKING, 3.1, 0.01), run(ASYNC, 3.0, 0.01)]);
        for expected in [
            "410 ms in a single poll",
            "20 times",
            "7 completions",
            "is about that of async",
            "Next:",
        ] {
            assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
        }
    }

    #[test]
    fn a_run_that_was_cut_off_is_at_least() {
        let blocking = Run { cut_off: true, ..run(BLOCKING, 60.0, 0.41) };
        let said = words(vec![blocking, run(ASYNC, 3.0, 0.01)]);
        assert!(said.contains("at least 20 times"), "{said}");
    }

    #[test]
    fn a_blocking_codec_of_mine_is_called_yours() {
        let mine = run(Codec::Mine(Step::Blocking), 60.0, 0.41);
        let said = words(vec![mine, run(ASYNC, 3.0, 0.01)]);
        assert!(said.contains("Your exercise 1 codec held the worker's thread"), "{said}");
        assert!(!said.contains("mine_"), "{said}");
    }

    #[test]
    fn async_is_not_blamed_for_tasks_that_came_too_late() {
        let said = words(vec![run(ASYNC, 3.0, 0.01)]);
        assert!(!said.contains("too busy"), "{said}");
        let late = Run { workflow_task_not_found: 2, ..run(ASYNC, 3.0, 0.01) };
        let said = words(vec![late]);
        assert!(said.contains("2 of its completions") && said.contains("too busy"), "{said}");
    }

    #[test]
    fn nothing_is_blamed_where_nothing_blocked() {
        let said = words(vec![run(BLOCKING, 3.0, 0.01), run(ASYNC, 3.0, 0.01)]);
        assert!(!said.contains("held") && !said.contains("Next:"), "{said}");
    }

    #[test]
    fn a_pool_that_is_too_small_is_told_from_one_that_is_not() {
        let said = words(vec![run(SPAWN_BLOCKING, 30.0, 0.01), run(ASYNC, 3.0, 0.01)]);
        assert!(said.contains("10.0 times") && said.contains("removes it"), "{said}");
        let never_full = Run { peak_threads: Some(18), ..run(SPAWN_BLOCKING, 6.0, 0.01) };
        let said = words(vec![never_full, run(ASYNC, 3.0, 0.01)]);
        assert!(said.contains("2.0 times") && said.contains("run it again"), "{said}");
    }

    #[test]
    fn keys_at_hand_are_told_from_keys_that_are_waited_for() {
        let runs = || vec![run(ASYNC, 20.0, 0.01), run(BEYOND_ASYNC, 2.0, 0.01)];
        let decode = ScenarioName::Decode.scenario();
        let said = verdict(&Comparison::new(runs(), decode, None)).join("\n");
        assert!(
            said.contains("decoded one after another") && said.contains("10.0 times faster"),
            "{said}"
        );
        assert!(!words(runs()).contains("in line"));
    }

    #[test]
    fn an_unobserved_codec_of_mine_is_told_so() {
        let mine =
            Run { longest_poll_seconds: None, ..run(Codec::Mine(Step::Blocking), 60.0, 0.0) };
        let said = words(vec![mine, run(ASYNC, 3.0, 0.01)]);
        assert!(said.contains("wrap it in Observed") && said.contains("20.0 times"), "{said}");
    }

    #[test]
    fn a_codec_of_mine_that_caches_keys_is_set_beside_async_and_the_advice_fits_the_reader() {
        let said = |p95: f64, finished: bool| {
            let runs = vec![
                run(BLOCKING, 60.0, 0.41),
                run(ASYNC, 3.0, 0.01),
                run(Codec::Mine(Step::BeyondAsync), p95, 0.003),
            ];
            let all = Comparison::new(runs, ScenarioName::Decode.scenario(), None);
            verdict(&Comparison { finished, ..all }).join("\n")
        };
        let held = "Your exercise 4 codec held a thread for at most 3 ms. Its end-to-end p95 is ";
        for (p95, against) in [
            (2.43, "19% below async's."),
            (0.3, "90% below async's, which took 10.0 times as long."),
            (3.0, "about that of async."),
            (6.0, "2.0 times as long as async's."),
        ] {
            let said = said(p95, true);
            assert!(said.contains(&format!("{held}{against}")), "{said}");
        }
        let (before, after) = (said(3.0, false), said(3.0, true));
        assert!(before.contains("four exercises") && !before.contains("every exercise"));
        assert!(
            !after.contains("four exercises") && after.contains("your-own-worker.md"),
            "{after}"
        );
    }
}
