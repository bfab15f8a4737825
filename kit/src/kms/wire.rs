//! Requests and answers, as KMS's protocol has them: JSON 1.1 over HTTP, each request signed.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sigv4::{Request, Scope, sign};
use zeroize::Zeroizing;

use super::{error::KmsError, settings::Settings};

/// The longest answer that is read, in bytes. KMS's longest has 4 KiB of plaintext.
pub(super) const LONGEST_ANSWER: usize = 16 * 1024;
/// How much of a message that is not ours an error quotes, in characters.
const QUOTED: usize = 300;
const JSON: &str = "application/x-amz-json-1.1";

/// The encryption context: not secret, kept nowhere, and needed again to decrypt.
pub type Context = BTreeMap<String, String>;

/// What a key is wanted for. The `User-Agent` has it, so that a log, such as CloudTrail's, has it, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To encrypt payloads.
    Encrypt,
    /// To decrypt payloads.
    Decrypt,
}

/// A data key that the service made.
#[derive(Clone)]
pub struct GeneratedKey {
    /// The key itself.
    pub plaintext: Zeroizing<Vec<u8>>,
    /// The same, encrypted by the service.
    pub ciphertext: Vec<u8>,
}

/// One request, before it is signed.
pub(super) struct Call {
    pub operation: &'static str,
    pub body: Zeroizing<Vec<u8>>,
    purpose: Option<Purpose>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plaintext: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ciphertext_blob: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_spec: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    encryption_context: &'a Context,
}

impl<'a> Body<'a> {
    fn new(context: &'a Context) -> Self {
        let encryption_context = context;
        Self {
            key_id: None,
            plaintext: None,
            ciphertext_blob: None,
            key_spec: None,
            encryption_context,
        }
    }
}

impl Call {
    fn new(operation: &'static str, secret: usize, body: &Body<'_>) -> Self {
        // Large enough, as a rule, that a plaintext is not moved and a copy left behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096 + secret));
        // Strings and maps of strings are always JSON.
        let _ = serde_json::to_writer(&mut *bytes, body);
        Self { operation, body: bytes, purpose: None }
    }

    pub fn encrypt(key_id: &str, plaintext: &[u8], context: &Context) -> Self {
        let plaintext = Zeroizing::new(STANDARD.encode(plaintext));
        let body = Body { key_id: Some(key_id), plaintext: Some(&plaintext), ..Body::new(context) };
        Self::new("Encrypt", plaintext.len(), &body)
    }

    pub fn decrypt(ciphertext: &[u8], context: &Context) -> Self {
        let ciphertext = STANDARD.encode(ciphertext);
        let body = Body { ciphertext_blob: Some(&ciphertext), ..Body::new(context) };
        Self::new("Decrypt", 0, &body)
    }

    pub fn generate_data_key(key_id: &str, context: &Context) -> Self {
        let body = Body { key_id: Some(key_id), key_spec: Some("AES_256"), ..Body::new(context) };
        Self::new("GenerateDataKey", 0, &body)
    }

