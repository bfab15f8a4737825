//! A load: starts workflows all at once, waits for them, and records how long each took.

use std::{
    collections::BTreeMap,
    iter,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use temporalio_client::{
    Client, WorkflowGetResultOptions, WorkflowStartOptions,
    errors::{WorkflowGetResultError, WorkflowStartError},
};
use temporalio_common::error::IncomingError;

use crate::{
    args::LoadArgs,
    workflows::{ACTIVITIES, ACTIVITY_SECONDS, Failing, GreetingInput, GreetingWorkflow},
};

/// What the workflows of a load are given.
#[derive(Clone, Debug)]
pub struct Load {
    /// How many, and what each does.
    pub numbers: LoadArgs,
    /// The task queue they go to.
    pub task_queue: String,
    /// Workflow ids are this, a hyphen and a number from 0 on.
    pub id_prefix: String,
    /// Whom they greet.
    pub name: String,
    /// How many fail on purpose, and how many others have activities that fail once: failures have
    /// payloads, too.
    pub failing: u32,
}

impl Load {
    /// The ids of its workflows, and what each is given.
    pub fn inputs(&self) -> impl Iterator<Item = (String, GreetingInput)> {
        (0..self.numbers.workflows).map(|number| (self.id(number), self.input(number)))
    }

    fn id(&self, number: u32) -> String {
        format!("{}-{number}", self.id_prefix)
    }

    fn input(&self, number: u32) -> GreetingInput {
        let LoadArgs { activities, activity_seconds, .. } = self.numbers;
        let failing = match number.checked_div(self.failing) {
            Some(0) => Some(Failing::ForGood),
            Some(1) => Some(Failing::Once),
            _ => None,
        };
        // The server waits a second before a retry, so a failing workflow gets only one activity: with more, it
        // would be the slowest of all.
        let activities = if failing.is_some() { activities.min(1) } else { activities };
        GreetingInput {
            id: number.to_string(),
            name: self.name.clone(),
            // Values equal to the original's are left out.
            activities: Some(activities).filter(|number| *number != ACTIVITIES),
            activity_seconds: Some(activity_seconds).filter(|seconds| *seconds != ACTIVITY_SECONDS),
            failing,
        }
    }
}

/// A workflow that completed.
#[derive(Clone, Debug)]
pub struct Completed {
    /// Its id.
    pub id: String,
    /// When it was done, from the start of the load on.
    pub at: Duration,
    /// From just before it was started to its result.
    pub end_to_end: Duration,
}

/// A workflow that did not complete.
#[derive(Clone, Debug)]
pub struct Failed {
    /// Its id.
    pub id: String,
    /// Why, with all causes.
    pub reason: String,
}

/// What became of a load.
#[derive(Clone, Debug, Default)]
pub struct LoadOutcome {
    /// In the order in which they were done.
    pub completed: Vec<Completed>,
    /// Those that failed, and those that could not be started.
    pub failed: Vec<Failed>,
    /// Started, and not waited for: the load was stopped. The id, and for how long it ran.
    pub unfinished: Vec<(String, Duration)>,
    /// The server was asked to start these and had not answered when the load was stopped: it may
    /// have started them.
    pub unanswered: Vec<String>,
    /// How many were started.
    pub started: usize,
    /// From the first start to the last result, or to the stop.
    pub wall: Duration,
}

impl LoadOutcome {
    /// Whether all completed.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.unfinished.is_empty() && self.unanswered.is_empty()
    }
}

/// What happened to one workflow of a load.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The server has started it.
    Started,
    /// It completed.
    Completed(&'a Completed),
    /// It failed, or could not be started.
    Failed(&'a Failed),
}

impl Event<'_> {
    /// Whether this was the workflow's last event.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Started)
    }
}

