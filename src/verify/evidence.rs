//! What the server stores of a load: every payload of every history is encrypted as it should be, and nothing
//! of what the workflows handle can be read in plain text.
//!
//! The walk knows no message by name: it goes through each event as JSON, so a payload in an
//! unexpected place is found as well.

use std::{fmt, mem};

use codec_kit::{ENCODING, ENCRYPTED, KEY_ID, Keyring, Payload, open};
use greeting::workflows::GreetingInput;
use judge::leaks::{Form, Printed};
use serde::Serialize;
use serde_json::Value;
use temporalio_common::protos::temporal::api::history::v1::HistoryEvent;

use crate::experiment::{History, Keys};

/// Payloads that are not encrypted and need not be, and the reason. A codec that encrypts all it is given
/// leaves no others in a history.
const NOT_ENCRYPTED: [(&str, &str); 1] = [(
    "search_attributes.indexedFields.",
    "the server indexes search attributes, so the SDK hands none of them to the codec",
)];

/// The words of the load that are too short to be found in every form.
const SHORT: [&str; 2] = ["Hello", "Greeted"];

/// What was found in the histories of a load.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evidence {
    /// Payloads that were looked at.
    payloads: usize,
    /// What should not be there, in the order of the histories.
    findings: Vec<Finding>,
}

/// Something that should not be in a history, and where it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    workflow: String,
    event: i64,
    event_type: String,
    field: String,
    fault: Fault,
}

/// What is wrong with a payload or a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    /// It is not encrypted: its encoding, and what can be read in it.
    NotEncrypted { encoding: String, shows: Option<Shown> },
    /// It is, and something can be read beside the encrypted data, or in a text.
    Shows(Shown),
    /// It is encrypted with a key that was not the active one.
    WrongKey { key: String, active: String },
    /// It can't be decrypted.
    DoesNotOpen(String),
    /// It decrypts to something other than what the workflow or activity wrote.
    OpensToElse,
}

/// What can be read, and how.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Shown {
    what: &'static str,
    form: Form,
}

impl Evidence {
    /// Looks at everything in these histories, of a load that had these keys.
    ///
    /// # Errors
    /// When an event has no form in JSON.
    pub fn of(histories: &[History], keys: &Keys) -> serde_json::Result<Self> {
        let mut all = Self::default();
        for history in histories {
            let secrets = Secrets { name: &history.input.name };
            for event in &history.events {
                let mut walk = Walk::new(history, event, keys, &secrets);
                walk.visit(&serde_json::to_value(event)?, &mut Vec::new());
                walk.search_texts();
                all.payloads += walk.payloads;
                all.findings.append(&mut walk.findings);
            }
        }
        Ok(all)
    }

    /// How many payloads were looked at.
    pub fn payloads(&self) -> usize {
        self.payloads
    }

    /// The first finding, and how many there are besides.
    pub fn first(&self) -> Option<(&Finding, usize)> {
        // One that can be read says most.
        let readable = self.findings.iter().find(|finding| finding.fault.shown().is_some());
        Some((readable.or(self.findings.first())?, self.findings.len() - 1))
    }
}

impl Finding {
    /// Whether data can be read that should be encrypted.
    pub fn is_readable(&self) -> bool {
        matches!(self.fault, Fault::NotEncrypted { .. } | Fault::Shows(_))
    }
}

impl Fault {
    fn shown(&self) -> Option<&Shown> {
        match self {
            Self::NotEncrypted { shows, .. } => shows.as_ref(),
            Self::Shows(shown) => Some(shown),
            _ => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, event, event_type, field, fault } = self;
        write!(f, "event {event} ({event_type}) of workflow {workflow}: {field} {fault}")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEncrypted { encoding, shows } => {
                write!(f, "is {encoding:?}, not \"binary/encrypted\"")?;
                shows.as_ref().map_or(Ok(()), |shown| write!(f, ", and shows {shown}"))
            }
            Self::Shows(shown) => write!(f, "shows {shown}"),
            Self::WrongKey { key, active } => {
                write!(f, "is encrypted with key {key:?}, and the active one was {active:?}")
            }
            Self::DoesNotOpen(error) => write!(f, "can't be decrypted: {error}"),
            Self::OpensToElse => f.write_str("decrypts to something other than what was encrypted"),
        }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.form)
    }
}

