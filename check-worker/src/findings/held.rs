//! The thread that runs the worker's code is blocked.

use crate::{
    close_up::{CloseUp, Pattern},
    dist::Dist,
    facts::{Facts, LONG_POLL},
    finding::{Finding, Sureness, Verdict, evidence, percent, time},
    metric::Metric,
    settings::Sdk,
};

/// Looks at how tasks complete, and at work that needs no codec.
pub fn look(facts: &Facts<'_>) -> Option<Finding> {
    if !facts.model.family().has_loop() {
        return None;
    }
    codec(facts).or_else(|| runtime(facts)).or_else(|| event_loop(facts))
}

/// Rust, with a codec inside `codec_kit::Observed`, which times each poll.
fn codec(facts: &Facts<'_>) -> Option<Finding> {
    let polls = facts.model.by(Metric::CodecPoll, |labels| &labels.operation);
    let blocking = |dist: &Dist| dist.count * dist.share_beyond(LONG_POLL).unwrap_or(0.0);
    let (operation, dist) = polls.iter().max_by(|a, b| a.1.sum.total_cmp(&b.1.sum))?;
    let share = dist.sum / facts.model.seconds.max(0.001);
    (blocking(dist) >= 3.0 && share >= 0.05).then(|| Finding {
        verdict: Verdict::Held,
        headline: format!("the codec's {operation} blocks the thread that runs your worker"),
        seen: format!(
            "Of {:.0} calls to {operation}, {:.0} blocked their thread for longer than {}: all calls together \
             for {} of {}, as codec_kit::Observed measured it. Workflow tasks took {} inside the worker on \
             average.",
            dist.count,
            blocking(dist),
            time(LONG_POLL),
            time(dist.sum),
            time(facts.model.seconds),
            time(facts.tasks.mean()),
        ),
        evidence: vec![
            evidence("codec_poll_sum", dist.sum, "seconds"),
            evidence("codec_calls", dist.count, "count"),
            evidence("codec_polls_beyond_100_ms", blocking(dist), "count"),
            evidence("workflow_task_execution_mean", facts.tasks.mean(), "seconds"),
        ],
        meaning: "While the codec waits or computes in a poll, everything else on its thread stands still: other \
                  tasks, requests to the server, timers. The Rust SDK has no deadlock detector."
            .into(),
        next: format!(
            "Look in {operation} for a call that blocks: a client that is not async, std::thread::sleep, a \
             std::sync lock. Await it, or move it into spawn_blocking."
        ),
        sureness: Sureness::High,
        certainty: String::new(),
        blind_spot: "Which call inside the codec. On a machine without free CPU time, polls take longer than the \
                     codec blocks."
            .into(),
    })
}

/// Python, TypeScript, .NET, Ruby: core's own threads continue, those of the language do not.
fn event_loop(facts: &Facts<'_>) -> Option<Finding> {
    if !facts.tasks_are_suspect() || !facts.server_is_prompt() {
        return None;
    }
    let pattern = facts.pattern();
    let stands_still = matches!(pattern, Some(Pattern::StandStill | Pattern::OneAtATime));
    let late = facts.evictions_are_late();
    let sureness = match (pattern, stands_still, late) {
        (_, true, true) => Sureness::High,
        (None, _, true) if facts.tasks_are_slow() => Sureness::Medium,
        // With few tasks, the close-up says little, but the evictions say enough.
        (Some(Pattern::Unclear), _, true) if facts.tasks_are_slow() => Sureness::Medium,
        _ => return None,
    };
    let tasks = &facts.tasks;
    let mut seen = format!(
        "{:.0} workflow tasks took {} inside the worker on average, while the server answered in {}.",
        tasks.count,
        time(tasks.mean()),
        time(facts.requests.mean()),
    );
    let mut numbers = vec![
        evidence("workflow_task_execution_mean", tasks.mean(), "seconds"),
        evidence("request_latency_mean", facts.requests.mean(), "seconds"),
        evidence("workflow_tasks", tasks.count, "count"),
    ];
    if let Some(close) = facts.close_up.as_ref().filter(|_| stands_still) {
        if pattern == Some(Pattern::StandStill) {
            let longest = close.pauses.iter().copied().fold(0.0, f64::max);
            seen += &format!(
                " In a close-up of {}, no task of any kind completed for {} of the time, {} times \
                 for up to {}; then several completed at once.",
                time(close.seconds),
                percent(close.paused.min(1.0)),
                close.pauses.len(),
                time(longest),
            );
            numbers.push(evidence("time_without_completion", close.paused.min(1.0), "share"));
            numbers.push(evidence("longest_pause", longest, "seconds"));
        } else {
            seen += &format!(
                " In a close-up of {}, the worker did one thing at a time: something every {} or \
                 later.",
                time(close.seconds),
                time(close.beat),
            );
            numbers.push(evidence("time_between_steps", close.beat, "seconds"));
        }
    }
    seen += " Workflows that had ended stayed in the cache, although dropping them needs no codec.";
    let late = facts.close_up.as_ref().map_or(0, |close| close.late_evictions);
    numbers.push(evidence("late_evictions", late as f64, "count"));
    let not_found = facts.model.not_found();
    if not_found > 0.0 {
        seen += &format!(" {not_found:.0} workflow tasks were answered too late (NOT_FOUND).");
        numbers.push(evidence("workflow_task_not_found", not_found, "count"));
    }
    Some(Finding {
        verdict: Verdict::Held,
        headline: "something blocks the thread that runs your worker's code".into(),
        seen,
        evidence: numbers,
        meaning: "While that thread waits or computes, every task in the worker stands still. Usual causes: \
                  a payload codec or an async activity that makes a blocking call. Temporal's deadlock \
                  detector stays silent: it does not count a codec's time outside Go and Java."
            .into(),
        next: tools(facts.model.sdk).into(),
        sureness,
        certainty: "A dump of the worker's stack while it stands still. The worker's log warns of workflow \
                    tasks beyond 5 s with [TMPRL1104]."
            .into(),
        blind_spot: "Which call blocks, and whether it waits or computes: high CPU use means that it \
                     computes."
            .into(),
    })
}

