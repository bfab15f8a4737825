//! Headers and a worker in Rust: it reads them, and passes them on to an activity, as an interceptor for traces does.

use std::{cell::RefCell, time::Duration};

use codec_kit::{KeyService, Keyring, Payload};
use serde_json::Value;
use solutions::Step;
use temporalio_client::{WorkflowGetResultOptions, WorkflowStartOptions};
use temporalio_common::protos::temporal::api::{common::v1::Header, enums::v1::EventType};
use temporalio_macros::{activities, workflow, workflow_methods};
use temporalio_sdk::{
    ActivityOptions, WorkerOptions, WorkflowContext, WorkflowResult,
    activities::{ActivityContext, ActivityError},
    workflow_interceptors::{
        CancellableWorkflowOutboundFuture, ExecuteWorkflowInput, ExecuteWorkflowResult,
        ScheduleActivityInput, ScheduleActivityResult, WorkflowInterceptor,
        WorkflowInterceptorConstructor, WorkflowInterceptorContext, WorkflowInterceptorFuture,
        WorkflowNext,
    },
};

use crate::{
    peers::{
        history::history,
        messages::{CALLER, encrypted_header, header, read},
    },
    support::Stage,
    worker::beside,
};

/// Asks its activity who calls.
#[workflow]
#[derive(Default)]
struct AsksWhoCalls;

#[workflow_methods]
impl AsksWhoCalls {
    #[run]
    async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<String> {
        let options = ActivityOptions::start_to_close_timeout(Duration::from_secs(20));
        Ok(ctx.execute_activity(Activities::who_calls, (), options).await?)
    }
}

struct Activities;

#[activities]
impl Activities {
    #[activity]
    async fn who_calls(ctx: ActivityContext) -> Result<String, ActivityError> {
        Ok(read(&ctx.headers()[CALLER]))
    }
}

/// Sends the activities of a workflow the header that the workflow got.
#[derive(Default)]
struct PassesOn {
    caller: RefCell<Option<Payload>>,
}

impl WorkflowInterceptor for PassesOn {
    fn execute<'a>(
        &'a self,
        _: WorkflowInterceptorContext,
        input: ExecuteWorkflowInput,
        next: WorkflowNext<
            'a,
            ExecuteWorkflowInput,
            WorkflowInterceptorFuture<'a, ExecuteWorkflowResult>,
        >,
    ) -> WorkflowInterceptorFuture<'a, ExecuteWorkflowResult> {
        *self.caller.borrow_mut() = input.headers().get(CALLER).cloned();
        next.run(input)
    }

    fn schedule_activity(
        &self,
        _: WorkflowInterceptorContext,
        mut input: ScheduleActivityInput,
        next: WorkflowNext<
            'static,
            ScheduleActivityInput,
            CancellableWorkflowOutboundFuture<ScheduleActivityResult>,
        >,
    ) -> CancellableWorkflowOutboundFuture<ScheduleActivityResult> {
        let caller = self.caller.borrow().clone();
        input.headers_mut().extend(caller.map(|caller| (CALLER.to_owned(), caller)));
        next.run(input)
    }
}

#[test]
fn a_worker_reads_headers_encrypted_or_not_and_encrypts_those_that_it_sends() {
    const NAME: &str = "Ada";
    let stage = Stage::new();
    let keyring = Keyring::test_key();
    let client = stage.client(Step::Async.codec(KeyService::new(keyring.clone())));
    let options = WorkerOptions::new("headers")
        .register_workflow::<AsksWhoCalls>()
        .unwrap()
        .register_activities(Activities)
        .workflow_interceptor(WorkflowInterceptorConstructor::new(|_| PassesOn::default()))
        .build();
    let run = async |id: &str, header: Header| {
        let options = WorkflowStartOptions::new("headers", id).header(header).build();
        let handle = client.start_workflow(AsksWhoCalls::run, (), options).await.unwrap();
        handle.get_result(WorkflowGetResultOptions::default()).await.unwrap()
    };
    let encrypted = encrypted_header(&keyring, NAME);
    let runs = async { [run("plain", header(NAME)).await, run("encrypted", encrypted).await] };
    assert_eq!(stage.runtime.block_on(beside(client.clone(), options, runs)), [NAME, NAME]);
    for (id, is_encrypted) in [("plain", false), ("encrypted", true)] {
        let headers = history(&stage.runtime, &client, &keyring, id).headers;
        // As it was sent, and as the worker sends it.
        let expected = [
            (EventType::WorkflowExecutionStarted, Value::from(NAME), is_encrypted),
            (EventType::ActivityTaskScheduled, Value::from(NAME), true),
        ];
        assert_eq!(headers, expected, "{id}");
    }
}
