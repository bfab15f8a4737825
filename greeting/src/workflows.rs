//! The workload: `GreetingWorkflow`, which runs the activity `compose_greeting` ten times in a row.
//!
//! Names, JSON and defaults are those of the Python original, so that a client written in another
//! language can drive this worker. The fields that shape a load (`activities`,
//! `activity_seconds`) travel in the input, and are left out where they have the original's value:
//! a workflow's code must not depend on the flags of the worker that happens to replay it.

#![expect(missing_docs, reason = "the macros define constants, and give nowhere to document them")]

use std::time::Duration;

use serde::{Deserialize, Serialize};
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

const START_TO_CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// An activity works in this many equal parts, as the original's does.
const NAPS: u32 = 5;

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
        let activities = input.activities.unwrap_or(ACTIVITIES);
        for _ in 0..activities {
            let greeting = ComposeGreetingInput {
                greeting: "Hello".to_owned(),
                name: input.name.clone(),
                seconds: input.activity_seconds,
            };
            ctx.execute_activity(
                GreetingActivities::compose_greeting,
                greeting,
                ActivityOptions::start_to_close_timeout(START_TO_CLOSE_TIMEOUT),
            )
            .await?;
        }
        Ok(format!("Greeted {} {activities} times", input.name))
    }
}

/// The activity.
pub struct GreetingActivities;

#[activities]
impl GreetingActivities {
    /// Works for a while, then greets. It waits without a thread: what is slow in this workshop is
    /// the codec, and nothing else.
    #[activity(name = "compose_greeting")]
    pub async fn compose_greeting(
        _ctx: ActivityContext,
        input: ComposeGreetingInput,
    ) -> Result<String, ActivityError> {
        let seconds = input.seconds.unwrap_or(ACTIVITY_SECONDS);
        let nap = Duration::try_from_secs_f64(seconds)
            .map_err(|error| anyhow::anyhow!("can't work for {seconds} seconds: {error}"))?
            / NAPS;
        for _ in 0..NAPS {
            tokio::time::sleep(nap).await;
        }
        Ok(format!("{}, {}, after {seconds} seconds of work!", input.greeting, input.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_default_load_is_the_originals() {
        let input = GreetingInput { id: "7".into(), name: "World".into(), ..Default::default() };
        assert_eq!(serde_json::to_string(&input).unwrap(), r#"{"id":"7","name":"World"}"#);
        let input =
            ComposeGreetingInput { greeting: "Hello".into(), name: "World".into(), seconds: None };
        assert_eq!(
            serde_json::to_string(&input).unwrap(),
            r#"{"greeting":"Hello","name":"World"}"#
        );
    }
}
