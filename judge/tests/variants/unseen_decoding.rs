//! Codecs that decode wrongly, or whose deadlines and retries are wrong.

use std::{
    sync::{Arc, Mutex as StdMutex},
    time::{Duration, Instant},
};

use codec_kit::{
    AnyCodec, DataKeys, ENCODING, ENCRYPTED, KEY_ID, KeyService, Payload, key_ids, open, open_all,
    seal, seal_all,
};
use judge::promises::{PASSES_ERRORS_ON, PAYLOADS, WAITS_FOR_KEY, WIRE_FORMAT};
use tokio::time::{sleep, timeout};

use super::{good, lock};
use crate::{
    Done, Variant,
    Verdict::{Wrong, WrongSomehow},
    both, codec, encodes, opens,
};

pub(super) fn variants() -> Vec<Variant> {
    [several_payloads(), one_payload(), deadlines_and_retries()].into_iter().flatten().collect()
}

/// They treat a call's payloads alike, whatever each of them is.
fn several_payloads() -> Vec<Variant> {
    vec![
        Variant {
            name: "decode leaves a call alone whose first payload is not encrypted",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    if payloads.first().is_some_and(is_encrypted) {
                        return opens(keys, payloads).await;
                    }
                    Ok(payloads)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode refuses a call whose payloads are not all encrypted",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    let encrypted = payloads.iter().filter(|payload| is_encrypted(payload)).count();
                    if encrypted != 0 && encrypted != payloads.len() {
                        return Err("a mixture of encrypted payloads and others".into());
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "decode asks for the first payload's key only",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    let ids = key_ids(&payloads[..payloads.len().min(1)]);
                    let mut found = DataKeys::default();
                    for id in ids {
                        found.insert(keys.data_key_by_id(&id).await?);
                    }
                    Ok(open_all(&found, payloads)?)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "decode passes on a tampered payload beside good ones",
            make: |keys| some_open(keys, |payload| Some(payload.clone())),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode drops a tampered payload beside good ones",
            make: |keys| some_open(keys, |_| None),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode returns an empty payload for a tampered one beside good ones",
            make: |keys| some_open(keys, |_| Some(Payload::default())),
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode passes on a payload of an unknown key beside good ones",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    let mut found = DataKeys::default();
                    let ids = key_ids(&payloads);
                    let mut error = None;
                    for id in &ids {
                        match keys.data_key_by_id(id).await {
                            Ok(key) => drop(found.insert(key)),
                            Err(unknown) => error = Some(unknown),
                        }
                    }
                    if let (Some(error), 0) = (error, found.ids().count()) {
                        return Err(error.into());
                    }
                    let opened = payloads.into_iter().map(|payload| {
                        let known = key_ids(std::slice::from_ref(&payload))
                            .first()
                            .is_none_or(|id| found.get(id).is_some());
                        if known { Ok(open(&found, payload)?) } else { Ok(payload) }
                    });
                    opened.collect()
                })
            },
            // It hides an error of the key service, too.
            expected: both(WrongSomehow),
        },
        Variant {
            name: "decode sorts a call's payloads by their keys",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    let mut opened = Vec::new();
                    let mut rest = payloads;
                    for id in key_ids(&rest) {
                        let (of_it, others) = rest.into_iter().partition(|payload| {
                            payload
                                .metadata
                                .get(KEY_ID)
                                .is_some_and(|named| *named == id.as_bytes())
                        });
                        opened.extend(opens(keys.clone(), of_it).await?);
                        rest = others;
                    }
                    opened.extend(opens(keys, rest).await?);
                    Ok(opened)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode drops a payload that the call has twice",
            make: |keys| {
                decodes(keys, |keys, mut payloads| async move {
                    payloads.dedup();
                    opens(keys, payloads).await
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
    ]
}

/// They treat one payload wrongly.
fn one_payload() -> Vec<Variant> {
    vec![
        Variant {
            name: "decode panics on a tampered payload",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    let mut found = DataKeys::default();
                    for id in key_ids(&payloads) {
                        found.insert(keys.data_key_by_id(&id).await?);
                    }
                    Ok(open_all(&found, payloads).expect("what was encrypted can be decrypted"))
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT])),
        },
        Variant {
            name: "decode leaves payloads alone that have other metadata as well",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    let mut decoded = Vec::new();
                    for payload in payloads {
                        match payload.metadata.len() {
                            0..=2 => decoded.extend(opens(keys.clone(), vec![payload]).await?),
                            _ => decoded.push(payload),
                        }
                    }
                    Ok(decoded)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode decrypts again what was encrypted twice",
            make: |keys| {
                decodes(keys, |keys, mut payloads| async move {
                    while payloads.iter().any(is_encrypted) {
                        payloads = opens(keys.clone(), payloads).await?;
                    }
                    Ok(payloads)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "encode leaves alone what is encrypted already",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let sealed = payloads.into_iter().map(|payload| {
                        if is_encrypted(&payload) { Ok(payload) } else { Ok(seal(&key, &payload)?) }
                    });
                    sealed.collect()
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode marks what was not encrypted",
            make: |keys| {
                decodes(keys, |keys, mut payloads| async move {
                    for payload in payloads.iter_mut().filter(|payload| !is_encrypted(payload)) {
                        payload.metadata.insert("encrypted".to_owned(), b"no".to_vec());
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode gives what it decrypts the encoding json/plain",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    let mut opened = opens(keys, payloads).await?;
                    for payload in &mut opened {
                        payload
                            .metadata
                            .entry(ENCODING.to_owned())
                            .or_insert(b"json/plain".to_vec());
                    }
                    Ok(opened)
                })
            },
            expected: both(Wrong(&[WIRE_FORMAT, PAYLOADS])),
        },
        Variant {
            name: "decode decrypts nothing for a lifetime after one error",
            make: |keys| {
                let failed = Arc::new(StdMutex::new(None::<Instant>));
                decodes(keys, move |keys, payloads| {
                    let failed = Arc::clone(&failed);
                    async move {
                        if lock(&failed).is_some_and(|when| when.elapsed() < keys.key_lifetime()) {
                            return Err("the last call failed".into());
                        }
                        let opened = opens(keys, payloads).await;
                        if opened.is_err() {
                            *lock(&failed) = Some(Instant::now());
                        }
                        opened
                    }
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON, WIRE_FORMAT])),
        },
        Variant {
            name: "one tampered payload, and decode is an error for ever",
            make: |keys| {
                let failed = Arc::new(StdMutex::new(None::<String>));
                decodes(keys, move |keys, payloads| {
                    let failed = Arc::clone(&failed);
                    async move {
                        if let Some(error) = &*lock(&failed) {
                            return Err(error.clone().into());
                        }
                        let mut found = DataKeys::default();
                        for id in key_ids(&payloads) {
                            found.insert(keys.data_key_by_id(&id).await?);
                        }
                        let opened = open_all(&found, payloads);
                        *lock(&failed) = opened.as_ref().err().map(ToString::to_string);
                        Ok(opened?)
                    }
                })
            },
            expected: both(WrongSomehow),
        },
    ]
}

/// Their deadlines are too short, or they ask too often.
fn deadlines_and_retries() -> Vec<Variant> {
    vec![
        Variant {
            name: "a deadline of 20 ms to encode, then an error",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = timeout(Duration::from_millis(20), keys.data_key()).await??;
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
        Variant {
            // The workshop's stall of 400 ms is always an error.
            name: "a deadline of 300 ms to encode, then an error",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = timeout(Duration::from_millis(300), keys.data_key()).await??;
                    Ok(seal_all(&key, payloads)?)
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a deadline of 100 ms to decode, then an error",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    timeout(Duration::from_millis(100), opens(keys, payloads)).await?
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "a deadline of 100 ms, and the next try starts from the beginning, five times",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    for _ in 0..5 {
                        if let Ok(key) = timeout(Duration::from_millis(100), keys.data_key()).await
                        {
                            return Ok(seal_all(&key?, payloads)?);
                        }
                    }
                    Err("the key service is too slow".into())
                })
            },
            expected: both(Wrong(&[WAITS_FOR_KEY, PASSES_ERRORS_ON])),
        },
        Variant {
            name: "decode asks twenty times for a key that is unknown",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    let mut found = DataKeys::default();
                    for id in key_ids(&payloads) {
                        let mut key = keys.data_key_by_id(&id).await;
                        for _ in 1..20 {
                            if !matches!(key, Err(codec_kit::KeyServiceError::UnknownKey { .. })) {
                                break;
                            }
                            sleep(Duration::from_millis(1)).await;
                            key = keys.data_key_by_id(&id).await;
                        }
                        found.insert(key?);
                    }
                    Ok(open_all(&found, payloads)?)
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "decode tries a tampered payload twenty times, and asks for its key each time",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    for _ in 1..20 {
                        match opens(keys.clone(), payloads.clone()).await {
                            Err(error) if error.is::<codec_kit::Error>() => {}
                            done => return done,
                        }
                        sleep(Duration::from_millis(1)).await;
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "decode asks twenty times when the key service fails",
            make: |keys| {
                decodes(keys, |keys, payloads| async move {
                    for _ in 1..20 {
                        match opens(keys.clone(), payloads.clone()).await {
                            Err(error) if error.is::<codec_kit::KeyServiceError>() => {}
                            done => return done,
                        }
                        sleep(Duration::from_millis(1)).await;
                    }
                    opens(keys, payloads).await
                })
            },
            expected: both(Wrong(&[PASSES_ERRORS_ON])),
        },
    ]
}

/// The codec that encodes as it should, and decodes so.
fn decodes<F>(
    keys: KeyService,
    decode: impl Fn(KeyService, Vec<Payload>) -> F + Send + Sync + 'static,
) -> AnyCodec
where
    F: Future<Output = Done> + Send + 'static,
{
    codec(keys, good, decode)
}

fn is_encrypted(payload: &Payload) -> bool {
    payload.metadata.get(ENCODING).is_some_and(|encoding| encoding == ENCRYPTED)
}

/// Decodes; where one of a call's payloads can be decrypted, those that can't be are replaced.
fn some_open(keys: KeyService, replace: fn(&Payload) -> Option<Payload>) -> AnyCodec {
    decodes(keys, move |keys, payloads| async move {
        let mut found = DataKeys::default();
        for id in key_ids(&payloads) {
            found.insert(keys.data_key_by_id(&id).await?);
        }
        let all = open_all(&found, payloads.clone());
        let each = payloads.iter().map(|payload| open(&found, payload.clone()));
        let opened: Vec<_> = each.map(Result::ok).collect();
        if opened.iter().all(Option::is_none) {
            return Ok(all?);
        }
        let decoded = opened.into_iter().zip(&payloads);
        Ok(decoded.filter_map(|(opened, payload)| opened.or_else(|| replace(payload))).collect())
    })
}
