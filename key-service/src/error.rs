//! KMS's errors: a name that programs read, a message for people, and a status.

use std::fmt;

use serde::Serialize;
use sigv4::Refusal;

/// The name of an error, as KMS spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The key can't be used by this caller, or does not exist.
    AccessDenied,
    /// The key is disabled.
    Disabled,
    /// The signature can't be read.
    IncompleteSignature,
    /// The ciphertext belongs to another key.
    IncorrectKey,
    /// The ciphertext is damaged, or has another encryption context.
    InvalidCiphertext,
    /// The marker of a list was not made here.
    InvalidMarker,
    /// The signature is wrong.
    InvalidSignature,
    /// The service failed.
    Internal,
    /// There is no signature.
    MissingAuthenticationToken,
    /// There is no such key.
    NotFound,
    /// The request is no JSON of the right shape.
    Serialization,
    /// Too many calls.
    Throttling,
    /// KMS has no such operation, or this service does not.
    UnknownOperation,
    /// The access key is not known.
    UnrecognizedClient,
    /// KMS does that, this service does not.
    UnsupportedOperation,
    /// A value is missing or out of range.
    Validation,
}

impl Kind {
    /// As in `__type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDeniedException",
            Self::Disabled => "DisabledException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::InvalidCiphertext => "InvalidCiphertextException",
            Self::InvalidMarker => "InvalidMarkerException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::Internal => "KMSInternalException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::NotFound => "NotFoundException",
            Self::Serialization => "SerializationException",
            Self::Throttling => "ThrottlingException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::UnsupportedOperation => "UnsupportedOperationException",
            Self::Validation => "ValidationException",
        }
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Internal => 500,
            Self::Disabled => 409,
            _ => 400,
        }
    }
}

/// An error that a call is answered with. Its message quotes no key, no plaintext and no signature.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// Its name.
    pub kind: Kind,
    message: String,
}

impl ApiError {
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string() }
    }

    /// As KMS writes it.
    pub fn json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Shape<'a> {
            __type: &'a str,
            message: &'a str,
        }
        let shape = Shape { __type: self.kind.name(), message: &self.message };
        // Two strings are always JSON.
        serde_json::to_vec(&shape).unwrap_or_default()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Missing => Kind::MissingAuthenticationToken,
            Refusal::Incomplete(_) => Kind::IncompleteSignature,
            Refusal::UnknownKey => Kind::UnrecognizedClient,
            Refusal::WrongScope { .. } | Refusal::Skewed { .. } | Refusal::Mismatch => {
                Kind::InvalidSignature
            }
        };
        Self::new(kind, refusal)
    }
}
