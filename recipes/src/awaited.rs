//! A client with an async call: await it. The wait needs no thread.

use codec_kit::{CodecFuture, KeyService, Payload, codec_future, seal_all};

/// Encrypts every payload with the key that the client returns.
pub fn encode(keys: KeyService, payloads: Vec<Payload>) -> CodecFuture {
    codec_future(async move {
        let key = keys.data_key().await?;
        seal_all(&key, payloads)
    })
}
