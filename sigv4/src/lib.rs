//! AWS Signature Version 4: what a client adds to a request, and what a service checks of it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`canonical`](Request) | [`Request`]: a request, and the one form of it that is signed |
//! | [`credentials`](Credentials) | [`Credentials`]: an access key and its secret, which is wiped and never shown |
//! | [`sign`](sign()) | [`sign`](sign()): the headers that a client adds |
//! | [`verify`](verify()) | [`verify`](verify()): the service's side |
//!
//! The path and the query are signed as they are given. A key management service has one path, `/`, and no
//! query, so the rules for encoding and normalizing them are not needed and not here.

mod canonical;
mod credentials;
mod sign;
mod verify;

pub use canonical::{Request, Scope};
pub use credentials::{Credentials, SECRET_NEEDED};
pub use sign::{AUTHORIZATION, DATE, TOKEN, sign};
pub use verify::{Refusal, verify};