/// Runs the load until all workflows are done or `stop` is. `progress` is told of each event.
pub async fn run(
    client: &Client,
    load: &Load,
    stop: impl Future<Output = ()>,
    progress: impl Fn(Event<'_>),
) -> LoadOutcome {
    let began = Instant::now();
    // What has to be named when the load is stopped.
    let under_way = Mutex::new(BTreeMap::new());
    let mut outcome = LoadOutcome::default();
    let mut workflows: FuturesUnordered<_> = (0..load.numbers.workflows)
        .map(|number| one(client, load, number, began, &under_way, &progress))
        .collect();

    tokio::pin!(stop);
    loop {
        // `stop` first: what it listens to is set up before anything is started.
        let done = tokio::select! {
            biased;
            () = &mut stop => break,
            done = workflows.next() => done,
        };
        match done {
            None => break,
            Some(Ok(completed)) => {
                progress(Event::Completed(&completed));
                outcome.completed.push(completed);
            }
            Some(Err(failed)) => {
                progress(Event::Failed(&failed));
                outcome.failed.push(failed);
            }
        }
    }
    drop(workflows);
    outcome.wall = began.elapsed();
    for (_, state) in under_way.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match state {
            UnderWay::Asked(id) => {
                outcome.unanswered.push(id);
                continue;
            }
            UnderWay::Since(id, since) => outcome.unfinished.push((id, since.elapsed())),
            UnderWay::Done => {}
        }
        outcome.started += 1;
    }
    outcome
}

/// What has become of a workflow that the server was asked to start.
enum UnderWay {
    Asked(String),
    Since(String, Instant),
    Done,
}

async fn one(
    client: &Client,
    load: &Load,
    number: u32,
    began: Instant,
    under_way: &Mutex<BTreeMap<u32, UnderWay>>,
    progress: impl Fn(Event<'_>),
) -> Result<Completed, Failed> {
    let note = |state| {
        let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Some(state) => under_way.insert(number, state),
            None => under_way.remove(&number),
        };
    };
    let id = load.id(number);
    let input = load.input(number);
    let expected = input.result();
    let task_timeout = load.numbers.workflow_task_timeout_seconds;
    let options = WorkflowStartOptions::new(load.task_queue.as_str(), id.as_str())
        .task_timeout(Duration::from_secs_f64(task_timeout))
        .build();
    let since = Instant::now();
    note(Some(UnderWay::Asked(id.clone())));
    let started = client.start_workflow(GreetingWorkflow::run, input, options).await;
    let handle = started.map_err(|error| {
        note(None);
        Failed { reason: not_started(&error), id: id.clone() }
    })?;
    note(Some(UnderWay::Since(id.clone(), since)));
    progress(Event::Started);
    let result = handle.get_result(WorkflowGetResultOptions::default()).await;
    note(Some(UnderWay::Done));
    match result {
        // Not quoted: what went wrong may be in it.
        Ok(result) if result != expected => {
            Err(Failed { reason: "its result is not the expected one".to_owned(), id })
        }
        Ok(_) => Ok(Completed { at: began.elapsed(), end_to_end: since.elapsed(), id }),
        Err(error) => Err(Failed { reason: not_completed(error), id }),
    }
}

fn not_started(error: &WorkflowStartError) -> String {
    match error {
        WorkflowStartError::AlreadyStarted { .. } => {
            "it is already running, from an earlier start: wait for it, or use another --id-prefix"
                .to_owned()
        }
        WorkflowStartError::Rpc(status) => {
            format!("it was not started: {} ({:?})", status.message(), status.code())
        }
        error => format!("it was not started: {error}"),
    }
}

fn not_completed(error: WorkflowGetResultError) -> String {
    match error {
        WorkflowGetResultError::Rpc(status) => format!(
            "its result is not known: the server no longer answers ({}, {:?})",
            status.message(),
            status.code()
        ),
        WorkflowGetResultError::Failed(error) => {
            format!("the workflow failed: {}", messages(&error))
        }
        error => format!("{:#}", anyhow::Error::from(error)),
    }
}

/// The messages of a failure and of its causes.
pub(crate) fn messages(error: &IncomingError) -> String {
    let chain = iter::successors(Some(error), |error| error.cause());
    let mut messages: Vec<_> = chain.map(|error| error.failure().message.as_str()).collect();
    messages.retain(|message| !message.is_empty());
    messages.dedup();
    messages.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::defaults;

    #[test]
    fn the_first_workflows_fail_and_as_many_others_fail_once() {
        let failing = |failing| {
            let numbers = LoadArgs { workflows: 5, ..defaults() };
            let load = Load {
                numbers,
                task_queue: "queue".into(),
                id_prefix: "id".into(),
                name: "World".into(),
                failing,
            };
            load.inputs().map(|(_, input)| input.failing).collect::<Vec<_>>()
        };
        assert_eq!(failing(0), [None; 5]);
        let [fails, once] = [Failing::ForGood, Failing::Once].map(Some);
        assert_eq!(failing(2), [fails, fails, once, once, None]);
    }
}
