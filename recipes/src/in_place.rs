//! Not a fix: `block_in_place`.

use codec_kit::{CodecFuture, KeyService, Payload, codec_future, seal_all};
use tokio::task::block_in_place;

/// Panics on a `current_thread` runtime. On several threads, other Tokio tasks continue, but the rest of this one, which
/// in a worker is everything else, stands still.
pub fn encode(keys: KeyService, payloads: Vec<Payload>) -> CodecFuture {
    codec_future(async move {
        let key = block_in_place(|| keys.data_key_blocking())?;
        seal_all(&key, payloads)
    })
}
