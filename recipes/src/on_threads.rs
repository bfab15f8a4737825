//! A client that can only block: call it on another thread, and await that.

use codec_kit::{CodecFuture, KeyService, Payload, codec_future, seal_all};
use tokio::task::spawn_blocking;

/// Encrypts every payload with the key that the client returns.
pub fn encode(keys: KeyService, payloads: Vec<Payload>) -> CodecFuture {
    codec_future(async move {
        let key = spawn_blocking(move || keys.data_key_blocking()).await??;
        seal_all(&key, payloads)
    })
}