    #[cfg_attr(
        not(all(feature = "kms-async", feature = "kms-blocking")),
        expect(dead_code, reason = "only KmsKeys knows the purpose")
    )]
    pub fn with_purpose(self, purpose: Purpose) -> Self {
        Self { purpose: Some(purpose), ..self }
    }

    /// The headers of a request that is sent now. Each attempt has its own, because a signature expires.
    pub fn headers(&self, settings: &Settings) -> Vec<(&'static str, String)> {
        let host = settings.endpoint.host_str().unwrap_or_default();
        let host = match settings.endpoint.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let target = format!("TrentService.{}", self.operation);
        let headers = [("content-type", JSON), ("host", &host), ("x-amz-target", &target)];
        let request =
            Request { method: "POST", path: "/", query: "", headers: &headers, body: &self.body };
        let scope = Scope { region: &settings.region, service: "kms" };
        let mut added = sign(&request, &scope, &settings.credentials, Timestamp::now());
        let agent = concat!("codec-kit/", env!("CARGO_PKG_VERSION"));
        let agent = match self.purpose {
            None => agent.to_owned(),
            Some(Purpose::Encrypt) => format!("{agent} (encrypt)"),
            Some(Purpose::Decrypt) => format!("{agent} (decrypt)"),
        };
        // Not signed: a proxy may change it.
        added.push(("user-agent", agent));
        added.extend(headers.map(|(name, value)| (name, value.to_owned())));
        added
    }

    pub fn bad(&self, reason: &'static str) -> KmsError {
        KmsError::BadAnswer { operation: self.operation, reason }
    }

    pub fn too_slow(&self, settings: &Settings) -> KmsError {
        KmsError::TooSlow {
            operation: self.operation,
            endpoint: settings.endpoint().to_owned(),
            timeout: settings.timeout,
            attempts: 1,
        }
    }

    pub fn no_answer(&self, settings: &Settings, reason: String, transient: bool) -> KmsError {
        KmsError::NoAnswer {
            operation: self.operation,
            endpoint: settings.endpoint().to_owned(),
            reason,
            transient,
            attempts: 1,
        }
    }

    /// What the service answered. The body must be whole.
    pub fn answer(&self, status: u16, body: &[u8]) -> Result<Answer, KmsError> {
        if status != 200 {
            let shape: ErrorShape = serde_json::from_slice(body).unwrap_or_default();
            let name = shape.name.map_or_else(
                || format!("HTTP {status}"),
                |name| {
                    // Some services write a namespace before it, and an address after it.
                    let name = name.rsplit('#').next().unwrap_or_default();
                    one_line(name.split(':').next().unwrap_or_default())
                },
            );
            let message =
                shape.message.as_deref().map_or_else(|| "no reason given".to_owned(), one_line);
            let operation = self.operation;
            return Err(KmsError::Refused { operation, name, message, status, attempts: 1 });
        }
        // serde's message might quote a secret.
        let shape: AnswerShape<'_> = serde_json::from_slice(body)
            .map_err(|_| self.bad("it is not JSON of the right shape"))?;
        let decode = |text: Option<&str>| {
            let Some(text) = text else { return Ok(None) };
            let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
            match STANDARD.decode_vec(text, &mut bytes) {
                Ok(()) => Ok(Some(bytes)),
                Err(_) => Err(self.bad("a blob is not base64")),
            }
        };
        Ok(Answer {
            plaintext: decode(shape.plaintext)?,
            ciphertext: decode(shape.ciphertext_blob)?,
        })
    }

    pub fn plaintext(&self, answer: Answer) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        answer.plaintext.ok_or_else(|| self.bad("it has no Plaintext"))
    }

    pub fn ciphertext(&self, answer: &mut Answer) -> Result<Vec<u8>, KmsError> {
        let mut ciphertext =
            answer.ciphertext.take().ok_or_else(|| self.bad("it has no CiphertextBlob"))?;
        Ok(std::mem::take(&mut *ciphertext))
    }

    pub fn generated(&self, mut answer: Answer) -> Result<GeneratedKey, KmsError> {
        let ciphertext = self.ciphertext(&mut answer)?;
        Ok(GeneratedKey { plaintext: self.plaintext(answer)?, ciphertext })
    }
}

pub(super) struct Answer {
    plaintext: Option<Zeroizing<Vec<u8>>>,
    ciphertext: Option<Zeroizing<Vec<u8>>>,
}

/// Borrowed, so that the plaintext is copied nowhere. Base64 has no character that JSON escapes, except the
/// slash, which no one does.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AnswerShape<'a> {
    #[serde(borrow, default)]
    plaintext: Option<&'a str>,
    #[serde(borrow, default)]
    ciphertext_blob: Option<&'a str>,
}

#[derive(Default, Deserialize)]
struct ErrorShape {
    #[serde(rename = "__type")]
    name: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

/// A text of any origin on one line, and not too long for an error.
fn one_line(text: &str) -> String {
    let mut line: String =
        text.chars().take(QUOTED).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(QUOTED).is_some() {
        line.push('…');
    }
    line
}

/// Reads an answer to `Decrypt` as the clients do: for tests that no bytes are too strange.
///
/// # Errors
/// When it is an error, or can't be used.
#[doc(hidden)]
pub fn check_answer(status: u16, body: &[u8]) -> Result<usize, KmsError> {
    let call = Call::decrypt(b"", &Context::new());
    let plaintext = call.plaintext(call.answer(status, body)?)?;
    Ok(plaintext.len())
}
