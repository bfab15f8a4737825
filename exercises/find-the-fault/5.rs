//! Encrypts every payload with the data key that the key service hands out, and decrypts with those
//! that the payloads name.

use codec_kit::{
    CodecFuture, DataKeys, KeyService, Observed, Payload, PayloadCodec, SerializationContextData,
    codec_future, key_ids, open_all, seal_all,
};

pub fn codec(keys: KeyService) -> impl PayloadCodec {
    Observed::new(Encryption { keys })
}

struct Encryption {
    keys: KeyService,
}

impl PayloadCodec for Encryption {
    fn encode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keys = self.keys.clone();
        codec_future(async move {
            let Ok(key) = keys.data_key().await else { return Ok(payloads) };
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
