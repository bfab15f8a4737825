//! Encrypts every payload with the data key that the key service hands out, and decrypts with those
//! that the payloads name. Keys are kept for as long as they may be used.

use std::sync::Arc;

use codec_kit::{
    CodecFuture, DataKey, DataKeys, KeyService, KeyServiceError, Observed, Payload, PayloadCodec,
    SerializationContextData, codec_future, key_ids, open_all, seal_all,
};
use moka::future::Cache;

pub fn codec(keys: KeyService) -> impl PayloadCodec {
    Observed::new(Encryption { keys: CachedKeys::new(keys) })
}

struct Encryption {
    keys: CachedKeys,
}

impl PayloadCodec for Encryption {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keys = self.keys.clone();
        codec_future(async move {
            let key = keys.data_key().await?;
            seal_all(&key, payloads)
        })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keys = self.keys.clone();
        codec_future(async move {
            let mut found = DataKeys::default();
            for id in key_ids(&payloads) {
                found.insert(keys.data_key_by_id(&id).await?);
            }
            open_all(&found, payloads)
        })
    }
}

/// The key service, asked once for each key in the key's lifetime.
#[derive(Clone)]
struct CachedKeys {
    keys: KeyService,
    /// By id; `None` is the key to seal with, whatever its id.
    cache: Cache<Option<String>, DataKey>,
}

impl CachedKeys {
    fn new(keys: KeyService) -> Self {
        let cache = Cache::builder().max_capacity(1000).time_to_idle(keys.key_lifetime()).build();
        Self { keys, cache }
    }

    async fn data_key(&self) -> Result<DataKey, KeyServiceError> {
        self.at_hand_or(None, self.keys.data_key()).await
    }

    async fn data_key_by_id(&self, id: &str) -> Result<DataKey, KeyServiceError> {
        self.at_hand_or(Some(id.to_owned()), self.keys.data_key_by_id(id)).await
    }

    /// All callers that need a key that is not cached wait for one request. They all get its error,
    /// which is not cached.
    async fn at_hand_or(
        &self,
        key: Option<String>,
        call: impl Future<Output = Result<DataKey, KeyServiceError>>,
    ) -> Result<DataKey, KeyServiceError> {
        self.cache.try_get_with(key, call).await.map_err(Arc::unwrap_or_clone)
    }
}
