//! Codecs that leak plaintext.

use std::{
    env, fmt, fs,
    io::{self, Write},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use codec_kit::{AnyCodec, KeyService, Payload, seal, seal_all};
use judge::promises::{PAYLOADS, WIRE_FORMAT};

use super::good;
use crate::{
    AnyError, Variant,
    Verdict::{self, Wrong, WrongSomehow},
    both, codec, encodes, opens,
};

const READABLE: Verdict = Wrong(&[PAYLOADS, WIRE_FORMAT]);

pub(super) fn variants() -> Vec<Variant> {
    [in_metadata(), in_errors(), elsewhere()].into_iter().flatten().collect()
}

fn in_metadata() -> Vec<Variant> {
    vec![
        Variant {
            name: "a preview of 16 bytes in the metadata",
            make: |keys| marked(keys, |payload| payload.data.iter().take(16).copied().collect()),
            expected: both(READABLE),
        },
        Variant {
            name: "the first 8 characters in the metadata",
            make: |keys| marked(keys, |payload| payload.data.iter().take(8).copied().collect()),
            expected: both(READABLE),
        },
        Variant {
            name: "the last 12 bytes in the metadata",
            make: |keys| {
                marked(keys, |payload| {
                    payload.data[payload.data.len().saturating_sub(12)..].to_vec()
                })
            },
            expected: both(READABLE),
        },
        Variant {
            name: "60 bytes of plaintext in base64 in the metadata",
            make: |keys| marked(keys, |payload| STANDARD.encode(beginning(payload)).into_bytes()),
            expected: both(READABLE),
        },
        Variant {
            name: "60 bytes of plaintext in hexadecimal in the metadata",
            make: |keys| marked(keys, |payload| hexadecimal(beginning(payload)).into_bytes()),
            expected: both(READABLE),
        },
        Variant {
            name: "60 bytes of plaintext reversed in the metadata",
            make: |keys| marked(keys, |payload| beginning(payload).iter().rev().copied().collect()),
            expected: both(READABLE),
        },
        Variant {
            name: "the plaintext's metadata, printed into the metadata",
            make: |keys| marked(keys, |payload| format!("{:?}", payload.metadata).into_bytes()),
            expected: both(READABLE),
        },
        Variant {
            // Debatable: the kind of a payload may be no secret.
            name: "the plaintext's encoding in the metadata",
            make: |keys| {
                marked(keys, |payload| {
                    payload.metadata.get(codec_kit::ENCODING).cloned().unwrap_or_default()
                })
            },
            expected: both(READABLE),
        },
        Variant {
            name: "the plaintext as the name of a metadata entry",
            make: |keys| {
                encodes(keys, |keys, payloads| async move {
                    let key = keys.data_key().await?;
                    let sealed = payloads.iter().map(|payload| {
                        let mut sealed = seal(&key, payload)?;
                        let text = String::from_utf8_lossy(&payload.data);
                        sealed.metadata.insert(text.chars().take(40).collect(), Vec::new());
                        Ok(sealed)
                    });
                    sealed.collect()
                })
            },
            expected: both(READABLE),
        },
    ]
}

fn in_errors() -> Vec<Variant> {
    vec![
        Variant {
            name: "plaintext in the text of encode's error",
            make: |keys| fails_with(keys, |payloads| text(payloads).into()),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "plaintext in base64 in the text of encode's error",
            make: |keys| fails_with(keys, |payloads| STANDARD.encode(text(payloads)).into()),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "plaintext in the debug form of encode's error",
            make: |keys| fails_with(keys, |payloads| Box::new(Discreet(text(payloads)))),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "plaintext in the source of encode's error",
            make: |keys| fails_with(keys, |payloads| Box::new(WithSource(text(payloads).into()))),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "plaintext in a panic when the key service fails",
            make: |keys| fails_with(keys, |payloads| panic!("not encrypted: {}", text(payloads))),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "the text of decode's error quotes those that could be decrypted",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let mut opened = Vec::new();
                    for payload in payloads {
                        match opens(keys.clone(), vec![payload]).await {
                            Ok(one) => opened.extend(one),
                            Err(error) => {
                                return Err(format!("{error}; before it: {}", text(&opened)).into());
                            }
                        }
                    }
                    Ok(opened)
                })
            },
            expected: both(WrongSomehow),
        },
    ]
}

