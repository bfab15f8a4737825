//! What the server stores of a workflow, decrypted and checked.

use codec_kit::{ENCODING, ENCRYPTED, KEY_ID, Keyring, Payload, open};
use greeting::workflows::{
    ACTIVITIES, ComposeGreetingInput, FAILS_ON_PURPOSE, Failing, GreetingInput,
};
use serde_json::Value;
use temporalio_client::{Client, UntypedWorkflow};
use temporalio_common::protos::temporal::api::enums::v1::EventType;
use tokio::runtime::Runtime;

use crate::peers::messages::REFUSED;

/// What the server stores of a workflow, decrypted.
pub struct History {
    /// Each payload with the type of its event, and with the number of bytes that are stored.
    held: Vec<(EventType, Value, usize)>,
    /// Each header with the type of its event, and whether it is stored encrypted.
    pub headers: Vec<(EventType, Value, bool)>,
}

/// Checks that every payload is encrypted with the active key, except in headers, and that nothing else shows what the
/// workflow handles.
pub fn history(runtime: &Runtime, client: &Client, keyring: &Keyring, id: &str) -> History {
    let events = runtime.block_on(async {
        let handle = client.get_workflow_handle::<UntypedWorkflow>(id);
        handle.fetch_history(Default::default()).into_events().await.unwrap()
    });
    let (mut held, mut headers) = (Vec::new(), Vec::new());
    for event in events {
        let mut found = Found::default();
        found.visit(&serde_json::to_value(&event).unwrap());
        for payload in found.payloads {
            let what = format!("{id}, event {}", event.event_id);
            assert!(is_encrypted(&payload), "{what}");
            let key = payload.metadata.get(KEY_ID).map(Vec::as_slice);
            assert_eq!(key, Some(keyring.active().id().as_bytes()), "{what}");
            let stored = payload.data.len();
            held.push((event.event_type(), opened(keyring, payload), stored));
        }
        for header in found.headers {
            let is_encrypted = is_encrypted(&header);
            headers.push((event.event_type(), opened(keyring, header), is_encrypted));
        }
        for text in found.texts {
            for plain in
                ["Hello", "Greeted", "World", "Žofie", "xxxxxxxx", FAILS_ON_PURPOSE, REFUSED]
            {
                assert!(!text.contains(plain), "{id}, event {}: {text}", event.event_id);
            }
        }
    }
    History { held, headers }
}

fn is_encrypted(payload: &Payload) -> bool {
    payload.metadata.get(ENCODING).is_some_and(|encoding| encoding == ENCRYPTED)
}

fn opened(keyring: &Keyring, payload: Payload) -> Value {
    let opened = open(keyring.keys(), payload).unwrap();
    // Nil has no data.
    let is_nil = opened.metadata[ENCODING] == b"binary/null";
    serde_json::from_slice(if is_nil { b"null" } else { &opened.data }).unwrap()
}

/// What an event holds.
#[derive(Default)]
struct Found {
    payloads: Vec<Payload>,
    headers: Vec<Payload>,
    /// All texts outside of payloads.
    texts: Vec<String>,
}

impl Found {
    fn visit(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.texts.push(text.clone()),
            Value::Array(all) => all.iter().for_each(|value| self.visit(value)),
            Value::Object(fields)
                if fields.contains_key("metadata") && fields.contains_key("data") =>
            {
                self.payloads.push(serde_json::from_value(value.clone()).unwrap());
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    let before = self.payloads.len();
                    self.visit(value);
                    if name == "header" {
                        self.headers.extend(self.payloads.drain(before..));
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl History {
    pub fn of(&self, event_type: EventType) -> Vec<Value> {
        let events = self.held.iter().filter(|(found, ..)| *found == event_type);
        events.map(|(_, value, _)| value.clone()).collect()
    }

    pub fn input(&self) -> &(EventType, Value, usize) {
        let mut all = self.held.iter();
        all.find(|held| held.0 == EventType::WorkflowExecutionStarted).unwrap()
    }

    /// Inputs, results and failures are right. Returns the name, if the workflow completed.
    pub fn check(&self, id: &str) -> Option<String> {
        let input: GreetingInput = serde_json::from_value(self.input().1.clone()).unwrap();
        let scheduled = self.of(EventType::ActivityTaskScheduled).into_iter();
        let scheduled: Vec<ComposeGreetingInput> =
            scheduled.map(|given| serde_json::from_value(given).unwrap()).collect();
        assert!(!scheduled.is_empty() && scheduled.iter().all(|given| *given == input.activity()));

        let is_failure = |event_type| {
            let found = self.of(event_type);
            let message = found.iter().any(|value| value["message"] == FAILS_ON_PURPOSE);
            message && found.contains(&input.activity().details().into())
        };
        if input.failing == Some(Failing::ForGood) {
            assert!(is_failure(EventType::ActivityTaskFailed), "{id}");
            assert!(is_failure(EventType::WorkflowExecutionFailed), "{id}");
            return None;
        }
        // The attempt that failed is part of the next one's event.
        let is_retried = input.failing == Some(Failing::Once);
        assert_eq!(is_failure(EventType::ActivityTaskStarted), is_retried, "{id}");

        let count = input.activities.unwrap_or(ACTIVITIES) as usize;
        let results = self.of(EventType::ActivityTaskCompleted);
        assert!(results == vec![Value::from(input.activity().result()); count], "{id}");
        let results = self.of(EventType::WorkflowExecutionCompleted);
        assert!(results == [Value::from(input.result())], "{id}");
        Some(input.name)
    }
}
