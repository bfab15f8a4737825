//! Signals, updates, queries, a memo and a header: a workflow that each language has, and a client that sends it all
//! kinds of messages.

use std::{iter, mem};

use codec_kit::{ENCODING, Keyring, Payload, open, seal};
use serde_json::Value;
use temporalio_client::{
    Client, WorkflowExecuteUpdateOptions, WorkflowGetResultOptions, WorkflowQueryOptions,
    WorkflowSignalOptions, WorkflowStartOptions, errors::WorkflowUpdateError,
};
use temporalio_common::{
    MemoValues,
    protos::temporal::api::{common::v1::Header, enums::v1::EventType},
};
use temporalio_macros::{workflow, workflow_methods};
use temporalio_sdk::{SyncWorkflowContext, WorkflowContext, WorkflowContextView, WorkflowResult};

use crate::peers::history::History;

/// What an update refuses, and the message of its failure.
pub const REFUSED: &str = "refused on purpose";
const NOTE: &str = "Žofie 王小明 🦀";
/// The name of the header, as a propagator or an interceptor sends one. It holds [`NOTE`].
pub const CALLER: &str = "caller";
/// The length of a text, in bytes. The server stores at most 2 MiB in a payload.
const LONG: usize = 1_900_000;

type Text = Option<String>;

fn text(text: impl Into<String>) -> Text {
    Some(text.into())
}

#[workflow]
#[derive(Default)]
pub struct MessagesWorkflow {
    caller: Text,
    held: Vec<Text>,
    has_ended: bool,
}

#[workflow_methods]
impl MessagesWorkflow {
    #[run(name = "MessagesWorkflow")]
    pub async fn run(ctx: &mut WorkflowContext<Self>, first: Text) -> WorkflowResult<Vec<Text>> {
        let caller = ctx.headers().get(CALLER).map(read);
        ctx.state_mut(|state| state.caller = caller);
        ctx.wait_condition(|state| state.has_ended).await?;
        Ok(iter::once(first).chain(ctx.state(|state| state.held.clone())).collect())
    }

    #[signal]
    pub fn add(&mut self, _: &mut SyncWorkflowContext<Self>, text: Text) {
        self.held.push(text);
    }

    #[signal]
    pub fn end(&mut self, _: &mut SyncWorkflowContext<Self>, text: Text) {
        self.held.push(text);
        self.has_ended = true;
    }

    #[query]
    pub fn caller(&self, _: &WorkflowContextView) -> Text {
        self.caller.clone()
    }

    #[query]
    pub fn count(&self, _: &WorkflowContextView, text: Text) -> usize {
        self.held.iter().filter(|held| **held == text).count()
    }

    #[update_validator(replace)]
    fn check(
        &self,
        _: &WorkflowContextView,
        text: &Text,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        if text.as_deref() == Some(REFUSED) { Err(REFUSED.into()) } else { Ok(()) }
    }

    #[update]
    pub fn replace(&mut self, _: &mut SyncWorkflowContext<Self>, text: Text) -> Text {
        self.held.last_mut().and_then(|last| mem::replace(last, text))
    }
}

/// How a peer sends and reads headers.
#[derive(Clone, Copy, PartialEq)]
pub enum Headers {
    Encrypted,
    Plain,
}

/// The header with that text.
pub fn header(text: &str) -> Header {
    let metadata = [(ENCODING.to_owned(), b"json/plain".to_vec())].into();
    let data = serde_json::to_vec(text).unwrap();
    let caller = Payload { metadata, data, ..Payload::default() };
    Header { fields: [(CALLER.to_owned(), caller)].into() }
}

/// As [`header`], encrypted.
pub fn encrypted_header(keyring: &Keyring, text: &str) -> Header {
    let mut header = header(text);
    for caller in header.fields.values_mut() {
        *caller = seal(keyring.active(), caller).unwrap();
    }
    header
}

/// The text of a header that is not encrypted.
pub fn read(header: &Payload) -> String {
    serde_json::from_slice(&header.data).unwrap()
}