fn elsewhere() -> Vec<Variant> {
    vec![
        Variant {
            name: "plaintext in a file in the temporary folder",
            make: |keys| {
                shows(keys, |payloads| {
                    fs::write(env::temp_dir().join("codec-debug.log"), text(payloads)).ok();
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "plaintext in base64 in a file in the working folder",
            make: |keys| {
                shows(keys, |payloads| {
                    fs::write(Path::new("codec-debug.log"), STANDARD.encode(text(payloads))).ok();
                })
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "prints plaintext",
            make: |keys| shows(keys, |payloads| print(&text(payloads))),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "prints 8 characters of plaintext",
            make: |keys| {
                shows(keys, |payloads| print(&text(payloads).chars().take(8).collect::<String>()))
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "prints plaintext in hexadecimal",
            make: |keys| shows(keys, |payloads| print(&hexadecimal(text(payloads).as_bytes()))),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "prints plaintext reversed",
            make: |keys| {
                shows(keys, |payloads| print(&text(payloads).chars().rev().collect::<String>()))
            },
            expected: both(WrongSomehow),
        },
        Variant {
            name: "logs plaintext at level trace",
            make: |keys| shows(keys, |payloads| tracing::trace!(plain = text(payloads))),
            expected: both(WrongSomehow),
        },
        Variant {
            name: "decode prints what it has decrypted",
            make: |keys| {
                codec(keys, good, |keys, payloads| async move {
                    let opened = opens(keys, payloads).await?;
                    print(&text(&opened));
                    Ok(opened)
                })
            },
            expected: both(WrongSomehow),
        },
    ]
}

/// Puts something of each payload into what it becomes.
fn marked(keys: KeyService, mark: fn(&Payload) -> Vec<u8>) -> AnyCodec {
    encodes(keys, move |keys, payloads| async move {
        let key = keys.data_key().await?;
        let sealed = payloads.iter().map(|payload| {
            let mut sealed = seal(&key, payload)?;
            sealed.metadata.insert("preview".to_owned(), mark(payload));
            Ok(sealed)
        });
        sealed.collect()
    })
}

/// Mentions the payloads in its error when there is no key.
fn fails_with(keys: KeyService, error: fn(&[Payload]) -> AnyError) -> AnyCodec {
    encodes(keys, move |keys, payloads| async move {
        let key = keys.data_key().await.map_err(|_| error(&payloads))?;
        Ok(seal_all(&key, payloads)?)
    })
}

/// Shows the payloads where it should not.
fn shows(keys: KeyService, show: fn(&[Payload])) -> AnyCodec {
    encodes(keys, move |keys, payloads| async move {
        show(&payloads);
        good(keys, payloads).await
    })
}

/// No more than 60 bytes: it is not meant to take time.
fn beginning(payload: &Payload) -> &[u8] {
    &payload.data[..payload.data.len().min(60)]
}

/// The beginning of the first payload: a call has up to a thousand.
fn text(payloads: &[Payload]) -> String {
    String::from_utf8_lossy(payloads.first().map(beginning).unwrap_or_default()).into_owned()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn print(text: &str) {
    writeln!(io::stderr(), "{text}").ok();
}

/// Its text is harmless, its debug form is not.
#[derive(Debug)]
struct Discreet(#[allow(dead_code, reason = "it is printed")] String);

impl fmt::Display for Discreet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not encrypted")
    }
}

impl std::error::Error for Discreet {}

/// An error whose source is not harmless.
#[derive(Debug, thiserror::Error)]
#[error("not encrypted")]
struct WithSource(#[source] AnyError);
