//! Why a load makes no progress, according to the server: its task queue and its open workflows.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    mem::{Discriminant, discriminant},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use temporalio_client::{
    Client, UntypedWorkflow,
    grpc::WorkflowService,
    tonic::{IntoRequest, Status},
};
use temporalio_common::{
    data_converters::SerializationContextData,
    protos::temporal::api::{
        enums::v1::TaskQueueType,
        failure::v1::Failure,
        taskqueue::v1::TaskQueue,
        workflow::v1::PendingActivityInfo,
        workflowservice::v1::{DescribeTaskQueueRequest, DescribeWorkflowExecutionResponse},
    },
};

use crate::load::{Event, messages};

/// After this long without a workflow that finishes, the server is asked why.
const QUIET: Duration = Duration::from_secs(5);
/// The time until the server is asked again.
const PAUSE: Duration = Duration::from_secs(5);
/// If the server shows nothing wrong, a lack of progress is reported only after this long.
const VERY_QUIET: Duration = Duration::from_secs(30);
/// The same cause is reported again after this long.
const REPEATED: Duration = Duration::from_secs(60);
/// A poll waits at the server for up to a minute, and only its start is recorded.
const POLL: Duration = Duration::from_secs(70);
/// How many open workflows are examined. In a stalled load, some wait between two activities.
const SAMPLED: usize = 20;

/// Which workflows of a load are open, and when the last one finished.
pub struct Progress {
    open: RefCell<BTreeSet<String>>,
    last: Cell<Instant>,
}

impl Progress {
    /// Of a load with these ids, before it starts.
    pub fn new(ids: impl Iterator<Item = String>) -> Self {
        Self { open: RefCell::new(ids.collect()), last: Cell::new(Instant::now()) }
    }

    /// Takes note of an event of the load.
    pub fn note(&self, event: Event<'_>) {
        self.last.set(Instant::now());
        match event {
            Event::Started => {}
            Event::Completed(completed) => drop(self.open.borrow_mut().remove(&completed.id)),
            Event::Failed(failed) => drop(self.open.borrow_mut().remove(&failed.id)),
        }
    }

    fn quiet(&self) -> Duration {
        self.last.get().elapsed()
    }

    fn open(&self) -> (usize, Vec<String>) {
        let open = self.open.borrow();
        (open.len(), open.iter().take(SAMPLED).cloned().collect())
    }
}

/// What holds a load up.
#[derive(Debug, PartialEq)]
enum Cause {
    NoPollers {
        of: &'static str,
        last: Option<Duration>,
    },
    ActivityRetried {
        workflow: String,
        activity: String,
        attempt: i32,
        reason: Option<String>,
    },
    WorkflowTaskRetried {
        workflow: String,
        attempt: i32,
    },
    NoAnswer(String),
    /// Nothing is wrong as far as the server knows.
    Busy {
        workflow: String,
        activity: Option<String>,
    },
}

impl Cause {
    /// What was seen, and how to fix it.
    fn text(&self, task_queue: &str) -> (String, Option<String>) {
        match self {
            Self::NoPollers { of, last } => {
                let last = last.map(|ago| format!("; the last poll was {} s ago", ago.as_secs()));
                (
                    format!(
                        "no worker polls the task queue {task_queue} for {of}{}",
                        last.unwrap_or_default()
                    ),
                    Some(
                        "start a worker (`cargo run --bin worker`), or name the queue of one that \
                         runs with --task-queue"
                            .to_owned(),
                    ),
                )
            }
            Self::ActivityRetried { workflow, activity, attempt, reason } => {
                let reason = reason.as_ref().map(|reason| format!(": {reason}"));
                (
                    format!(
                        "the activity {activity} of {workflow} is being retried, attempt {attempt}. \
                         The last attempt failed{}",
                        reason.unwrap_or_default()
                    ),
                    Some(
                        "look for the activity in the worker's log; it is retried until it succeeds"
                            .to_owned(),
                    ),
                )
            }
            Self::WorkflowTaskRetried { workflow, attempt } => (
                format!(
                    "a workflow task of {workflow} is being retried, attempt {attempt}: the worker \
                     failed it, or did not answer in time"
                ),
                Some(
                    "read the worker's log. If it can't decrypt a payload, give the worker and \
                     the starter the same keys. If it says \"Workflow task not found\", it \
                     answers too late"
                        .to_owned(),
                ),
            ),
            Self::NoAnswer(error) => (
                format!("the server does not say why: {error}"),
                Some("check whether the server is still running".to_owned()),
            ),
            Self::Busy { workflow, activity: Some(activity) } => {
                (format!("{workflow} still works on its activity {activity}"), None)
            }
            Self::Busy { workflow, activity: None } => {
                let waits = format!(
                    "{workflow} waits for a worker to take its next task, as all do while a codec blocks"
                );
                (waits, None)
            }
        }
    }
}

