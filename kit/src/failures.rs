//! Messages and stack traces of failures, which go through the codec like payloads.

use serde::{Deserialize, Serialize};
use temporalio_common::{
    data_converters::{
        DefaultFailureConverter, FailureConverter, PayloadConversionError, PayloadConverter,
        SerializationContextData,
    },
    error::{IncomingError, OutgoingError},
    protos::temporal::api::{common::v1::Payload, failure::v1::Failure},
};

use crate::payload::ENCODING;

/// What the server shows in place of a message. All SDKs write this.
const ENCODED: &str = "Encoded failure";

/// Moves the message and the stack trace of each failure, and of its causes, into a payload, which the
/// codec encrypts. By default the server stores them in plain text.
///
/// `DefaultFailureConverter::new(true)` of SDK 1.1 does that, too, but loses messages: a workflow that
/// fails because its activity failed encodes the activity's failure again, and what it encodes is
/// "Encoded failure". This one decodes all causes before anyone uses them. The payload has the form that
/// all SDKs use.
pub struct EncodedFailures(DefaultFailureConverter);

#[derive(Serialize, Deserialize)]
struct Attributes {
    message: String,
    #[serde(default)]
    stack_trace: String,
}

impl Default for EncodedFailures {
    fn default() -> Self {
        Self(DefaultFailureConverter::new(false))
    }
}

impl FailureConverter for EncodedFailures {
    fn to_failure(
        &self,
        error: OutgoingError,
        converter: &PayloadConverter,
        context: &SerializationContextData,
    ) -> Failure {
        let mut failure = self.0.to_failure(error, converter, context);
        each(&mut failure, encode);
        failure
    }

    fn to_error(
        &self,
        mut failure: Failure,
        converter: &PayloadConverter,
        context: &SerializationContextData,
    ) -> Result<IncomingError, PayloadConversionError> {
        each(&mut failure, decode);
        self.0.to_error(failure, converter, context)
    }
}

/// Does that to a failure and to all its causes.
fn each(failure: &mut Failure, change: fn(&mut Failure)) {
    let mut next = Some(failure);
    while let Some(failure) = next {
        change(failure);
        next = failure.cause.as_deref_mut();
    }
}

fn encode(failure: &mut Failure) {
    // One that could not be decoded stays as it is.
    if failure.encoded_attributes.is_some() {
        return;
    }
    let attributes = Attributes {
        message: std::mem::replace(&mut failure.message, ENCODED.to_owned()),
        stack_trace: std::mem::take(&mut failure.stack_trace),
    };
    let data = serde_json::to_vec(&attributes).expect("two strings have a form in JSON");
    let metadata = [(ENCODING.to_owned(), b"json/plain".to_vec())].into();
    failure.encoded_attributes = Some(Payload { metadata, data, ..Payload::default() });
}

fn decode(failure: &mut Failure) {
    let Some(payload) = &failure.encoded_attributes else { return };
    // Another program may have written something else there; then its message is used as it is.
    if let Ok(attributes) = serde_json::from_slice::<Attributes>(&payload.data) {
        failure.message = attributes.message;
        failure.stack_trace = attributes.stack_trace;
        failure.encoded_attributes = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Failure {
        let cause = Failure {
            message: "the disk is full".into(),
            stack_trace: "at line 7".into(),
            ..Failure::default()
        };
        Failure {
            message: "activity failed".into(),
            cause: Some(cause.into()),
            ..Failure::default()
        }
    }

    #[test]
    fn no_message_is_left_and_all_come_back() {
        let mut failure = chain();
        each(&mut failure, encode);
        let cause = failure.cause.as_deref().unwrap();
        for failure in [&failure, cause] {
            assert_eq!((&*failure.message, &*failure.stack_trace), (ENCODED, ""));
            assert!(failure.encoded_attributes.is_some());
        }
        // Encoded once more, nothing is lost.
        each(&mut failure, encode);
        each(&mut failure, decode);
        assert_eq!(failure, chain());
    }

    #[test]
    fn what_another_program_wrote_stays() {
        let payload = Payload { data: b"else".to_vec(), ..Payload::default() };
        let mut failure = chain();
        failure.encoded_attributes = Some(payload);
        let before = failure.clone();
        decode(&mut failure);
        encode(&mut failure);
        assert_eq!(failure, before);
    }
}
