//! Clients of AWS KMS, one that blocks and one that waits asynchronously, and data keys that they unwrap.
//!
//! Each feature brings one client, and `kms` both:
//!
//! | feature | what it brings | over |
//! | --- | --- | --- |
//! | `kms-blocking` | `BlockingClient`, `wrap` | ureq |
//! | `kms-async` | `AsyncClient` | reqwest |
//! | `kms` | both, `KmsKeys`, `KeyService::with_kms` | |
//!
//! Both reuse connections, have a time limit for a connection and one for the whole call, and ask again at
//! most twice, after a pause of random length, when the service throttles, fails or can't be reached. Other
//! errors would come back the same, so they are returned at once. Dropping a call of the async client closes
//! its connection.
//!
//! # What is secret
//!
//! Data keys are wiped when they are dropped, and no error or log has one. The buffers of the HTTP and TLS
//! libraries, which the answer goes through, are not wiped.

#[cfg(feature = "kms-async")]
mod asynchronous;
#[cfg(feature = "kms-blocking")]
mod blocking;
mod error;
#[cfg(all(feature = "kms-async", feature = "kms-blocking"))]
mod keys;
mod retry;
mod settings;
mod wire;
#[cfg(feature = "kms-blocking")]
mod wrap;

#[cfg(feature = "kms-async")]
pub use asynchronous::AsyncClient;
#[cfg(feature = "kms-blocking")]
pub use blocking::BlockingClient;
pub use error::KmsError;
#[cfg(all(feature = "kms-async", feature = "kms-blocking"))]
pub use keys::KmsKeys;
pub use retry::Attempts;
pub use settings::{Settings, SettingsError};
pub use sigv4::Credentials;
pub use wire::{Context, GeneratedKey, Purpose, check_answer};
#[cfg(feature = "kms-blocking")]
pub use wrap::{WrapError, new_wrapped_key, wrap};
