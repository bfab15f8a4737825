//! The workload: `GreetingWorkflow`, which runs the activity `compose_greeting` ten times, one after another.
//!
//! Names, JSON and defaults are those of the Python original, so that a client written in another language
//! can drive this worker. The fields that shape a load (`activities`, `activity_seconds`) are part of the
//! input, because a workflow's code must not depend on the flags of the worker that happens to replay it.
//! They are left out if they have the original's value.

#![expect(missing_docs, reason = "the macros define constants, and give nowhere to document them")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use temporalio_common::error::ApplicationFailure;
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::{
    ActivityOptions, WorkflowContext, WorkflowResult,
    activities::{ActivityContext, ActivityError},
};

/// The task queue of the original.
pub const TASK_QUEUE: &str = "hello-activity-task-queue";
/// How many activities a workflow runs, one after another, unless its input says otherwise.
pub const ACTIVITIES: u32 = 10;
/// How long an activity works, in seconds, unless its input says otherwise.
pub const ACTIVITY_SECONDS: f64 = 0.5;

/// The message of an activity that fails because its input says so.
pub const FAILS_ON_PURPOSE: &str = "the activity failed on purpose";

/// The timeout for an activity of up to half this length. A longer activity gets more time, or it could never
/// finish.
const START_TO_CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// A longer activity is refused: its timeout would be longer than the server accepts.
const LONGEST_ACTIVITY: Duration = Duration::from_secs(24 * 60 * 60);
/// How soon an activity that failed on purpose is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// An activity works in this many equal parts, as the original's does.
const NAPS: u32 = 5;

/// How an activity fails on purpose. Its failure has details, so that there are failures with payloads to
/// encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failing {
    /// On its first attempt only.
    Once,
    /// Without a retry, so the workflow fails as well.
    ForGood,
}

/// The workflow's input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GreetingInput {
    /// Which workflow of the load this is.
    pub id: String,
    /// Whom to greet.
    pub name: String,
    /// How many activities; absent: [`ACTIVITIES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activities: Option<u32>,
    /// How long each works, in seconds; absent: [`ACTIVITY_SECONDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity_seconds: Option<f64>,
    /// How its activities fail; absent: they don't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

/// The activity's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComposeGreetingInput {
    /// The greeting.
    pub greeting: String,
    /// Whom to greet.
    pub name: String,
    /// How long to work, in seconds; absent: [`ACTIVITY_SECONDS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How it fails; absent: it doesn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

impl GreetingInput {
    /// The input of each of its activities.
    pub fn activity(&self) -> ComposeGreetingInput {
        ComposeGreetingInput {
            greeting: "Hello".to_owned(),
            name: self.name.clone(),
            seconds: self.activity_seconds,
            failing: self.failing,
        }
    }

    /// The workflow's result.
    pub fn result(&self) -> String {
        format!("Greeted {} {} times", self.name, self.activities())
    }

    /// How long an attempt of its activities may take; `None` if the requested length is not possible. The
    /// input may come from a starter in another language, so it is checked.
    fn start_to_close(&self) -> Option<Duration> {
        let work = Duration::try_from_secs_f64(self.activity().seconds()).ok()?;
        (work <= LONGEST_ACTIVITY).then(|| START_TO_CLOSE_TIMEOUT.max(2 * work))
    }

    /// Why the workflow fails in that case. A retry would not help.
    fn no_such_work(&self) -> ApplicationFailure {
        let message = format!(
            "an activity can't work for {} seconds: give activity_seconds from 0 to {}",
            self.activity().seconds(),
            LONGEST_ACTIVITY.as_secs()
        );
        ApplicationFailure::builder(message).non_retryable(true).build()
    }

    fn activities(&self) -> u32 {
        self.activities.unwrap_or(ACTIVITIES)
    }
}

impl ComposeGreetingInput {
    /// The activity's result.
    pub fn result(&self) -> String {
        format!("{}, {}, after {} seconds of work!", self.greeting, self.name, self.seconds())
    }

    /// The details of the failure, where it fails.
    pub fn details(&self) -> String {
        format!("{}, {}, not today", self.greeting, self.name)
    }

    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(ACTIVITY_SECONDS)
    }

    /// The failure of this attempt, if it is one that fails.
    fn failure(&self, attempt: u32) -> Option<ApplicationFailure> {
        let failing =
            self.failing.filter(|failing| *failing == Failing::ForGood || attempt == 1)?;
        let failure = ApplicationFailure::builder(FAILS_ON_PURPOSE)
            .details(self.details())
            .non_retryable(failing == Failing::ForGood)
            .next_retry_delay(RETRY_DELAY);
        Some(failure.build())
    }
}

/// Greets, slowly, several times in a row.
#[workflow]
#[derive(Default)]
pub struct GreetingWorkflow;

#[workflow_methods]
impl GreetingWorkflow {
    /// Runs the activities one after another, and says how many there were.
    #[run(name = "GreetingWorkflow")]
    pub async fn run(
        ctx: &mut WorkflowContext<Self>,
        input: GreetingInput,
    ) -> WorkflowResult<String> {
        let timeout = input.start_to_close().ok_or_else(|| input.no_such_work())?;
        for _ in 0..input.activities() {
            ctx.execute_activity(
                GreetingActivities::compose_greeting,
                input.activity(),
                ActivityOptions::start_to_close_timeout(timeout),
            )
            .await?;
        }
        Ok(input.result())
    }
}

/// The activity.
pub struct GreetingActivities;

#[activities]
impl GreetingActivities {
    /// Works for a while, then greets. It waits without a thread, so that nothing in this workshop is slow
    /// but the codec.
    #[activity(name = "compose_greeting")]
    pub async fn compose_greeting(
        ctx: ActivityContext,
        input: ComposeGreetingInput,
    ) -> Result<String, ActivityError> {
        if let Some(failure) = input.failure(ctx.info().attempt) {
            return Err(failure.into());
        }
        let seconds = input.seconds();
        let nap = Duration::try_from_secs_f64(seconds)
            .map_err(|error| anyhow::anyhow!("can't work for {seconds} seconds: {error}"))?
            / NAPS;
        for _ in 0..NAPS {
            tokio::time::sleep(nap).await;
        }
        Ok(input.result())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_default_load_is_the_originals() {
        let input = GreetingInput { id: "7".into(), name: "World".into(), ..Default::default() };
        assert_eq!(serde_json::to_string(&input).unwrap(), r#"{"id":"7","name":"World"}"#);
        assert_eq!(
            serde_json::to_string(&input.activity()).unwrap(),
            r#"{"greeting":"Hello","name":"World"}"#
        );
    }

    #[test]
    fn the_timeout_of_an_activity_follows_its_work() {
        let timeout = |seconds| {
            let activity_seconds = Some(seconds);
            GreetingInput { activity_seconds, ..Default::default() }.start_to_close()
        };
        for (seconds, expected) in
            [(0.0, 20), (ACTIVITY_SECONDS, 20), (20.0, 40), (86_400.0, 172_800)]
        {
            assert_eq!(timeout(seconds), Some(Duration::from_secs(expected)));
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e6] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_activity_fails_as_often_as_its_input_says() {
        let attempts = |failing| {
            let input = GreetingInput { failing, ..Default::default() }.activity();
            [1, 2].map(|attempt| Some(input.failure(attempt)?.is_non_retryable()))
        };
        assert_eq!(attempts(None), [None, None]);
        assert_eq!(attempts(Some(Failing::Once)), [Some(false), None]);
        assert_eq!(attempts(Some(Failing::ForGood)), [Some(true), Some(true)]);
    }
}
