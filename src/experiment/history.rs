//! What the server itself wrote down: the histories of a run's workflows.

use std::time::{Duration, SystemTime};

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use temporalio_client::{Client, UntypedWorkflow, WorkflowFetchHistoryOptions};
use temporalio_common::protos::temporal::api::{
    enums::v1::TimeoutType,
    history::v1::{HistoryEvent, history_event::Attributes},
};

/// Histories read at once.
const AT_ONCE: usize = 8;

/// How long tasks waited for the worker, by the server's clock.
///
/// A workflow task that times out is retried, and the server writes only the first and the last
/// try of such a row into the history: these are the latencies of the tries that are there.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    /// When each workflow task was started, and how long after it was scheduled.
    pub workflow_tasks: Vec<(SystemTime, Duration)>,
    /// How long after it was scheduled each activity was started.
    pub activities: Vec<Duration>,
    /// Workflow tasks that timed out in the worker's hands (start-to-close).
    pub workflow_task_timeouts: u64,
}

impl Histories {
    /// Reads the histories of these workflows.
    ///
    /// # Errors
    /// When the server does not give one out.
    pub async fn read(
        client: &Client,
        workflow_ids: impl IntoIterator<Item = String>,
    ) -> anyhow::Result<Self> {
        let read = |id: String| async move {
            let history = client
                .get_workflow_handle::<UntypedWorkflow>(id.as_str())
                .fetch_history(WorkflowFetchHistoryOptions::default());
            history.into_events().await.with_context(|| format!("the history of {id}"))
        };
        stream::iter(workflow_ids)
            .map(read)
            .buffer_unordered(AT_ONCE)
            .try_fold(Self::default(), |mut all, events| async move {
                all.add(&events);
                Ok(all)
            })
            .await
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
