//! The reference codec of each step passes `workshop verify`, and the one before it, with which the exercise
//! starts, fails the check that the exercise is about.
//!
//! Each is judged by the examiner in a process of its own, as an attendee's codec is.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

use std::{
    env,
    io::{self, BufRead, BufReader},
    process::{Command, Stdio},
    thread,
};

use cli_kit::exit::Exit;
use judge::{
    Check, Promise,
    examiner::{self, Line},
    promises::{IS_OBSERVED, KEEPS_KEYS, NEEDS_NO_THREAD, RELEASES_THREAD},
    verdict,
};
use solutions::Step;

/// The variable that asks a process to judge one: the solution, and the step.
const ONE: &str = "REFERENCE_CASE";

/// Not a test of its own: what [`broken`] starts.
#[test]
fn judges_one_when_told() {
    let Ok(case) = env::var(ONE) else { return };
    let words: Vec<_> = case.split(' ').collect();
    let step = |word: &str| Step::solution(word.parse().unwrap()).unwrap();
    let (solution, step) = (step(words[0]), step(words[1]));
    let exit = examiner::run(step, &|keys| solution.codec(keys), 1, None).unwrap();
    std::process::exit(exit as i32);
}

/// What was seen of the promises of that step that the reference codec of `solution` breaks.
fn broken(solution: Step, step: Step) -> Vec<Check> {
    loop {
        let (reader, writer) = io::pipe().unwrap();
        let mut judged = Command::new(env::current_exe().unwrap())
            .args(["--exact", "judges_one_when_told", "--nocapture"])
            .env(ONE, format!("{} {}", solution.number(), step.number()))
            .stdin(writer)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines: Vec<Line> = BufReader::new(reader)
            .lines()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
            .collect();
        let judged = judged.wait().unwrap();
        // A machine that is too busy to judge is so for a while.
        if judged.code() == Some(Exit::Environment as i32) {
            continue;
        }
        assert_eq!(lines.last(), Some(&Line::Done), "{lines:#?}");
        let checks = lines.into_iter().filter_map(|line| match line {
            Line::Judged(_, checks) => Some(checks),
            _ => None,
        });
        let checks = verdict::merged(checks.flatten()).into_iter();
        return checks.filter(|check| !check.is_kept()).collect();
    }
}

/// Judges that codec for each exercise. `is_due` has the promises that it breaks.
fn for_each_exercise(codec: fn(Step) -> Step, is_due: fn(Step, &[&Promise]) -> bool) {
    let judge = |step| {
        let seen = broken(codec(step), step);
        let broken: Vec<_> = seen.iter().map(|check| check.promise).collect();
        (is_due(step, &broken), seen)
    };
    // At the same time, because most of it is waiting. That is a heavier load than `verify` runs under, so a
    // disagreement is judged again, alone.
    let again: Vec<Step> = thread::scope(|scope| {
        let judged = Step::EXERCISES.map(|step| (step, scope.spawn(move || judge(step))));
        let wrong = judged.into_iter().filter_map(|(step, judged)| {
            let (is_due, _) = judged.join().unwrap();
            (!is_due).then_some(step)
        });
        wrong.collect()
    });
    for step in again {
        let (is_due, seen) = judge(step);
        assert!(is_due, "{step:?}: {seen:#?}");
    }
}

#[test]
fn the_reference_codecs_keep_their_promises() {
    for_each_exercise(|step| step, |_, broken| broken.is_empty());
}

#[test]
fn every_exercise_starts_with_the_symptom_that_it_is_about() {
    for_each_exercise(Step::start, |step, broken| match step {
        Step::Start => unreachable!("no exercise"),
        // The start is encrypted and correct: nothing else is wrong with it.
        Step::Blocking => broken == [IS_OBSERVED],
        Step::SpawnBlocking => broken.first() == Some(&RELEASES_THREAD),
        Step::Async => broken.first() == Some(&NEEDS_NO_THREAD),
        Step::BeyondAsync => broken.first() == Some(&KEEPS_KEYS),
    });
}
