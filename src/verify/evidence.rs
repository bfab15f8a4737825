//! What the server stores of a load: every payload of every history is encrypted as it should be, and nothing
//! of what the workflows handle can be read in plain text.
//!
//! The walk knows no message by name: it goes through each event as JSON, so a payload in a place that
//! nobody thought of is found as well.

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
    /// It decrypts to something else than what the workflow or activity wrote.
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
            Self::OpensToElse => f.write_str("decrypts to something else than what was encrypted"),
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
        let name = printed.shows(self.name.as_bytes()).map(|form| ("the name", form));
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
