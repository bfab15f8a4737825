//! What a codec's few lines need: one error type for `?`, and the types that the SDK requires.

use std::sync::Arc;

use futures::{FutureExt, TryFutureExt, future::BoxFuture};

use crate::{
    DataKey, DataKeys, KeyServiceError, MOST_INFLATED, OpenError, Payload, PayloadCodec,
    PayloadConversionError, SealError, SerializationContextData,
    payload::{open_within, seal_in_place},
};

/// What [`PayloadCodec::encode`] and [`PayloadCodec::decode`] return.
pub type CodecFuture = BoxFuture<'static, Result<Vec<Payload>, PayloadConversionError>>;

/// Whatever can go wrong in a codec. The SDK fails the workflow task or the activity with this error, the
/// server retries it, and no work is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key service gave no data key.
    #[error(transparent)]
    KeyService(#[from] KeyServiceError),
    /// A payload could not be encrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A payload could not be decrypted.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A task or a blocking call that the codec waited for panicked or was cancelled.
    #[error("the task that waited for the key did not finish: {0}")]
    Join(#[from] tokio::task::JoinError),
}

impl From<Error> for PayloadConversionError {
    fn from(error: Error) -> Self {
        Self::EncodingError(Box::new(error))
    }
}

/// Boxes a codec's work as the SDK wants it, with [`Error`] turned into the SDK's own.
///
/// The work does not start before the SDK polls the future. Code that runs before this call runs on the
/// caller's thread and holds it.
pub fn codec_future(
    work: impl Future<Output = Result<Vec<Payload>, Error>> + Send + 'static,
) -> CodecFuture {
    work.err_into().boxed()
}

/// Seals every payload with `key`, in order, each in the buffer that its data is in. All or none.
///
/// # Errors
/// The first [`SealError`].
pub fn seal_all(key: &DataKey, payloads: Vec<Payload>) -> Result<Vec<Payload>, Error> {
    payloads.into_iter().map(|payload| Ok(seal_in_place(key, payload)?)).collect()
}

/// Opens every payload, in order. All or none; a payload that is not encrypted stays as it is. Compressed ones
/// inflate to at most [`MOST_INFLATED`] bytes, all together.
///
/// # Errors
/// The first [`OpenError`].
pub fn open_all(keys: &DataKeys, payloads: Vec<Payload>) -> Result<Vec<Payload>, Error> {
    let mut left = MOST_INFLATED;
    payloads.into_iter().map(|payload| Ok(open_within(keys, payload, &mut left)?)).collect()
}

/// Any codec, boxed: the SDK's data converter takes a type, and which codec runs is known only at
/// run time.
#[derive(Clone)]
pub struct AnyCodec(Arc<dyn PayloadCodec + Send + Sync>);

impl AnyCodec {
    /// Boxes `codec`.
    pub fn new(codec: impl PayloadCodec + Send + Sync + 'static) -> Self {
        Self(Arc::new(codec))
    }
}

impl PayloadCodec for AnyCodec {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.0.encode(context, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.0.decode(context, payloads)
    }
}
