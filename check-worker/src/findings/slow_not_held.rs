//! Workflow tasks take long, each by itself: others continue meanwhile.

use crate::{
    close_up::Pattern,
    facts::{Facts, LONG_POLL},
    family::Family,
    finding::{Finding, Sureness, Verdict, evidence, percent, time},
    metric::Metric,
};

/// Looks at how long workflow tasks take, and whether they delay each other.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    if !facts.server_is_prompt() {
        return None;
    }
    if let Some(why) = codec_awaits(facts) {
        return Some(finding(facts, why, Sureness::High));
    }
    if !facts.tasks_are_slow() {
        return None;
    }
    if !facts.model.family().has_loop() {
        return Some(finding(facts, of_goroutines(facts), Sureness::Medium));
    }
    if let Some(why) = only_workflows(facts) {
        return Some(finding(facts, why, Sureness::Medium));
    }
    if facts.evictions_are_late() {
        return None;
    }
    if let Some(why) = independent(facts) {
        return Some(finding(facts, why, Sureness::High));
    }
    let why =
        queue(facts).or_else(|| all_alike(facts)).or_else(|| all_wait_and_thread_is_free(facts))?;
    Some(finding(facts, why, Sureness::Medium))
}

/// Rust, with a codec inside `codec_kit::Observed`: its calls take long, but no poll does.
fn codec_awaits(facts: &Facts<'_>) -> Option<String> {
    let (polls, calls) =
        (facts.model.duration(Metric::CodecPoll), facts.model.duration(Metric::CodecCall));
    let short = polls.mean() < 0.01 && polls.share_beyond(LONG_POLL)? < 0.001;
    // Much of what the tasks take, so it is a cause.
    let long = calls.sum >= 0.25 * facts.tasks.sum;
    (facts.tasks_are_doubtful() && calls.count >= 20.0 && short && long).then(|| {
        format!(
            "The {:.0} calls of the codec took {} on average, and none blocked its thread for longer than {}, as \
             codec_kit::Observed measured it.",
            calls.count,
            time(calls.mean()),
            time(LONG_POLL),
        )
    })
}

fn of_goroutines(facts: &Facts<'_>) -> String {
    let what = if facts.model.family() == Family::Java { "thread" } else { "goroutine" };
    format!(
        "In this SDK each task has a {what} of its own, so a slow one does not stop the others."
    )
}

/// Activities are as quick as ever: a blocked loop and a slow codec would delay them as well.
fn only_workflows(facts: &Facts<'_>) -> Option<String> {
    let quick = facts.activities.share_within(0.05)?;
    (facts.activities.count >= 20.0 && quick >= 0.85).then(|| {
        format!(
            "{} of the activities took less than 50 ms: only workflow tasks are slow, so it is the \
             workflows' own code, or the payloads that only they have.",
            percent(quick)
        )
    })
}

/// Tasks complete at any time, also while others wait.
fn independent(facts: &Facts<'_>) -> Option<String> {
    let close = facts.close_up.as_ref()?;
    let pattern = close.pattern();
    let quick = facts.tasks.share_within(0.05).unwrap_or(0.0);
    if quick > 0.2 {
        // Many tasks are quick, but a blocked loop would delay those, too.
        let overtaken = close.late_comers >= 3
            && close.overtakers * 5 >= close.late_comers * 3
            && matches!(pattern, Pattern::Independent | Pattern::Unclear);
        return overtaken.then(|| {
            format!(
                "In a close-up, {} of {} tasks that came while others waited were done within 75 ms.",
                close.overtakers, close.late_comers
            )
        });
    }
    (pattern == Pattern::Independent && close.completed >= 20.0).then(|| {
        format!(
            "In a close-up of {}, {:.0} tasks completed, evenly over the time and not in bursts.",
            time(close.seconds),
            close.completed
        )
    })
}

/// All tasks take equally long. A blocked loop delays some and not others.
fn all_alike(facts: &Facts<'_>) -> Option<String> {
    let (low, high) = facts.tasks.narrow(0.97)?;
    (low >= 0.1).then(|| {
        format!(
            "{} of the workflow tasks took between {} and {}: a blocked loop makes some of them wait long \
             and others not at all.",
            percent(0.97),
            time(low),
            time(high)
        )
    })
}

