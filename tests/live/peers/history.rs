//! What the server stores of a workflow, decrypted and checked.

use codec_kit::{ENCODING, ENCRYPTED, KEY_ID, Keyring, Payload, open};
use greeting::workflows::{
    ACTIVITIES, ComposeGreetingInput, FAILS_ON_PURPOSE, Failing, GreetingInput,
};
use serde_json::Value;
use temporalio_client::{Client, UntypedWorkflow};
use temporalio_common::protos::temporal::api::enums::v1::EventType;

use crate::{peers::messages::REFUSED, support::Stage};

/// What the server stores of a workflow, decrypted: each payload with the type of its event, and with the
/// number of bytes that are stored.
pub struct History(Vec<(EventType, Value, usize)>);

/// Checks that every payload is encrypted with the active key, and that nothing else shows what the workflow handles.
pub fn history(stage: &Stage, client: &Client, keyring: &Keyring, id: &str) -> History {
    let events = stage.runtime.block_on(async {
        let handle = client.get_workflow_handle::<UntypedWorkflow>(id);
        handle.fetch_history(Default::default()).into_events().await.unwrap()
    });
    let mut held = Vec::new();
    for event in events {
        let (mut payloads, mut texts) = (Vec::new(), Vec::new());
        visit(&serde_json::to_value(&event).unwrap(), &mut payloads, &mut texts);
        for payload in payloads {
            let what = format!("{id}, event {}", event.event_id);
            assert_eq!(
                payload.metadata.get(ENCODING).map(Vec::as_slice),
                Some(ENCRYPTED),
                "{what}"
            );
            let key = payload.metadata.get(KEY_ID).map(Vec::as_slice);
            assert_eq!(key, Some(keyring.active().id().as_bytes()), "{what}");
            let stored = payload.data.len();
            let opened = open(keyring.keys(), payload).unwrap();
            // Nil has no data.
            let is_nil = opened.metadata[ENCODING] == b"binary/null";
            let json = if is_nil { b"null" } else { &*opened.data };
            let value = serde_json::from_slice(json).unwrap();
            held.push((event.event_type(), value, stored));
        }
        for text in texts {
            for plain in
                ["Hello", "Greeted", "World", "Žofie", "xxxxxxxx", FAILS_ON_PURPOSE, REFUSED]
            {
                assert!(!text.contains(plain), "{id}, event {}: {text}", event.event_id);
            }
        }
    }
    History(held)
}

/// All payloads, and all texts outside of them.
fn visit(value: &Value, payloads: &mut Vec<Payload>, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|value| visit(value, payloads, texts)),
        Value::Object(fields) if fields.contains_key("metadata") && fields.contains_key("data") => {
            payloads.push(serde_json::from_value(value.clone()).unwrap());
        }
        Value::Object(fields) => fields.values().for_each(|value| visit(value, payloads, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl History {
    pub fn of(&self, event_type: EventType) -> Vec<Value> {
        let events = self.0.iter().filter(|(found, ..)| *found == event_type);
        events.map(|(_, value, _)| value.clone()).collect()
    }

    pub fn input(&self) -> &(EventType, Value, usize) {
        let mut all = self.0.iter();
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
