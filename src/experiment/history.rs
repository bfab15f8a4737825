//! What the server recorded: the histories of a run's workflows.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use greeting::workflows::GreetingInput;
use temporalio_client::{
    Client, UntypedWorkflow, WorkflowFetchHistoryOptions, errors::WorkflowInteractionError,
};
use temporalio_common::protos::temporal::api::{
    enums::v1::TimeoutType,
    history::v1::{HistoryEvent, history_event::Attributes},
};

/// Histories read at once.
const AT_ONCE: usize = 8;

/// The history of one workflow.
#[derive(Clone, Debug)]
pub struct History {
    /// The workflow's id.
    pub workflow_id: String,
    /// What the workflow was given.
    pub input: GreetingInput,
    /// Everything that the server wrote down about it.
    pub events: Vec<HistoryEvent>,
}

impl History {
    /// Reads the histories of these workflows, in their order. A workflow that was not started has none.
    ///
    /// # Errors
    /// When the server does not give one out.
    pub async fn read_all(
        client: &Client,
        workflows: impl IntoIterator<Item = (String, GreetingInput)>,
    ) -> anyhow::Result<Vec<Self>> {
        let read = |(workflow_id, input): (String, GreetingInput)| async move {
            let handle = client.get_workflow_handle::<UntypedWorkflow>(workflow_id.as_str());
            let history = handle.fetch_history(WorkflowFetchHistoryOptions::default());
            match history.into_events().await {
                Ok(events) => Ok(Some(Self { workflow_id, input, events })),
                Err(WorkflowInteractionError::NotFound(_)) => Ok(None),
                Err(error) => Err(error).with_context(|| format!("the history of {workflow_id}")),
            }
        };
        let all = stream::iter(workflows).map(read).buffered(AT_ONCE);
        all.try_filter_map(|history| async { Ok(history) }).try_collect().await
    }
}

/// How long tasks waited for the worker, by the server's clock.
///
/// A workflow task that times out is retried, and the server writes only the first and the last
/// try of such a row into the history: these are the latencies of the tries that are there.
#[derive(Clone, Debug, Default)]
pub struct TaskLatencies {
    /// When each workflow task was started, and how long after it was scheduled.
    pub workflow_tasks: Vec<(SystemTime, Duration)>,
    /// How long after it was scheduled each activity was started.
    pub activities: Vec<Duration>,
    /// Workflow tasks that timed out in the worker (start-to-close).
    pub workflow_task_timeouts: u64,
}

impl TaskLatencies {
    /// Those in these histories.
    pub fn of(histories: &[History]) -> Self {
        histories.iter().fold(Self::default(), |mut all, history| {
            all.add(&history.events);
            all
        })
    }

    fn add(&mut self, events: &[HistoryEvent]) {
        let time = |event_id: i64| {
            let event = events.get(usize::try_from(event_id).ok()?.checked_sub(1)?)?;
            SystemTime::try_from(event.event_time?).ok()
        };
        let waited = |scheduled: i64, started: i64| {
            let (scheduled, started) = (time(scheduled)?, time(started)?);
            Some((started, started.duration_since(scheduled).unwrap_or_default()))
        };
        for event in events {
            match &event.attributes {
                Some(Attributes::WorkflowTaskStartedEventAttributes(started)) => {
                    self.workflow_tasks.extend(waited(started.scheduled_event_id, event.event_id));
                }
                Some(Attributes::ActivityTaskStartedEventAttributes(started)) => {
                    let waited = waited(started.scheduled_event_id, event.event_id);
                    self.activities.extend(waited.map(|(_, latency)| latency));
                }
                Some(Attributes::WorkflowTaskTimedOutEventAttributes(timed_out))
                    if timed_out.timeout_type() == TimeoutType::StartToClose =>
                {
                    self.workflow_task_timeouts += 1;
                }
                _ => {}
            }
        }
    }
}
