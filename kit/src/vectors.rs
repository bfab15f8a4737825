//! Payloads made by another implementation (Python's `cryptography` and `temporalio`), to test a codec with:
//! some must open, some must be an error, and some must be left unchanged by decoding.

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use serde::{Deserialize, Deserializer, de::Error};

use crate::{Keyring, Payload};

/// All vectors.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct Vectors {
    /// Sealed payloads and what they hold.
    pub opens_to: Vec<OpensTo>,
    /// Payloads that must be refused.
    pub must_be_an_error: Vec<MustBeAnError>,
    /// Payloads that are not encrypted, and that decoding passes on.
    pub decode_leaves_alone: Vec<LeavesAlone>,
}

/// Payloads that Go's SDK compressed before its codec encrypted them.
///
/// # Panics
/// Never: they are part of the crate, and its tests read them.
pub fn compressed() -> Vec<OpensTo> {
    #[derive(Deserialize)]
    struct Compressed {
        opens_to: Vec<OpensTo>,
    }
    let vectors = include_str!("../vectors/payload-compression.json");
    serde_json::from_str::<Compressed>(vectors).expect("the crate's own vectors are valid").opens_to
}

/// A sealed payload and what it holds.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct OpensTo {
    /// What is special about it.
    pub name: String,
    key_id: String,
    key: String,
    /// What must come out.
    #[serde(deserialize_with = "payload")]
    pub plain: Payload,
    /// What goes in.
    #[serde(deserialize_with = "payload")]
    pub encrypted: Payload,
}

/// A payload that must be refused.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct MustBeAnError {
    /// What is wrong with it.
    pub name: String,
    /// Why that is an error.
    pub why: String,
    key_id: String,
    key: String,
    /// What goes in.
    #[serde(deserialize_with = "payload")]
    pub encrypted: Payload,
}

/// A payload that is not encrypted.
#[derive(Debug, Deserialize)]
#[non_exhaustive]
pub struct LeavesAlone {
    /// What it is.
    pub name: String,
    /// What goes in, and must come out.
    #[serde(deserialize_with = "payload")]
    pub payload: Payload,
}

impl Vectors {
    /// The vectors that come with this crate.
    ///
    /// # Panics
    /// Never: they are part of the crate, and its tests read them.
    pub fn load() -> Self {
        serde_json::from_str(include_str!("../vectors/payload-encryption.json"))
            .expect("the crate's own vectors are valid")
    }
}

impl OpensTo {
    /// The keyring to open it with.
    pub fn keyring(&self) -> Keyring {
        keyring(&self.key_id, &self.key)
    }
}

impl MustBeAnError {
    /// The keyring with which it must not open.
    pub fn keyring(&self) -> Keyring {
        keyring(&self.key_id, &self.key)
    }
}

fn keyring(id: &str, key: &str) -> Keyring {
    Keyring::parse(&format!("{id}={key}"), None).expect("the crate's own vectors have valid keys")
}

fn payload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
    Payload::decode(&*bytes).map_err(D::Error::custom)
}