/// If a blocked thread delayed all tasks, and several at a time, it would be blocked nearly all the time, and leave
/// ended workflows in the cache. Where there was a close-up, that says more.
fn all_wait_and_thread_is_free(facts: &Facts<'_>) -> Option<String> {
    let quick = facts.tasks.share_within(0.02)?;
    let at_a_time = facts.tasks.sum / facts.model.seconds.max(0.001);
    // In Rust, a blocked thread delays requests, and with them what the worker counts.
    let prompt = facts.prompt_evictions && facts.requests.mean() < 0.05;
    let fits = facts.close_up.is_none() && at_a_time >= 3.0 && quick <= 0.05 && prompt;
    fits.then(|| {
        format!(
            "{} of the workflow tasks took longer than 20 ms, but workflows that had ended were dropped from the \
             cache at once. That needs no codec, only the thread that runs the worker's code: it is free.",
            percent(1.0 - quick)
        )
    })
}

/// All tasks stand still together, but what needs no codec is done at once.
fn queue(facts: &Facts<'_>) -> Option<String> {
    let together = matches!(facts.pattern(), Some(Pattern::StandStill | Pattern::OneAtATime));
    (together && facts.thread_is_free()).then(|| {
        "All tasks stand still together, but the thread that runs them is free: it drops workflows that \
         ended from the cache at once. So they wait for one and the same thing, such as a lock, a pool of \
         one thread or a limit in the codec."
            .to_owned()
    })
}

fn finding(facts: &Facts<'_>, why: String, sureness: Sureness) -> Finding {
    let tasks = &facts.tasks;
    let types = facts.model.workflow_types();
    let slowest = types.iter().max_by(|a, b| a.1.mean().total_cmp(&b.1.mean()));
    let slowest = slowest.map_or(String::new(), |(name, dist)| {
        format!(" The slowest type, {name}, took {}.", time(dist.mean()))
    });
    let has_loop = facts.model.family().has_loop();
    let mut numbers = vec![
        evidence("workflow_task_execution_mean", tasks.mean(), "seconds"),
        evidence("workflow_tasks", tasks.count, "count"),
        evidence("request_latency_mean", facts.requests.mean(), "seconds"),
    ];
    if let Some(close) = &facts.close_up {
        numbers.push(evidence("time_without_completion", close.paused.min(1.0), "share"));
        numbers.push(evidence("overtakers", close.overtakers as f64, "count"));
    }
    Finding {
        verdict: Verdict::SlowNotHeld,
        headline: format!("workflow tasks are slow, {} each, but do not block each other", time(tasks.mean())),
        seen: format!(
            "{:.0} workflow tasks took {} inside the worker on average, while the server answered in {}.\
             {slowest} {why}",
            tasks.count,
            time(tasks.mean()),
            time(facts.requests.mean()),
        ),
        evidence: numbers,
        meaning: "Each task waits for something of its own: a remote codec, payloads that are decoded one \
                  after another, or workflow code that computes. It costs latency, and a slot for as long."
            .into(),
        next: if has_loop {
            "Measure the codec's calls. Cache what it fetches, such as keys, and decode payloads \
             concurrently. If CPU use is high, look at the workflow code instead."
                .into()
        } else {
            "Look for [TMPRL1101] in the worker's log: in Go and Java the deadlock detector counts the data \
             converter and the codec (limit 1 s). Cache what the codec fetches, such as keys."
                .into()
        },
        sureness,
        certainty: if has_loop {
            "codec_call_seconds of codec_kit::Observed (Rust), py-spy dump or python -m asyncio ps PID \
             (Python), --cpu-prof (Node)."
                .into()
        } else {
            "A profile that shows waits: pprof's block profile in Go, a thread dump with jstack \
             in Java.".into()
        },
        blind_spot: "Whether the codec or the workflow's own code takes the time.".into(),
    }
}
