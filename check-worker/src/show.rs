//! Answers as text and as JSON.

use std::collections::BTreeMap;

use cli_kit::exit::Exit;
use serde::Serialize;

use crate::{
    finding::{Evidence, Finding, Sureness, Verdict, evidence, time},
    model::Model,
    server::Seen,
};

/// The width of an answer, which every terminal has.
const WIDTH: usize = 80;
/// How many workers of a fleet are listed.
const LISTED: usize = 15;

/// A worker, and what was found.
#[derive(Debug)]
pub struct Answer {
    /// Its address, or where its pages came from.
    pub source: String,
    /// What was seen.
    pub model: Model,
    /// What was found, the verdict first; never empty.
    pub found: Vec<Finding>,
}

impl Answer {
    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.found[0].verdict
    }
}

/// What the server said, as numbers of a finding.
pub fn of_server(model: &Model) -> Vec<Evidence> {
    let round_trip = model.round_trip.map(|time| evidence("server_round_trip", time, "seconds"));
    let queues = model.queues.iter().flat_map(|queue| {
        let name = |what: &str| format!("{}_{what} of {}", queue.kind, queue.name);
        [
            evidence(&name("backlog"), queue.backlog, "count"),
            evidence(&name("backlog_oldest"), queue.oldest, "seconds"),
            evidence(&name("pollers"), queue.pollers as f64, "count"),
        ]
    });
    round_trip.into_iter().chain(queues).collect()
}

/// What the server said, for people.
pub fn server(seen: &Seen) -> String {
    let mut lines =
        vec![paragraph("Server", &format!("a call from here took {}", time(seen.round_trip)))];
    lines.extend(seen.queues.iter().map(|queue| {
        let oldest = if queue.backlog > 0.0 {
            format!(", the oldest for {}", time(queue.oldest))
        } else {
            String::new()
        };
        let text = format!(
            "{} tasks of {}: {:.0} wait on the server{oldest}; in a second {:.1} come and {:.1} go to \
             workers; workers that poll: {}",
            queue.kind, queue.name, queue.backlog, queue.rates.0, queue.rates.1, queue.pollers
        );
        paragraph("Queue", &text)
    }));
    lines.join("\n")
}

/// How the program ends, for these answers.
pub fn exit(answers: &[Answer]) -> Exit {
    if answers.iter().any(|answer| answer.verdict().is_accusation()) {
        Exit::NotSolved
    } else if answers.iter().all(|answer| answer.verdict().is_fine()) {
        Exit::Done
    } else {
        Exit::Environment
    }
}

#[derive(Serialize)]
struct Json<'a> {
    verdict: Verdict,
    family: Option<&'static str>,
    evidence: &'a [Evidence],
    sureness: Sureness,
    next: &'a str,
    others: &'a [Finding],
}

#[derive(Serialize)]
struct Worker<'a> {
    source: &'a str,
    #[serde(flatten)]
    answer: Json<'a>,
}

#[derive(Serialize)]
struct Fleet<'a> {
    #[serde(flatten)]
    all: Json<'a>,
    workers: Vec<Worker<'a>>,
}

fn one(answer: &Answer) -> Json<'_> {
    let finding = &answer.found[0];
    Json {
        verdict: finding.verdict,
        family: answer.model.dialect.as_ref().map(|dialect| dialect.family.name()),
        evidence: &finding.evidence,
        sureness: finding.sureness,
        next: &finding.next,
        others: &answer.found[1..],
    }
}

/// The answers as JSON: that of a single worker, or that of the worst of a fleet with all of them.
///
/// # Errors
/// When serialization fails, which is not expected.
pub fn json(answers: &[Answer]) -> anyhow::Result<String> {
    Ok(match answers {
        [answer] => serde_json::to_string_pretty(&one(answer))?,
        answers => {
            let workers = answers.iter().map(|a| Worker { source: &a.source, answer: one(a) });
            let all = one(worst(answers));
            serde_json::to_string_pretty(&Fleet { all, workers: workers.collect() })?
        }
    })
}

/// The answer that matters most: the most common one that names a cause, or else the most common one that
/// cannot tell.
fn worst(answers: &[Answer]) -> &Answer {
    let rank = |answer: &Answer| {
        let verdict = answer.verdict();
        let kind = if verdict.is_accusation() {
            2
        } else if verdict.is_fine() {
            0
        } else {
            1
        };
        let alike = answers.iter().filter(|other| other.verdict() == verdict).count();
        (kind, alike, answer.found[0].sureness)
    };
    answers.iter().max_by_key(|answer| rank(answer)).unwrap_or(&answers[0])
}

/// The answer for one worker, at most a screenful.
pub fn text(answer: &Answer) -> String {
    let finding = &answer.found[0];
    let mut lines = vec![];
    let name = finding.verdict.name();
    lines.push(format!("{}: {}", name.to_uppercase().replace('_', " "), finding.headline));
    lines.push(String::new());
    let mut part = |title: &str, text: &str| {
        if !text.is_empty() {
            lines.push(paragraph(title, text));
        }
    };
    part("Seen", &finding.seen);
    part("Means", &finding.meaning);
    part("Next", &finding.next);
    part("Sure", &finding.sure());
    part("Unseen", &finding.blind_spot);
    let others: Vec<String> = answer.found[1..]
        .iter()
        .map(|other| format!("{} ({})", other.headline, other.verdict.name()))
        .collect();
    part("Also", &others.join(". "));
    part("Pages", &pages(answer));
    lines.join("\n")
}

fn pages(answer: &Answer) -> String {
    let model = &answer.model;
    let mut text = format!("{} of {}, over {:.0} s", model.pages, answer.source, model.seconds);
    if let Some(dialect) = &model.dialect {
        text += &format!("; {dialect}");
    }
    let queues = model.task_queues();
    if !queues.is_empty() {
        let shown: Vec<&str> = queues.iter().take(3).map(String::as_str).collect();
        text += &format!("; task queue {}", shown.join(", "));
    }
    if model.restarts > 0 && !model.alternates {
        text += "; the worker restarted, and only the time since then counts";
    }
    if !model.troubles.is_empty() && model.pages > 0 {
        text += &format!("; {} pages failed ({})", model.troubles.len(), model.troubles[0]);
    }
    if model.cut {
        text += "; some series were left out because there are too many";
    }
    text
}

fn paragraph(title: &str, text: &str) -> String {
    let indent = " ".repeat(8);
    let first = format!("{:<8}", format!("{title}:"));
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(&first)
        .subsequent_indent(&indent)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::fill(text, options)
}

/// The answers for a fleet: how many of each, the workers that are not fine, and the worst in full.
pub fn fleet(answers: &[Answer]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for answer in answers {
        *counts.entry(answer.verdict().name()).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let mut lines =
        vec![format!("{} workers: {}", answers.len(), counts.join(", ")), String::new()];
    let troubled: Vec<&Answer> = answers.iter().filter(|a| !a.verdict().is_fine()).collect();
    for answer in troubled.iter().take(LISTED) {
        lines.push(format!("  {:<28} {}", answer.verdict().name(), answer.source));
    }
    if troubled.len() > LISTED {
        lines.push(format!("  and {} more; --json lists all of them", troubled.len() - LISTED));
    }
    if !troubled.is_empty() {
        lines.push(String::new());
    }
    lines.push(text(worst(answers)));
    lines.join("\n")
}
