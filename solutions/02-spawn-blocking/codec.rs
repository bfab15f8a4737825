//! Encrypts every payload with the data key that the key service hands out.

use codec_kit::{
    CodecFuture, KeyService, Observed, Payload, PayloadCodec, SerializationContextData,
    codec_future, open_all, seal_all,
};
use tokio::task::spawn_blocking;

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
            let key = spawn_blocking(move || keys.data_key_blocking()).await??;
            seal_all(&key, payloads)
        })
    }

    fn decode(&self, _: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        let keys = self.keys.clone();
        codec_future(async move { open_all(keys.keyring(), payloads) })
    }
}
