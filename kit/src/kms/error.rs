//! Why a key management service gave no answer, or refused.

use std::{error::Error, io, time::Duration};

/// A call that failed. Its message has neither a key nor a plaintext.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// The service answered with an error.
    #[error("{operation} was refused: {name} ({message}){}{}", hint(name), times(*attempts))]
    Refused {
        /// Such as `Decrypt`.
        operation: &'static str,
        /// Such as `AccessDeniedException`; `HTTP 502` where something else than KMS answered.
        name: String,
        /// What it says.
        message: String,
        /// The HTTP status.
        status: u16,
        /// How often it was asked.
        attempts: u32,
    },
    /// There was no connection, or it ended before the answer was there.
    #[error("{operation} got no answer from {endpoint}: {reason}{}", times(*attempts))]
    NoAnswer {
        /// Such as `Decrypt`.
        operation: &'static str,
        /// The service's address.
        endpoint: String,
        /// What happened.
        reason: String,
        /// Whether asking again may help.
        transient: bool,
        /// How often it was asked.
        attempts: u32,
    },
    /// The time for the whole call was over.
    #[error(
        "{operation} got no answer from {endpoint} within {} s{}",
        timeout.as_secs_f64(),
        times(*attempts)
    )]
    TooSlow {
        /// Such as `Decrypt`.
        operation: &'static str,
        /// The service's address.
        endpoint: String,
        /// The limit, for all attempts together.
        timeout: Duration,
        /// How often it was asked.
        attempts: u32,
    },
    /// The answer is not what KMS writes.
    #[error("{operation} got an answer that can't be used: {reason}")]
    BadAnswer {
        /// Such as `Decrypt`.
        operation: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What to do about the errors whose fix is not in their own message.
fn hint(name: &str) -> &'static str {
    match name {
        "UnrecognizedClientException" | "InvalidClientTokenId" => {
            "; check AWS_ACCESS_KEY_ID and AWS_SESSION_TOKEN"
        }
        "InvalidSignatureException" => {
            "; check AWS_SECRET_ACCESS_KEY, AWS_REGION and this machine's clock"
        }
        "ExpiredTokenException" => "; fetch new temporary credentials",
        "AccessDeniedException" => "; check the key's policy, and that the key still exists",
        "DisabledException" => "; enable the key again",
        "NotFoundException" => "; check the key's id and AWS_REGION",
        "InvalidCiphertextException" => {
            "; the wrapped key is damaged, or was wrapped under another id or by another service"
        }
        _ => "",
    }
}

fn times(attempts: u32) -> String {
    match attempts {
        0 | 1 => String::new(),
        attempts => format!("; asked {attempts} times"),
    }
}

impl KmsError {
    /// The name of the service's error, if it answered with one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Refused { name, .. } => Some(name),
            _ => None,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Refused { name, status, .. } => {
                let throttled =
                    ["ThrottlingException", "ThrottledException", "TooManyRequestsException"];
                *status >= 500 || *status == 429 || throttled.contains(&name.as_str())
            }
            Self::NoAnswer { transient, .. } => *transient,
            // The limit is for all attempts, and a bad answer is no accident.
            Self::TooSlow { .. } | Self::BadAnswer { .. } => false,
        }
    }

    pub(super) fn after(mut self, made: u32) -> Self {
        match &mut self {
            Self::Refused { attempts, .. }
            | Self::NoAnswer { attempts, .. }
            | Self::TooSlow { attempts, .. } => *attempts = made,
            Self::BadAnswer { .. } => {}
        }
        self
    }
}

/// Whether TLS is what failed: a certificate that is not trusted, say. Another attempt would see the same
/// one.
pub(super) fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // The source of an io::Error is not the error inside of it but that one's source.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>()
        || inner.is_some_and(|inner| is_tls(inner))
        || error.source().is_some_and(is_tls)
}
