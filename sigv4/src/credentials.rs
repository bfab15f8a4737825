//! An access key, its secret, and the token that temporary ones have.

use std::fmt;

use zeroize::Zeroizing;

/// Why [`Credentials::new`] makes none.
pub const SECRET_NEEDED: &str = "an access key needs both an id and a secret, without white space";

/// An access key and its secret. `Debug` shows the id alone; the secret is wiped when it is dropped.
#[derive(Clone)]
pub struct Credentials {
    id: String,
    secret: Zeroizing<String>,
    token: Option<Zeroizing<String>>,
}

impl Credentials {
    /// Long-term credentials. `None` if the id or the secret is empty, or has characters that no header may
    /// have.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Option<Self> {
        let (id, secret) = (id.into(), Zeroizing::new(secret.into()));
        let is_word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        // The credential of a request is split at slashes.
        let is_valid = is_word(&id) && !id.contains(['/', ',']) && is_word(&secret);
        is_valid.then_some(Self { id, secret, token: None })
    }

    /// The same, with the token that belongs to temporary credentials. `None` if it can't be a header.
    pub fn with_token(self, token: impl Into<String>) -> Option<Self> {
        let token = Zeroizing::new(token.into());
        let is_valid = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        is_valid.then_some(Self { token: Some(token), ..self })
    }

    /// The access key's id, which is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|token| token.as_str())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}
