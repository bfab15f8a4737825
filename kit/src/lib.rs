//! Encrypting payload codecs for Temporal workers, and the instruments to see what they cost.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`payload`](seal) | [`seal`] and [`open`]: one Payload to one encrypted Payload and back |
//! | [`encodings`](COMPRESSED) | what Go's sample compressed before it encrypted is inflated, up to a bound |
//! | [`keyring`](Keyring) | [`DataKey`], [`DataKeys`], [`Keyring`]: keys by id, one active, wiped from memory when dropped |
//! | [`key_service`](KeyService) | [`KeyService`]: the slow dependency, with a blocking call and an async one |
//! | [`wrapped`](WrappedKeyring) | [`WrappedKeyring`]: data keys that a key management service has encrypted |
//! | `kms` | with the features `kms-blocking` and `kms-async`: clients of AWS KMS, and a [`KeyService`] over them |
//! | [`observed`](Observed) | [`Observed`]: wraps any codec and tells blocking from merely slow |
//! | [`watchdog`](Watchdog) | [`Watchdog`]: names the call that blocks a thread, while it is still blocking |
//! | [`timeline`](LongPoll) | [`LongPoll`]: the latest polls of 1 ms and longer, and [those under way](polls_under_way) |
//! | [`failures`](EncodedFailures) | [`EncodedFailures`]: messages and stack traces of failures, encrypted like payloads |
//! | [`codec`](codec_future) | what a codec's few lines need: [`CodecFuture`], [`AnyCodec`], [`Error`] |
//! | [`vectors`] | payloads made by another implementation, to test a codec against |
//!
//! # Encrypt the payloads of a worker or a client
//!
//! This codec waits for its data key without holding a thread, seals with it, and is observed:
//!
//! ```
//! use codec_kit::{
//!     CodecFuture, DataKeys, EncodedFailures, KeyService, Keyring, Observed, Payload, PayloadCodec,
//!     SerializationContextData, codec_future, key_ids, open_all, seal_all,
//! };
//! use temporalio_client::ClientOptions;
//! use temporalio_common::data_converters::{DataConverter, PayloadConverter};
//!
//! struct Encryption {
//!     keys: KeyService,
//! }
//!
//! impl PayloadCodec for Encryption {
//!     fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
//!         let keys = self.keys.clone();
//!         codec_future(async move {
//!             let key = keys.data_key().await?;
//!             seal_all(&key, payloads)
//!         })
//!     }
//!
//!     fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
//!         let keys = self.keys.clone();
//!         codec_future(async move {
//!             let mut found = DataKeys::default();
//!             for id in key_ids(&payloads) {
//!                 found.insert(keys.data_key_by_id(&id).await?);
//!             }
//!             open_all(&found, payloads)
//!         })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keyring = Keyring::parse("2026=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", None)?;
//! let codec = Observed::new(Encryption { keys: KeyService::new(keyring) });
//! let figures = codec.figures();
//! // Messages and stack traces of failures are encrypted as well.
//! let failures = EncodedFailures::default();
//! let converter = DataConverter::new(PayloadConverter::default(), failures, codec);
//!
//! // A worker takes its data converter from its client.
//! let options = ClientOptions::new("default").data_converter(converter.clone()).build();
//! # let _ = options;
//!
//! let context = SerializationContextData::None;
//! let sealed = converter.to_payload(&context, &"Hello, World".to_string()).await?;
//! assert_eq!(sealed.metadata["encoding"], b"binary/encrypted");
//! let greeting: String = converter.from_payload(&context, sealed).await?;
//! assert_eq!(greeting, "Hello, World");
//! assert_eq!(figures.encode().calls, 1);
//! # Ok(())
//! # }
//! ```

mod codec;
mod encodings;
mod failures;
mod key_service;
mod keyring;
#[cfg(feature = "_kms")]
pub mod kms;
mod observed;
mod payload;
mod timeline;
pub mod vectors;
mod watchdog;
mod wrapped;

pub use codec::{AnyCodec, CodecFuture, Error, codec_future, open_all, seal_all};
pub use encodings::{COMPRESSED, MOST_INFLATED, MayInflate, inflating_within};
pub use failures::EncodedFailures;
pub use key_service::{
    Calls, Deal, KeyClient, KeyRequest, KeyService, KeyServiceError, KeySource, Stalls,
};
pub use keyring::{
    ACTIVE_KEY_VARIABLE, DataKey, DataKeys, KEY_FILE_VARIABLE, KEYS_VARIABLE, Keyring, KeyringError,
};
pub use observed::{CallFigures, Figures, Observed};
pub use payload::{ENCODING, ENCRYPTED, KEY_ID, OpenError, SealError, key_ids, open, seal};
pub use timeline::{LongPoll, polls_under_way};
pub use watchdog::{Stall, Watchdog};
pub use wrapped::{AnyKeyring, WrappedKeyring};

pub use temporalio_common::{
    data_converters::{PayloadCodec, PayloadConversionError, SerializationContextData},
    protos::temporal::api::common::v1::Payload,
};