fn tools(sdk: Option<Sdk>) -> &'static str {
    match sdk {
        Some(Sdk::Python) => {
            "Find the call: py-spy dump --pid PID, a few times. Then await it, or move it off the loop with \
             asyncio.to_thread."
        }
        Some(Sdk::Typescript) => {
            "Find the call: start Node with --prof, or --cpu-prof. Then use its asynchronous form, or a \
             worker thread."
        }
        Some(Sdk::Rust) => {
            "Wrap the codec in codec_kit::Observed and look at codec_longest_poll_seconds. Then await the \
             call, or move it into spawn_blocking."
        }
        _ => {
            "Find the call: py-spy dump --pid PID (Python), --cpu-prof (Node), dotnet-stack (.NET), rbspy \
             (Ruby). Then await it, or move it to another thread."
        }
    }
}

/// Rust: the worker, its client and often its metrics share one runtime, so requests look slow as well.
fn runtime(facts: &Facts<'_>) -> Option<Finding> {
    let requests = &facts.requests;
    let (usual, longest) = facts.model.page_times();
    let quick = requests.share_within(0.1).or_else(|| requests.share_within(0.05))?;
    let beyond = requests.share_beyond(0.2).or_else(|| requests.share_beyond(0.5))?;
    let round_trip_is_short = facts.model.round_trip.is_some_and(|seconds| seconds < 0.05);
    // On a machine without free CPU time, pages take long, too, but their usual time is no better.
    let late = facts.model.took_ms.iter().filter(|took| **took >= 150.max(10 * usual)).count();
    let pages_are_late = late >= 3 && !facts.model.is_relayed();
    let silent = facts.close_up.as_ref().filter(|close| is_silent(close));
    let fits = requests.count >= 20.0
        && beyond >= 0.1
        && quick >= 0.1
        && facts.tasks_are_suspect()
        && (silent.is_some()
            || (facts.waits.mean() >= 0.2 && (pages_are_late || round_trip_is_short)));
    let pages = match silent {
        Some(close) => format!(
            "In a close-up of {}, no task completed and no request was answered for {} of the time, {} times for up \
             to {}, while the metrics page came within {} ms.",
            time(close.seconds),
            percent(close.silent),
            close.silences.len(),
            time(close.silences.iter().copied().fold(0.0, f64::max)),
            close.slow_page_ms,
        ),
        None => format!("The metrics page itself took up to {longest} ms, usually {usual} ms."),
    };
    let mut numbers = vec![
        evidence("request_latency_mean", requests.mean(), "seconds"),
        evidence("requests_beyond_200_ms", beyond, "share"),
        evidence("longest_scrape", longest as f64 / 1000.0, "seconds"),
        evidence("workflow_task_schedule_to_start_mean", facts.waits.mean(), "seconds"),
    ];
    numbers.extend(
        silent.map(|close| evidence("time_without_completion_or_answer", close.silent, "share")),
    );
    fits.then(|| Finding {
        verdict: Verdict::Held,
        headline: "the worker reads the server's answers late: its runtime is blocked".into(),
        seen: format!(
            "{} of {:.0} requests took less than 100 ms, but {} took longer than 200 ms. {pages} Workflow tasks \
             took {} inside the worker, and waited {} on the server.",
            percent(quick),
            requests.count,
            percent(beyond),
            time(facts.tasks.mean()),
            time(facts.waits.mean()),
        ),
        evidence: numbers,
        meaning: "In Rust, the worker and its connection to the server share threads. A call that blocks one of \
                  them delays both: usually one in a payload codec or an activity. The Rust SDK has no deadlock \
                  detector."
            .into(),
        next: tools(Some(Sdk::Rust)).into(),
        sureness: Sureness::Medium,
        certainty: "codec_longest_poll_seconds, or a stack dump with gdb -p PID.".into(),
        blind_spot: "Which call blocks. A server that pauses, with a codec that is slow for another reason, looks \
                     the same."
            .into(),
    })
}

/// Neither tasks nor requests go on, again and again, while the metrics page comes at once: there is free CPU time, and
/// the page is served by another thread.
fn is_silent(close: &CloseUp) -> bool {
    close.silent >= 0.8
        && close.silences.len() >= 4
        // With few requests, it is silent between them.
        && close.answers >= 40.0
        && close.slow_page_ms <= 60
}
