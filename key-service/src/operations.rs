//! What each operation of KMS does here.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error, Visitor},
};
use zeroize::Zeroizing;

use crate::{
    error::{ApiError, Kind},
    keys::{self, CiphertextError, Key, Keys, KeysError},
};

/// The account that the keys' names (ARNs) carry.
const ACCOUNT: &str = "000000000000";
/// KMS's own limits, in bytes.
const LONGEST_PLAINTEXT: usize = 4096;
const LONGEST_CIPHERTEXT: usize = 6144;
const LONGEST_CONTEXT: usize = 8192;
const LONGEST_DATA_KEY: usize = 1024;
/// How many entries a list has unless the request says otherwise, and at most.
const USUAL_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 1000;
const ALGORITHM: &str = "SYMMETRIC_DEFAULT";
/// More than any answer with a plaintext has: base64 of [`LONGEST_PLAINTEXT`] bytes, or of the longest data key and
/// its ciphertext, and a few hundred bytes. A vector that grew would leave a copy behind.
const LONGEST_SECRET_ANSWER: usize = 8 * 1024;

/// The JSON of an answer, which may have a plaintext: wiped when it is dropped.
pub(crate) type Answer = Zeroizing<Vec<u8>>;

/// What this service can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Decrypts a ciphertext, which names its key.
    Decrypt,
    /// The properties of a key.
    DescribeKey,
    /// From now on, the key encrypts and decrypts nothing.
    DisableKey,
    /// From now on, it does again.
    EnableKey,
    /// Encrypts up to 4096 bytes.
    Encrypt,
    /// A data key, in plaintext and encrypted.
    GenerateDataKey,
    /// The aliases.
    ListAliases,
    /// The keys.
    ListKeys,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Decrypt,
        Self::DescribeKey,
        Self::DisableKey,
        Self::EnableKey,
        Self::Encrypt,
        Self::GenerateDataKey,
        Self::ListAliases,
        Self::ListKeys,
    ];

    /// As KMS spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decrypt => "Decrypt",
            Self::DescribeKey => "DescribeKey",
            Self::DisableKey => "DisableKey",
            Self::EnableKey => "EnableKey",
            Self::Encrypt => "Encrypt",
            Self::GenerateDataKey => "GenerateDataKey",
            Self::ListAliases => "ListAliases",
            Self::ListKeys => "ListKeys",
        }
    }

    /// The operation of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }
}

/// Bytes, which JSON has as base64. Wiped when they are dropped.
#[derive(Default)]
struct Blob(Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Blob, E> {
                // Large enough that base64 never moves the bytes and leaves a copy behind. Its own message
                // would quote a character of what may be secret.
                let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
                match STANDARD.decode_vec(text, &mut bytes) {
                    Ok(()) => Ok(Blob(bytes)),
                    Err(_) => Err(E::custom("a blob is not base64")),
                }
            }
        }
        deserializer.deserialize_str(Base64)
    }
}