/// While no workflow of the load finishes, asks the server again and again why, and reports the answer. Never
/// returns.
pub async fn watch(
    client: &Client,
    task_queue: &str,
    progress: &Progress,
    report: impl Fn(String),
) -> std::convert::Infallible {
    let mut reported: Option<(Discriminant<Cause>, Instant)> = None;
    loop {
        let quiet = progress.quiet();
        if quiet < QUIET {
            tokio::time::sleep(QUIET - quiet).await;
            continue;
        }
        let (open, sample) = progress.open();
        let cause = look(client, task_queue, &sample).await;
        // A workflow may have finished while the server was asked.
        let quiet = progress.quiet();
        let is_new = |cause: &Cause| match reported {
            Some((known, at)) => known != discriminant(cause) || at.elapsed() >= REPEATED,
            None => true,
        };
        if let Some(cause) = cause.filter(is_new)
            && quiet >= if matches!(cause, Cause::Busy { .. }) { VERY_QUIET } else { QUIET }
        {
            reported = Some((discriminant(&cause), Instant::now()));
            let (seen, fix) = cause.text(task_queue);
            let fix = fix.map(|fix| format!("\n  fix: {fix}")).unwrap_or_default();
            report(format!(
                "no workflow finished for {} s, {open} are open: {seen}{fix}",
                quiet.as_secs()
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The most likely cause that the server knows of.
async fn look(client: &Client, task_queue: &str, sample: &[String]) -> Option<Cause> {
    match last_poll(client, task_queue, TaskQueueType::Workflow).await {
        Err(status) => return Some(Cause::NoAnswer(status.message().to_owned())),
        Ok(last) if !is_recent(last) => {
            return Some(Cause::NoPollers { of: "workflow tasks", last });
        }
        Ok(_) => {}
    }
    let (mut task, mut busy) = (None, None);
    for id in sample {
        let handle = client.get_workflow_handle::<UntypedWorkflow>(id.as_str());
        // A workflow that the server does not know was not started yet.
        let Ok(description) = handle.describe(Default::default()).await else { continue };
        let description = description.into_raw();
        match retried(client, id, &description) {
            // A failed activity says more: its failure names the cause.
            Some(cause @ Cause::WorkflowTaskRetried { .. }) => task = task.or(Some(cause)),
            Some(cause) => return Some(cause),
            None => {}
        }
        let activity = description.pending_activities.first().map(name);
        busy.get_or_insert(Cause::Busy { workflow: id.clone(), activity });
    }
    if task.is_some() {
        return task;
    }
    if matches!(busy, Some(Cause::Busy { activity: Some(_), .. }))
        && let Ok(last) = last_poll(client, task_queue, TaskQueueType::Activity).await
        && !is_recent(last)
    {
        return Some(Cause::NoPollers { of: "activities", last });
    }
    busy
}

/// An activity or a workflow task of this workflow that is not at its first attempt.
fn retried(
    client: &Client,
    workflow: &str,
    description: &DescribeWorkflowExecutionResponse,
) -> Option<Cause> {
    let workflow = workflow.to_owned();
    let pending = description.pending_activities.iter();
    if let Some(activity) =
        pending.filter(|activity| activity.attempt > 1).max_by_key(|a| a.attempt)
    {
        return Some(Cause::ActivityRetried {
            workflow,
            activity: name(activity),
            attempt: activity.attempt,
            reason: activity.last_failure.clone().map(|failure| reason(client, failure)),
        });
    }
    let attempt = description.pending_workflow_task.as_ref().map_or(0, |task| task.attempt);
    (attempt > 1).then_some(Cause::WorkflowTaskRetried { workflow, attempt })
}

fn name(activity: &PendingActivityInfo) -> String {
    activity.activity_type.clone().unwrap_or_default().name
}

/// The messages of a failure and of its causes, already decrypted.
fn reason(client: &Client, failure: Failure) -> String {
    let converter = &client.options().data_converter;
    let decoded = converter.failure_converter().to_error(
        failure.clone(),
        converter.payload_converter(),
        &SerializationContextData::None,
    );
    decoded.map_or(failure.message, |decoded| messages(&decoded))
}

/// How long ago a worker last started to poll this queue; `None` if none did within some minutes.
async fn last_poll(
    client: &Client,
    task_queue: &str,
    of: TaskQueueType,
) -> Result<Option<Duration>, Status> {
    let request = DescribeTaskQueueRequest {
        namespace: client.options().namespace.clone(),
        task_queue: Some(TaskQueue { name: task_queue.to_owned(), ..Default::default() }),
        task_queue_type: of.into(),
        ..Default::default()
    };
    let mut service = client.clone();
    let answer = WorkflowService::describe_task_queue(&mut service, request.into_request()).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let polls = answer.into_inner().pollers.into_iter();
    let seconds = polls.map(|poller| poller.last_access_time.unwrap_or_default().seconds).max();
    Ok(seconds.map(|seconds| {
        now.saturating_sub(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
    }))
}

fn is_recent(last: Option<Duration>) -> bool {
    last.is_some_and(|ago| ago < POLL)
}