/// Sends all kinds of messages to a workflow, and checks the answers.
pub async fn send(
    client: &Client,
    keyring: &Keyring,
    task_queue: &str,
    id: &str,
    headers: Headers,
) {
    // The client in Rust does not encrypt it.
    let header = match headers {
        Headers::Encrypted => encrypted_header(keyring, NOTE),
        Headers::Plain => header(NOTE),
    };
    let mut memo = MemoValues::new();
    memo.insert("note", text(NOTE)).insert("empty", text("")).insert("nil", Text::None);
    let options = WorkflowStartOptions::new(task_queue, id).memo(memo).header(header).build();
    let handle = client.start_workflow(MessagesWorkflow::run, None, options).await.unwrap();
    let signal = WorkflowSignalOptions::default;
    for text in [text(""), None, text("x".repeat(LONG))] {
        handle.signal(MessagesWorkflow::add, text, signal()).await.unwrap();
    }
    let replace = async |text: Text| {
        let options = WorkflowExecuteUpdateOptions::default();
        handle.execute_update(MessagesWorkflow::replace, text, options).await
    };
    assert!(replace(text("World")).await.unwrap() == text("x".repeat(LONG)));
    let refused = replace(text(REFUSED)).await.unwrap_err();
    // The SDK decrypts the failure of a workflow, and not that of an update.
    let WorkflowUpdateError::Failed(failure) = refused else { panic!("{refused:?}") };
    let opened = open(keyring.keys(), failure.encoded_attributes.unwrap()).unwrap();
    let attributes: Value = serde_json::from_slice(&opened.data).unwrap();
    assert_eq!((&*failure.message, &attributes["message"]), ("Encoded failure", &REFUSED.into()));
    for (text, count) in [(text(""), 1), (None, 1), (text("x".repeat(LONG)), 0)] {
        let options = WorkflowQueryOptions::default();
        assert_eq!(handle.query(MessagesWorkflow::count, text, options).await.unwrap(), count);
    }
    let options = WorkflowQueryOptions::default();
    assert_eq!(handle.query(MessagesWorkflow::caller, (), options).await.unwrap(), text(NOTE));
    let memo = handle.describe(Default::default()).await.unwrap().memo();
    for (name, value) in [("note", text(NOTE)), ("empty", text("")), ("nil", None)] {
        assert_eq!(memo.get::<Text>(name).unwrap(), Some(value), "{name}");
    }
    handle.signal(MessagesWorkflow::end, text(NOTE), signal()).await.unwrap();
    let result = handle.get_result(WorkflowGetResultOptions::default()).await.unwrap();
    assert_eq!(result, result_of(None));
}

fn result_of(first: Text) -> Vec<Text> {
    vec![first, text(""), None, text("World"), text(NOTE)]
}

/// What a client sent and a worker answered is stored, encrypted. What was refused and what was asked is not.
pub fn check(history: &History, headers: Headers) {
    let started =
        history.headers.iter().find(|header| header.0 == EventType::WorkflowExecutionStarted);
    assert!(started.is_some(), "{:?}", history.headers);
    // Some clients send it with signals and updates, too.
    for (_, value, is_encrypted) in &history.headers {
        assert_eq!((value, *is_encrypted), (&NOTE.into(), headers == Headers::Encrypted));
    }
    let long = "x".repeat(LONG);
    let of = |event_type| history.of(event_type);
    let mut started = of(EventType::WorkflowExecutionStarted);
    started.sort_by_key(ToString::to_string);
    // The input, and the memo.
    assert_eq!(started, [text(""), text(NOTE), None, None].map(Value::from));
    let signalled = [text(""), None, Some(long.clone()), text(NOTE)].map(Value::from);
    assert!(of(EventType::WorkflowExecutionSignaled) == signalled);
    assert_eq!(of(EventType::WorkflowExecutionUpdateAccepted), ["World"]);
    assert!(of(EventType::WorkflowExecutionUpdateCompleted) == [long]);
    let result = serde_json::to_value(result_of(None)).unwrap();
    assert_eq!(of(EventType::WorkflowExecutionCompleted), [result]);
}