type Context = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Request {
    key_id: Option<String>,
    plaintext: Option<Blob>,
    ciphertext_blob: Option<Blob>,
    encryption_context: Context,
    encryption_algorithm: Option<String>,
    key_spec: Option<String>,
    number_of_bytes: Option<usize>,
    dry_run: Option<bool>,
    recipient: Option<serde::de::IgnoredAny>,
    limit: Option<usize>,
    marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Crypto<'a> {
    key_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_blob: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encryption_algorithm: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    key_metadata: Metadata,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(rename = "AWSAccountId")]
    account: &'static str,
    key_id: String,
    arn: String,
    creation_date: f64,
    enabled: bool,
    description: &'static str,
    key_usage: &'static str,
    key_state: &'static str,
    origin: &'static str,
    key_manager: &'static str,
    customer_master_key_spec: &'static str,
    key_spec: &'static str,
    encryption_algorithms: [&'static str; 1],
    multi_region: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListedKey {
    key_id: String,
    key_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListedAlias {
    alias_name: String,
    alias_arn: String,
    target_key_id: String,
    creation_date: f64,
    last_updated_date: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<T>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aliases: Option<Vec<T>>,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

/// The keys, as calls see them.
#[derive(Debug)]
pub(crate) struct Vault {
    keys: Keys,
    region: String,
}

impl Vault {
    pub fn new(keys: Keys, region: String) -> Self {
        Self { keys, region }
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn enable_alias(&self, alias: &str, enabled: bool) -> Result<(), KeysError> {
        let key = self.keys.all().iter().find(|key| key.alias() == alias);
        key.ok_or_else(|| KeysError::Unknown(alias.to_owned()))?.enable(enabled);
        Ok(())
    }

    /// Does what a request asks for; the answer is JSON.
    pub fn perform(&self, operation: Operation, body: &[u8]) -> Result<Answer, ApiError> {
        let request: Request = parse(body)?;
        if request.dry_run == Some(true) || request.recipient.is_some() {
            let reason = "this service knows neither DryRun nor Recipient";
            return Err(ApiError::new(Kind::UnsupportedOperation, reason));
        }
        if request.encryption_algorithm.as_deref().is_some_and(|named| named != ALGORITHM) {
            let reason = format!("EncryptionAlgorithm must be {ALGORITHM}");
            return Err(ApiError::new(Kind::Validation, reason));
        }
        let context = &request.encryption_context;
        if context.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
            > LONGEST_CONTEXT
        {
            let reason = format!("EncryptionContext has more than {LONGEST_CONTEXT} bytes");
            return Err(ApiError::new(Kind::Validation, reason));
        }
        match operation {
            Operation::Encrypt => self.encrypt(&request),
            Operation::Decrypt => self.decrypt(&request),
            Operation::GenerateDataKey => self.generate_data_key(&request),
            Operation::DescribeKey => self.describe(&request),
            Operation::DisableKey => self.enable(&request, false),
            Operation::EnableKey => self.enable(&request, true),
            Operation::ListKeys => {
                let key = |key: &Key| ListedKey { key_id: key.id(), key_arn: self.key_arn(key) };
                let (keys, next_marker) =
                    page(&request, self.keys.all().iter().map(key).collect())?;
                let truncated = next_marker.is_some();
                json(&Listed { keys: Some(keys), aliases: None, truncated, next_marker })
            }
            Operation::ListAliases => {
                let of = request.key_id.as_deref().map(|_| self.key(&request)).transpose()?;
                let wanted = |key: &&Key| of.is_none_or(|of| of.id() == key.id());
                let aliases = self.keys.all().iter().filter(wanted).map(|key| self.alias(key));
                let (aliases, next_marker) = page(&request, aliases.collect())?;
                let truncated = next_marker.is_some();
                json(&Listed { keys: None, aliases: Some(aliases), truncated, next_marker })
            }
        }
    }

    fn encrypt(&self, request: &Request) -> Result<Answer, ApiError> {
        let plaintext = request.plaintext.as_ref().ok_or_else(|| missing("Plaintext"))?;
        within("Plaintext", &plaintext.0, 1, LONGEST_PLAINTEXT)?;
        let key = self.usable_key(request)?;
        let blob = key.encrypt(&plaintext.0, &request.encryption_context).map_err(internal)?;
        json(&Crypto {
            key_id: &self.key_arn(key),
            ciphertext_blob: Some(&STANDARD.encode(blob)),
            plaintext: None,
            encryption_algorithm: Some(ALGORITHM),
        })
    }

    fn decrypt(&self, request: &Request) -> Result<Answer, ApiError> {
        let blob = request.ciphertext_blob.as_ref().ok_or_else(|| missing("CiphertextBlob"))?;
        within("CiphertextBlob", &blob.0, 1, LONGEST_CIPHERTEXT)?;
        let invalid = || {
            ApiError::new(
                Kind::InvalidCiphertext,
                "the ciphertext is damaged, or its encryption context is another",
            )
        };
        let key = self.keys.of_ciphertext(&blob.0).map_err(|error| match error {
            CiphertextError::Invalid => invalid(),
            CiphertextError::NoSuchKey => {
                let reason =
                    "the ciphertext names a key that does not exist, or that you may not use";
                ApiError::new(Kind::AccessDenied, reason)
            }
        })?;
        if request.key_id.is_some() && self.key(request)?.id() != key.id() {
            let reason = "the ciphertext is encrypted with another key than KeyId";
            return Err(ApiError::new(Kind::IncorrectKey, reason));
        }
        self.check_enabled(key)?;
        let plaintext = key.decrypt(&blob.0, &request.encryption_context).map_err(|_| invalid())?;
        let plaintext = Zeroizing::new(STANDARD.encode(&*plaintext));
        json(&Crypto {
            key_id: &self.key_arn(key),
            ciphertext_blob: None,
            plaintext: Some(&plaintext),
            encryption_algorithm: Some(ALGORITHM),
        })
    }

    fn generate_data_key(&self, request: &Request) -> Result<Answer, ApiError> {
        let length = match (request.key_spec.as_deref(), request.number_of_bytes) {
            (Some("AES_256"), None) => 32,
            (Some("AES_128"), None) => 16,
            (None, Some(length)) if (1..=LONGEST_DATA_KEY).contains(&length) => length,
            (None, Some(_)) => {
                let reason = format!("NumberOfBytes must be 1 to {LONGEST_DATA_KEY}");
                return Err(ApiError::new(Kind::Validation, reason));
            }
            _ => {
                let reason = "give either KeySpec, AES_256 or AES_128, or NumberOfBytes";
                return Err(ApiError::new(Kind::Validation, reason));
            }
        };
        let key = self.usable_key(request)?;
        let plaintext = keys::random(length).map_err(internal)?;
        let blob = key.encrypt(&plaintext, &request.encryption_context).map_err(internal)?;
        json(&Crypto {
            key_id: &self.key_arn(key),
            ciphertext_blob: Some(&STANDARD.encode(blob)),
            plaintext: Some(&Zeroizing::new(STANDARD.encode(&*plaintext))),
            encryption_algorithm: None,
        })
    }

    fn describe(&self, request: &Request) -> Result<Answer, ApiError> {
        let key = self.key(request)?;
        json(&Described {
            key_metadata: Metadata {
                account: ACCOUNT,
                key_id: key.id(),
                arn: self.key_arn(key),
                creation_date: seconds(key),
                enabled: key.is_enabled(),
                description: "",
                key_usage: "ENCRYPT_DECRYPT",
                key_state: if key.is_enabled() { "Enabled" } else { "Disabled" },
                origin: "AWS_KMS",
                key_manager: "CUSTOMER",
                customer_master_key_spec: ALGORITHM,
                key_spec: ALGORITHM,
                encryption_algorithms: [ALGORITHM],
                multi_region: false,
            },
        })
    }

    fn enable(&self, request: &Request, enabled: bool) -> Result<Answer, ApiError> {
        let id = request.key_id.as_deref().ok_or_else(|| missing("KeyId"))?;
        // KMS takes no alias here, which might point elsewhere a moment later.
        if id.contains("alias/") {
            return Err(ApiError::new(
                Kind::Validation,
                "KeyId must be a key id or a key ARN, not an alias",
            ));
        }
        self.key(request)?.enable(enabled);
        // KMS answers with an empty body, and no JSON.
        Ok(Answer::default())
    }

    /// The key of a request.
    fn key(&self, request: &Request) -> Result<&Key, ApiError> {
        let id = request.key_id.as_deref().ok_or_else(|| missing("KeyId"))?;
        let region = &self.region;
        let arn = format!("arn:aws:kms:{region}:{ACCOUNT}:");
        let short = match id.strip_prefix(&arn) {
            None => Cow::from(id),
            Some(rest) => Cow::from(rest.strip_prefix("key/").unwrap_or(rest)),
        };
        self.keys.find(&short).ok_or_else(|| {
            ApiError::new(
                Kind::NotFound,
                format!("there is no key {id:?} in account {ACCOUNT}, region {region}"),
            )
        })
    }

    fn usable_key(&self, request: &Request) -> Result<&Key, ApiError> {
        let key = self.key(request)?;
        self.check_enabled(key)?;
        Ok(key)
    }

    fn check_enabled(&self, key: &Key) -> Result<(), ApiError> {
        match key.is_enabled() {
            true => Ok(()),
            false => {
                Err(ApiError::new(Kind::Disabled, format!("{} is disabled", self.key_arn(key))))
            }
        }
    }

    fn key_arn(&self, key: &Key) -> String {
        format!("arn:aws:kms:{}:{ACCOUNT}:key/{}", self.region, key.id())
    }

    fn alias(&self, key: &Key) -> ListedAlias {
        let alias_name = format!("alias/{}", key.alias());
        ListedAlias {
            alias_arn: format!("arn:aws:kms:{}:{ACCOUNT}:{alias_name}", self.region),
            alias_name,
            target_key_id: key.id(),
            creation_date: seconds(key),
            last_updated_date: seconds(key),
        }
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let wrong = |place: String| {
        ApiError::new(
            Kind::Serialization,
            format!("the request is no JSON object of the right shape{place}"),
        )
    };
    // serde would take a list of the values as well.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(wrong(String::new()));
    }
    // serde's message may quote a value, which may be a secret: the place is enough.
    serde_json::from_slice(body)
        .map_err(|error| wrong(format!(": line {}, column {}", error.line(), error.column())))
}

fn json(answer: &impl Serialize) -> Result<Answer, ApiError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_SECRET_ANSWER));
    serde_json::to_writer(&mut *bytes, answer)
        .map_err(|error| ApiError::new(Kind::Internal, error))?;
    Ok(bytes)
}

fn missing(name: &str) -> ApiError {
    ApiError::new(Kind::Validation, format!("{name} is missing"))
}

fn internal(error: KeysError) -> ApiError {
    ApiError::new(Kind::Internal, error)
}

fn within(name: &str, bytes: &[u8], least: usize, most: usize) -> Result<(), ApiError> {
    match (least..=most).contains(&bytes.len()) {
        true => Ok(()),
        false => Err(ApiError::new(
            Kind::Validation,
            format!("{name} must have {least} to {most} bytes"),
        )),
    }
}

/// The part of a list that a request asks for, and the marker of the next. A marker is the place of the first
/// entry.
fn page<T>(request: &Request, all: Vec<T>) -> Result<(Vec<T>, Option<String>), ApiError> {
    let limit = request.limit.unwrap_or(USUAL_LIMIT);
    if !(1..=LARGEST_LIMIT).contains(&limit) {
        let reason = format!("Limit must be 1 to {LARGEST_LIMIT}");
        return Err(ApiError::new(Kind::Validation, reason));
    }
    let first = match &request.marker {
        None => 0,
        Some(marker) => {
            let place = marker.parse().ok().filter(|place| *place < all.len());
            place.ok_or_else(|| {
                ApiError::new(Kind::InvalidMarker, "the marker is not of this list")
            })?
        }
    };
    let next = first + limit;
    let marker = (next < all.len()).then(|| next.to_string());
    Ok((all.into_iter().skip(first).take(limit).collect(), marker))
}

#[expect(clippy::cast_precision_loss, reason = "a float of seconds is what KMS has")]
fn seconds(key: &Key) -> f64 {
    key.created().as_millisecond() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::{self, changed, nearly};

    #[test]
    fn the_longest_answers_with_a_plaintext_never_move() {
        let vault = Vault::new(Keys::random().unwrap(), "ap-southeast-1".to_owned());
        let plaintext = STANDARD.encode([1; LONGEST_PLAINTEXT]);
        let encrypt = format!(r#"{{"KeyId": "alias/workshop", "Plaintext": "{plaintext}"}}"#);
        let sealed = vault.perform(Operation::Encrypt, encrypt.as_bytes()).unwrap();
        let sealed: serde_json::Value = serde_json::from_slice(&sealed).unwrap();
        let decrypt = format!(r#"{{"CiphertextBlob": {}}}"#, sealed["CiphertextBlob"]);
        let generate =
            format!(r#"{{"KeyId": "alias/workshop", "NumberOfBytes": {LONGEST_DATA_KEY}}}"#);
        for (operation, request) in
            [(Operation::Decrypt, decrypt), (Operation::GenerateDataKey, generate)]
        {
            let answer = vault.perform(operation, request.as_bytes()).unwrap();
            let has_plaintext = serde_json::from_slice::<serde_json::Value>(&answer).unwrap();
            assert!(has_plaintext["Plaintext"].is_string(), "{operation:?}");
            assert_eq!(answer.capacity(), LONGEST_SECRET_ANSWER, "{operation:?}");
        }
    }

    /// The bodies of requests. [`inputs`] says how to run more of them.
    #[test]
    fn no_body_is_too_strange() {
        let keys = Keys::parse("workshop=AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
        let key = keys.all()[0].id();
        let vault = Vault::new(keys, "us-east-1".to_owned());
        let id = format!("\"{key}\"");
        let request = br#"{"KeyId": "alias/workshop", "Plaintext": "c2VjcmV0"}"#;
        let sealed: serde_json::Value =
            serde_json::from_slice(&vault.perform(Operation::Encrypt, request).unwrap()).unwrap();
        let blob = sealed["CiphertextBlob"].to_string();
        let pieces = [
            "{",
            "}",
            ",",
            ":",
            "\"KeyId\":",
            "\"alias/workshop\"",
            &id,
            "\"Plaintext\":",
            "\"c2VjcmV0\"",
            "\"CiphertextBlob\":",
            &blob,
            "\"EncryptionContext\":",
            "{\"a\": \"b\"}",
            "\"KeySpec\":",
            "\"AES_256\"",
            "\"NumberOfBytes\":",
            "1024",
            "-1",
            "\"Limit\":",
            "1",
            "\"Marker\":",
            "\"0\"",
            "null",
            "true",
            "\"DryRun\":",
            "[",
            "]",
            "\"\\u0000\"",
            "18446744073709551616",
            "{\"KeyId\": \"alias/workshop\"",
            "\"arn:aws:kms:us-east-1:000000000000:key/\"",
        ];
        let context = r#""EncryptionContext": {"a": "b"}"#;
        let whole = [
            (
                Operation::Encrypt,
                format!(r#"{{"KeyId": {id}, "Plaintext": "c2VjcmV0", {context}}}"#),
            ),
            (Operation::Decrypt, format!(r#"{{"CiphertextBlob": {blob}, "KeyId": {id}}}"#)),
            (Operation::GenerateDataKey, format!(r#"{{"KeyId": {id}, "KeySpec": "AES_256"}}"#)),
            (Operation::DisableKey, format!(r#"{{"KeyId": {id}}}"#)),
            (Operation::EnableKey, format!(r#"{{"KeyId": {id}}}"#)),
            (Operation::ListKeys, r#"{"Limit": 1, "Marker": "0"}"#.to_owned()),
        ];
        let mut answered = BTreeMap::new();
        inputs::each("bodies", |u| {
            let (of, whole) = u.choose(&whole)?;
            let operation = if u.ratio(3, 4)? { *of } else { *u.choose(&Operation::ALL)? };
            let body = match u.ratio(1, 2)? {
                true => nearly(u, &pieces)?,
                false if u.ratio(3, 4)? => changed(u, whole.clone().into_bytes())?,
                false => whole.clone().into_bytes(),
            };
            match vault.perform(operation, &body) {
                Ok(answer) => {
                    *answered.entry(operation.name()).or_insert(0_u64) += 1;
                    assert!(answer.len() < 16 * 1024);
                }
                Err(error) => {
                    assert!(error.kind != Kind::Internal, "{:?}", String::from_utf8_lossy(&body));
                    // A key that does not exist is named; the input may have the plaintext in its place.
                    let is_quoted = error.json().windows(8).any(|part| part == b"c2VjcmV0");
                    assert!(!is_quoted || error.kind == Kind::NotFound, "a plaintext is quoted");
                }
            }
            Ok(())
        });
        println!("bodies: answered {answered:?}");
        assert!(!answered.is_empty());
    }
}