/// What must not be readable.
struct Secrets<'a> {
    name: &'a str,
}

impl Secrets<'_> {
    fn shown_in(&self, text: &[u8]) -> Option<Shown> {
        let printed = Printed::new(text);
        let name = printed.shows(self.name.as_bytes()).map(|form| ("the name to greet", form));
        let short = || SHORT.iter().find_map(|word| Some((*word, printed.shows_word(word)?)));
        name.or_else(short).map(|(what, form)| Shown { what, form })
    }
}

/// Goes through one event.
struct Walk<'a> {
    history: &'a History,
    event: &'a HistoryEvent,
    event_type: String,
    keys: &'a Keys,
    secrets: &'a Secrets<'a>,
    payloads: usize,
    /// Everything that is stored as it is, and where.
    texts: Vec<(String, Vec<u8>)>,
    findings: Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn new(
        history: &'a History,
        event: &'a HistoryEvent,
        keys: &'a Keys,
        secrets: &'a Secrets<'a>,
    ) -> Self {
        let event_type = name_of_type(event);
        let (texts, findings) = (Vec::new(), Vec::new());
        Self { history, event, event_type, keys, secrets, payloads: 0, texts, findings }
    }

    fn visit(&mut self, value: &Value, path: &mut Vec<String>) {
        if let Some(payload) = payload(value) {
            self.visit_payload(payload, &path.join("."));
            return;
        }
        match value {
            Value::String(text) => self.texts.push((path.join("."), text.clone().into())),
            Value::Array(all) => {
                // Bytes are an array of numbers.
                let bytes = all.iter().map_while(|number| u8::try_from(number.as_u64()?).ok());
                self.texts.push((path.join("."), bytes.collect()));
                for (at, value) in all.iter().enumerate() {
                    self.visit_within(at.to_string(), value, path);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.texts.push((path.join("."), name.clone().into()));
                    self.visit_within(name.clone(), value, path);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn visit_within(&mut self, name: String, value: &Value, path: &mut Vec<String>) {
        path.push(name);
        self.visit(value, path);
        path.pop();
    }

    fn visit_payload(&mut self, payload: Payload, path: &str) {
        self.payloads += 1;
        if let Some(fault) = self.fault_of_payload(&payload, path) {
            self.found(path, fault);
        }
        for (name, value) in payload.metadata {
            self.texts.push((format!("{path}.metadata"), name.into()));
            self.texts.push((format!("{path}.metadata"), value));
        }
    }

    /// As a rule nothing is found, and all texts together are searched faster than one after another.
    fn search_texts(&mut self) {
        let texts = mem::take(&mut self.texts);
        let together: Vec<_> = texts.iter().map(|(_, text)| &text[..]).collect();
        if self.secrets.shown_in(&together.join(&b'\n')).is_none() {
            return;
        }
        for (path, text) in texts {
            if let Some(shown) = self.secrets.shown_in(&text) {
                self.found(&path, Fault::Shows(shown));
            }
        }
    }

    fn found(&mut self, path: &str, fault: Fault) {
        self.findings.push(Finding {
            workflow: self.history.workflow_id.clone(),
            event: self.event.event_id,
            event_type: self.event_type.clone(),
            field: field(path),
            fault,
        });
    }

    fn fault_of_payload(&self, payload: &Payload, path: &str) -> Option<Fault> {
        let encoding = payload.metadata.get(ENCODING).map_or(&[][..], Vec::as_slice);
        if encoding != ENCRYPTED {
            let shows = self.secrets.shown_in(&payload.data);
            return match NOT_ENCRYPTED.iter().any(|(place, _)| path.contains(place)) {
                true => shows.map(Fault::Shows),
                false => {
                    let encoding = String::from_utf8_lossy(encoding).into_owned();
                    Some(Fault::NotEncrypted { encoding, shows })
                }
            };
        }
        let keyring = self.writers_keyring();
        let opened = match open(keyring.keys(), payload.clone()) {
            Ok(opened) => opened,
            Err(error) => return Some(Fault::DoesNotOpen(error.to_string())),
        };
        let key = payload.metadata.get(KEY_ID).map_or(&[][..], Vec::as_slice);
        let active = keyring.active().id();
        if key != active.as_bytes() {
            let key = String::from_utf8_lossy(key).into_owned();
            return Some(Fault::WrongKey { key, active: active.to_owned() });
        }
        let expected = expected(&self.history.input, &self.event_type, path)?;
        let holds = opened.metadata.get(ENCODING).is_some_and(|encoding| encoding == b"json/plain")
            && serde_json::from_slice(&opened.data).is_ok_and(|holds: Value| holds == expected);
        (!holds).then_some(Fault::OpensToElse)
    }

    /// The starter writes what a workflow starts with, and the worker everything else.
    fn writers_keyring(&self) -> &Keyring {
        match self.event_type == "WorkflowExecutionStarted" {
            true => &self.keys.starter,
            false => &self.keys.worker,
        }
    }
}

/// What a payload at this place holds, where that is known.
fn expected(input: &GreetingInput, event_type: &str, path: &str) -> Option<Value> {
    let activity = input.activity();
    let value = match (event_type, path.rsplit_once("Attributes.").map_or(path, |(_, field)| field))
    {
        ("WorkflowExecutionStarted", "input.payloads.0") => serde_json::to_value(input),
        ("ActivityTaskScheduled", "input.payloads.0") => serde_json::to_value(&activity),
        ("ActivityTaskCompleted", "result.payloads.0") => serde_json::to_value(activity.result()),
        ("WorkflowExecutionCompleted", "result.payloads.0") => serde_json::to_value(input.result()),
        (_, field) if field.ends_with("applicationFailureInfo.details.payloads.0") => {
            serde_json::to_value(activity.details())
        }
        _ => return None,
    };
    value.ok()
}

/// The payload that this is in JSON, if it is one. No other message has these fields only.
fn payload(value: &Value) -> Option<Payload> {
    let fields = value.as_object().filter(|fields| !fields.is_empty())?;
    let known = ["metadata", "data", "externalPayloads"];
    if !fields.keys().all(|name| known.contains(&name.as_str())) {
        return None;
    }
    serde_json::from_value(value.clone()).ok()
}

/// `EVENT_TYPE_ACTIVITY_TASK_SCHEDULED` as people write it.
fn name_of_type(event: &HistoryEvent) -> String {
    let words = event.event_type().as_str_name().trim_start_matches("EVENT_TYPE_").split('_');
    words
        .flat_map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            [first.to_owned(), rest.to_ascii_lowercase()]
        })
        .collect()
}

/// A place in an event, without what only the encoding in JSON adds.
fn field(path: &str) -> String {
    let shown = path.split('.').filter(|part| {
        !["attributes", "payloads", "failure_info"].contains(part)
            && !part.ends_with("EventAttributes")
    });
    shown.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use codec_kit::{PayloadConversionError, seal};
    use futures::{FutureExt, future::BoxFuture};
    use greeting::workflows::Failing;
    use temporalio_common::{
        payload_visitor::{AsyncPayloadVisitor, PayloadField, PayloadFieldData, PayloadVisitable},
        protos::temporal::api::{
            common::v1::{Header, Memo, Payloads, SearchAttributes},
            enums::v1::EventType,
            failure::v1::{
                ApplicationFailureInfo, CanceledFailureInfo, Failure, TimeoutFailureInfo,
                failure::FailureInfo,
            },
            history::v1::{history_event::Attributes, *},
            sdk::v1::UserMetadata,
        },
    };

    use super::*;
    // And not the message of that name.
    use crate::experiment::History;

    const NAME: &str = "Ada 6b21f0c49d83a7e5";

    fn history(events: Vec<HistoryEvent>) -> History {
        let input = GreetingInput {
            id: "7".into(),
            name: NAME.into(),
            activities: Some(2),
            activity_seconds: Some(0.1),
            failing: Some(Failing::Once),
        };
        History { workflow_id: "greeting-7".into(), input, events }
    }

    fn event(event_type: EventType, attributes: Attributes) -> HistoryEvent {
        HistoryEvent {
            event_id: 5,
            event_type: event_type.into(),
            attributes: Some(attributes),
            ..HistoryEvent::default()
        }
    }

    fn json(value: impl Serialize) -> Payload {
        Payload {
            metadata: [(ENCODING.to_owned(), b"json/plain".to_vec())].into(),
            data: serde_json::to_vec(&value).unwrap(),
            ..Payload::default()
        }
    }

    fn sealed(keyring: &Keyring, value: impl Serialize) -> Payload {
        seal(keyring.active(), &json(value)).unwrap()
    }

    fn payloads(payload: Payload) -> Option<Payloads> {
        Some(Payloads { payloads: vec![payload] })
    }

    fn fields(payload: Payload) -> HashMap<String, Payload> {
        [("key".to_owned(), payload)].into()
    }

    fn failure(info: FailureInfo) -> Option<Failure> {
        Some(Failure { failure_info: Some(info), ..Failure::default() })
    }

    fn details(payload: Payload) -> FailureInfo {
        FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            details: payloads(payload),
            ..Default::default()
        })
    }

    /// An event with a payload in one place, and that place.
    type Place = (&'static str, fn(Payload) -> HistoryEvent);

    /// Places of every kind; what the events have besides is empty.
    const PLACES: [Place; 17] = [
        ("input.0", |payload| {
            let input = payloads(payload);
            let attributes = ActivityTaskScheduledEventAttributes { input, ..Default::default() };
            event(
                EventType::ActivityTaskScheduled,
                Attributes::ActivityTaskScheduledEventAttributes(attributes),
            )
        }),
        ("header.fields.key", |payload| {
            let header = Some(Header { fields: fields(payload) });
            let attributes = ActivityTaskScheduledEventAttributes { header, ..Default::default() };
            event(
                EventType::ActivityTaskScheduled,
                Attributes::ActivityTaskScheduledEventAttributes(attributes),
            )
        }),
        ("last_failure.encodedAttributes", |payload| {
            let failure = Failure { encoded_attributes: Some(payload), ..Default::default() };
            let attributes = ActivityTaskStartedEventAttributes {
                last_failure: Some(failure),
                ..Default::default()
            };
            event(
                EventType::ActivityTaskStarted,
                Attributes::ActivityTaskStartedEventAttributes(attributes),
            )
        }),
        ("result.0", |payload| {
            let result = payloads(payload);
            let attributes = ActivityTaskCompletedEventAttributes { result, ..Default::default() };
            event(
                EventType::ActivityTaskCompleted,
                Attributes::ActivityTaskCompletedEventAttributes(attributes),
            )
        }),
        ("failure.applicationFailureInfo.details.0", |payload| {
            let failure = failure(details(payload));
            let attributes = ActivityTaskFailedEventAttributes { failure, ..Default::default() };
            event(
                EventType::ActivityTaskFailed,
                Attributes::ActivityTaskFailedEventAttributes(attributes),
            )
        }),
        ("failure.timeoutFailureInfo.lastHeartbeatDetails.0", |payload| {
            let info = TimeoutFailureInfo {
                last_heartbeat_details: payloads(payload),
                ..Default::default()
            };
            let failure = failure(FailureInfo::TimeoutFailureInfo(info));
            let attributes = ActivityTaskTimedOutEventAttributes { failure, ..Default::default() };
            event(
                EventType::ActivityTaskTimedOut,
                Attributes::ActivityTaskTimedOutEventAttributes(attributes),
            )
        }),
        ("failure.canceledFailureInfo.details.0", |payload| {
            let info = CanceledFailureInfo { details: payloads(payload), ..Default::default() };
            let failure = failure(FailureInfo::CanceledFailureInfo(info));
            let attributes = WorkflowTaskFailedEventAttributes { failure, ..Default::default() };
            event(
                EventType::WorkflowTaskFailed,
                Attributes::WorkflowTaskFailedEventAttributes(attributes),
            )
        }),
        ("failure.cause.cause.applicationFailureInfo.details.0", |payload| {
            let cause = |cause: Option<Failure>| {
                Some(Failure { cause: cause.map(Box::new), ..Failure::default() })
            };
            let failure = cause(cause(failure(details(payload))));
            let attributes =
                WorkflowExecutionFailedEventAttributes { failure, ..Default::default() };
            event(
                EventType::WorkflowExecutionFailed,
                Attributes::WorkflowExecutionFailedEventAttributes(attributes),
            )
        }),
        ("result.0", |payload| {
            let result = payloads(payload);
            let attributes =
                WorkflowExecutionCompletedEventAttributes { result, ..Default::default() };
            event(
                EventType::WorkflowExecutionCompleted,
                Attributes::WorkflowExecutionCompletedEventAttributes(attributes),
            )
        }),
        ("details.0", |payload| {
            let details = payloads(payload);
            let attributes =
                WorkflowExecutionCanceledEventAttributes { details, ..Default::default() };
            event(
                EventType::WorkflowExecutionCanceled,
                Attributes::WorkflowExecutionCanceledEventAttributes(attributes),
            )
        }),
        ("input.0", |payload| {
            let input = payloads(payload);
            let attributes =
                WorkflowExecutionSignaledEventAttributes { input, ..Default::default() };
            event(
                EventType::WorkflowExecutionSignaled,
                Attributes::WorkflowExecutionSignaledEventAttributes(attributes),
            )
        }),
        ("upserted_memo.fields.key", |payload| {
            let upserted_memo = Some(Memo { fields: fields(payload) });
            let attributes =
                WorkflowPropertiesModifiedEventAttributes { upserted_memo, ..Default::default() };
            event(
                EventType::WorkflowPropertiesModified,
                Attributes::WorkflowPropertiesModifiedEventAttributes(attributes),
            )
        }),
        ("details.data.0", |payload| {
            let details = payloads(payload).map(|payloads| ("data".to_owned(), payloads));
            let attributes = MarkerRecordedEventAttributes {
                details: details.into_iter().collect(),
                ..Default::default()
            };
            event(EventType::MarkerRecorded, Attributes::MarkerRecordedEventAttributes(attributes))
        }),
        ("user_metadata.summary", |payload| HistoryEvent {
            user_metadata: Some(UserMetadata { summary: Some(payload), details: None }),
            ..event(
                EventType::TimerStarted,
                Attributes::TimerStartedEventAttributes(Default::default()),
            )
        }),
        ("input", |payload| {
            let attributes = NexusOperationScheduledEventAttributes {
                input: Some(payload),
                ..Default::default()
            };
            event(
                EventType::NexusOperationScheduled,
                Attributes::NexusOperationScheduledEventAttributes(attributes),
            )
        }),
        ("input.0", |payload| {
            let attributes = StartChildWorkflowExecutionInitiatedEventAttributes {
                input: payloads(payload),
                ..Default::default()
            };
            event(
                EventType::StartChildWorkflowExecutionInitiated,
                Attributes::StartChildWorkflowExecutionInitiatedEventAttributes(attributes),
            )
        }),
        ("memo.fields.key", |payload| {
            let attributes = WorkflowExecutionContinuedAsNewEventAttributes {
                memo: Some(Memo { fields: fields(payload) }),
                ..Default::default()
            };
            event(
                EventType::WorkflowExecutionContinuedAsNew,
                Attributes::WorkflowExecutionContinuedAsNewEventAttributes(attributes),
            )
        }),
    ];

    /// What an event with a result holds, of which nothing is known.
    fn signal(payload: Payload) -> HistoryEvent {
        PLACES[10].1(payload)
    }

    fn evidence(keys: &Keys, event: HistoryEvent) -> Evidence {
        Evidence::of(&[history(vec![event])], keys).unwrap()
    }

    fn findings(keys: &Keys, event: HistoryEvent) -> Vec<String> {
        evidence(keys, event).findings.iter().map(Finding::to_string).collect()
    }

    /// How many payloads the SDK itself sees in an event.
    fn seen_by_the_sdk(mut event: HistoryEvent) -> usize {
        struct Count(usize);
        impl AsyncPayloadVisitor for Count {
            fn visit<'a>(
                &'a mut self,
                field: PayloadField<'a>,
            ) -> BoxFuture<'a, Result<(), PayloadConversionError>> {
                self.0 += match field.data {
                    PayloadFieldData::Single(_) => 1,
                    PayloadFieldData::Repeated(payloads) => payloads.len(),
                    PayloadFieldData::Payloads(payloads) => payloads.payloads.len(),
                };
                async { Ok(()) }.boxed()
            }
        }
        let mut count = Count(0);
        event.visit_payloads_mut(&mut count).now_or_never().unwrap().unwrap();
        count.0
    }

    #[test]
    fn a_payload_is_found_wherever_it_is() {
        let keys = Keys::generate().unwrap();
        for (place, make) in PLACES {
            let event = make(json(NAME));
            let of = format!("event 5 ({}) of workflow greeting-7: {place}", name_of_type(&event));
            let expected = format!(
                "{of} is \"json/plain\", not \"binary/encrypted\", and shows the name to greet as text"
            );
            let evidence = evidence(&keys, event.clone());
            assert_eq!(evidence.payloads, seen_by_the_sdk(event.clone()), "{of}");
            assert_eq!(findings(&keys, event), [expected]);
            let event = make(Payload { metadata: HashMap::new(), ..json("something") });
            assert_eq!(findings(&keys, event), [format!("{of} is \"\", not \"binary/encrypted\"")]);
        }
    }

    #[test]
    fn what_is_encrypted_as_expected_is_no_finding() {
        let keys = Keys::generate().unwrap();
        let input = history(Vec::new()).input;
        let activity = input.activity();
        let written = |at: usize, value: Value| PLACES[at].1(sealed(&keys.worker, value));
        let started = WorkflowExecutionStartedEventAttributes {
            input: payloads(sealed(&keys.starter, &input)),
            search_attributes: Some(SearchAttributes { indexed_fields: fields(json("open")) }),
            ..Default::default()
        };
        let events = vec![
            event(
                EventType::WorkflowExecutionStarted,
                Attributes::WorkflowExecutionStartedEventAttributes(started),
            ),
            written(0, serde_json::to_value(&activity).unwrap()),
            written(4, activity.details().into()),
            written(3, activity.result().into()),
            written(7, activity.details().into()),
            written(8, input.result().into()),
            written(10, "whatever".into()),
        ];
        let evidence = Evidence::of(&[history(events)], &keys).unwrap();
        assert_eq!((evidence.findings, evidence.payloads), (Vec::new(), 8));
    }

    #[test]
    fn a_payload_that_holds_something_else_is_a_finding() {
        let keys = Keys::generate().unwrap();
        for at in [0, 3, 4, 7, 8] {
            let (place, make) = PLACES[at];
            let found = findings(&keys, make(sealed(&keys.worker, "Hello")));
            let [found] = &found[..] else { panic!("{place}: {found:?}") };
            assert!(
                found.ends_with("decrypts to something other than what was encrypted"),
                "{found}"
            );
        }
    }

    #[test]
    fn a_payload_under_another_key_is_a_finding() {
        let keys = Keys::generate().unwrap();
        let found = |payload| findings(&keys, signal(payload)).concat();
        let starters = found(sealed(&keys.starter, "x"));
        assert!(
            starters
                .ends_with("is encrypted with key \"starter\", and the active one was \"worker\""),
            "{starters}"
        );
        let foreign = found(sealed(&Keys::generate().unwrap().worker, "x"));
        assert!(foreign.contains("can't be decrypted: decryption with key id"), "{foreign}");
        let unknown = found(sealed(&Keyring::test_key(), "x"));
        assert!(unknown.contains("can't be decrypted: the payload is encrypted with"), "{unknown}");
        let mut changed = sealed(&keys.worker, "x");
        changed.data[20] ^= 1;
        assert!(found(changed).contains("can't be decrypted"));
    }

    #[test]
    fn plain_text_beside_payloads_is_found_in_every_form() {
        let keys = Keys::generate().unwrap();
        let reversed: String = NAME.chars().rev().collect();
        let hex: String = NAME.bytes().map(|byte| format!("{byte:02x}")).collect();
        let in_failure = |failure: Failure| {
            let failure = Some(failure);
            let attributes = WorkflowTaskFailedEventAttributes { failure, ..Default::default() };
            let attributes = Attributes::WorkflowTaskFailedEventAttributes(attributes);
            findings(&keys, event(EventType::WorkflowTaskFailed, attributes)).concat()
        };
        let message = |message: String| in_failure(Failure { message, ..Failure::default() });
        let place = "event 5 (WorkflowTaskFailed) of workflow greeting-7: failure.message shows";
        for (text, shown) in [
            (format!("can't greet {NAME}"), "the name to greet as text"),
            (
                format!("can't greet {:?}", NAME.as_bytes()),
                "the name to greet as a list of numbers",
            ),
            (hex, "the name to greet in hexadecimal"),
            (
                serde_json::to_value(json(NAME)).unwrap()["data"].to_string(),
                "the name to greet in base64",
            ),
            (reversed, "the name to greet reversed"),
            ("can't say Hello".to_owned(), "Hello as text"),
            ("SGVsbG8=".to_owned(), "Hello in base64"),
            ("olleH".to_owned(), "Hello reversed"),
        ] {
            assert_eq!(message(text), format!("{place} {shown}"));
        }
        assert_eq!(message("the key service failed (call 7)".to_owned()), "");
        let stack_trace = format!("at greet({NAME})");
        let found = in_failure(Failure { stack_trace, ..Failure::default() });
        assert!(found.ends_with("failure.stackTrace shows the name to greet as text"), "{found}");

        let mut sealed = sealed(&keys.worker, "x");
        sealed.metadata.insert("hint".to_owned(), NAME.into());
        let found = findings(&keys, signal(sealed)).concat();
        assert!(found.ends_with("input.0.metadata shows the name to greet as text"), "{found}");
        let memo = Memo { fields: [(NAME.to_owned(), self::sealed(&keys.worker, "x"))].into() };
        let attributes = WorkflowPropertiesModifiedEventAttributes {
            upserted_memo: Some(memo),
            ..Default::default()
        };
        let attributes = Attributes::WorkflowPropertiesModifiedEventAttributes(attributes);
        let found = findings(&keys, event(EventType::WorkflowPropertiesModified, attributes));
        assert!(found.concat().ends_with("fields shows the name to greet as text"), "{found:?}");
    }
}
