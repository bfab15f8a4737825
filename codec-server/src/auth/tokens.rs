//! Bearer tokens from a file: one a line, and after it what its holder may do.
//!
//! ```text
//! # openssl rand -hex 32
//! 6d0f…c1
//! 9a41…07 orders:read billing:write
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::rights::{Identity, Right, Rights};
use crate::refusal::{Kind, Refusal};

/// A token that is shorter could be guessed. In characters.
const SHORTEST: usize = 32;

/// Why a file of tokens can't be used. Names the line, and never shows a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The file can't be read.
    #[error("can't read the file of tokens {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no token in it.
    #[error(
        "the file of tokens {} holds no token: write at least one, such as the output of \
         `openssl rand -hex 32`",
        .0.display()
    )]
    Empty(PathBuf),
    /// A token is too short.
    #[error(
        "line {line} of the tokens: the token has {length} characters, fewer than {SHORTEST}: use the \
         output of `openssl rand -hex 32`"
    )]
    Short {
        /// The line, from 1.
        line: usize,
        /// How many characters it has.
        length: usize,
    },
    /// A token has characters that can't be sent in a header.
    #[error(
        "line {0} of the tokens: the token has characters other than letters, digits and punctuation \
         of ASCII"
    )]
    NotAscii(usize),
    /// What follows a token is not a right. It is not shown, because it may be a token in the wrong place.
    #[error(
        "line {0} of the tokens: what follows the token is not of the form NAMESPACE:read or \
         NAMESPACE:write, with * for every namespace"
    )]
    Right(usize),
    /// Two lines have the same token.
    #[error(
        "line {0} of the tokens repeats a token of an earlier line, so it is not clear what its holder \
         may do"
    )]
    Doubled(usize),
}

/// The tokens of a file. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<RwLock<Arc<[Known]>>>);

/// A known token, as its digest: digests all have the same length, and comparing them reveals nothing of the
/// token.
struct Known {
    line: usize,
    digest: [u8; SHA256_OUTPUT_LEN],
    rights: Rights,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").field("line", &self.line).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads a file of tokens.
    ///
    /// # Errors
    /// See [`TokensError`].
    pub fn read(path: &Path) -> Result<Self, TokensError> {
        Ok(Self(Arc::new(RwLock::new(read(path)?))))
    }

    /// Reads the file again. Returns how many tokens there are now.
    ///
    /// # Errors
    /// See [`TokensError`]. Then the tokens stay as they are.
    pub fn read_again(&self, path: &Path) -> Result<usize, TokensError> {
        let tokens = read(path)?;
        let count = tokens.len();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = tokens;
        Ok(count)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.known().len()
    }

    fn known(&self) -> Arc<[Known]> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose token this is. Compares it with every known one, so that the time it takes does not depend on which
    /// of them it is like.
    pub(super) fn identify(&self, token: &str) -> Result<Identity, Refusal> {
        let digest = digest_of(token);
        let known = self.known();
        let mut found = 0_u64;
        for (position, known) in (1..).zip(known.iter()) {
            found.conditional_assign(&position, known.digest.ct_eq(&digest));
        }
        let position = usize::try_from(found).ok().and_then(|found| found.checked_sub(1));
        match position.and_then(|position| known.get(position)) {
            Some(Known { line, rights, .. }) => {
                Ok(Identity { name: format!("token of line {line}"), rights: rights.clone() })
            }
            None => Err(Refusal::new(Kind::Unauthenticated, "the token is not a known one")),
        }
    }
}

fn digest_of(token: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let digest = digest(&SHA256, token.as_bytes());
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn read(path: &Path) -> Result<Arc<[Known]>, TokensError> {
    let text = Zeroizing::new(
        fs::read_to_string(path)
            .map_err(|source| TokensError::File { path: path.to_owned(), source })?,
    );
    let tokens = parse(&text)?;
    match tokens.is_empty() {
        true => Err(TokensError::Empty(path.to_owned())),
        false => Ok(tokens.into()),
    }
}

fn parse(text: &str) -> Result<Vec<Known>, TokensError> {
    let mut tokens: Vec<Known> = Vec::new();
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let mut words = text.split_whitespace();
        let Some(token) = words.next().filter(|word| !word.starts_with('#')) else { continue };
        if !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(TokensError::NotAscii(line));
        }
        if token.len() < SHORTEST {
            return Err(TokensError::Short { line, length: token.len() });
        }
        let rights = words.take_while(|word| !word.starts_with('#')).map(str::parse::<Right>);
        let rights = rights.collect::<Result<Vec<_>, _>>().map_err(|_| TokensError::Right(line))?;
        let rights = if rights.is_empty() { Rights::all() } else { rights.into_iter().collect() };
        let digest = digest_of(token);
        if tokens.iter().any(|known| known.digest == digest) {
            return Err(TokensError::Doubled(line));
        }
        tokens.push(Known { line, digest, rights });
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::{
        super::rights::{Access, Verdict},
        *,
    };

    const FIRST: &str = "0123456789abcdef0123456789abcdef";
    const SECOND: &str = "fedcba9876543210fedcba9876543210";

    fn tokens(text: &str) -> Tokens {
        Tokens(Arc::new(RwLock::new(parse(text).unwrap().into())))
    }

    #[test]
    fn a_token_has_the_rights_of_its_line() {
        let tokens = tokens(&format!(
            "\u{feff}# comment\n\n {FIRST}  # all\r\n{SECOND} orders:read billing:write # some\n"
        ));
        let first = tokens.identify(FIRST).unwrap();
        assert_eq!((&*first.name, first.rights), ("token of line 3", Rights::all()));
        let second = tokens.identify(SECOND).unwrap();
        assert_eq!(second.name, "token of line 4");
        assert_eq!(second.rights.allow(Access::Write, Some("orders")), Verdict::No);
        assert_eq!(second.rights.allow(Access::Write, Some("billing")), Verdict::Yes);
    }

    #[test]
    fn any_other_token_is_refused() {
        let tokens = tokens(&format!("{FIRST}\n{SECOND}\n"));
        let shorter = &FIRST[..31];
        let longer = format!("{FIRST}0");
        let upper = FIRST.to_uppercase();
        for token in ["", shorter, &longer, &upper, "#", &"x".repeat(1 << 16)] {
            let refusal = tokens.identify(token).unwrap_err();
            assert_eq!(refusal.kind(), Kind::Unauthenticated);
            assert!(token.is_empty() || !refusal.to_string().contains(token));
        }
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_by_line_and_not_shown() {
        for (text, expected) in [
            ("secret".to_owned(), "line 1 of the tokens: the token has 6 characters"),
            (format!("{FIRST}\n{SECOND} orders"), "line 2 of the tokens: what follows"),
            (format!("{SECOND} {FIRST}"), "line 1 of the tokens: what follows"),
            (format!("{FIRST}\n{FIRST} orders:read"), "line 2 of the tokens repeats"),
            (format!("{FIRST}\u{200b}"), "line 1 of the tokens: the token has characters"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains(FIRST) && !error.contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", tokens(FIRST)).contains(FIRST));
    }

    #[test]
    fn a_file_is_read_again_and_a_broken_one_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), FIRST).unwrap();
        let tokens = Tokens::read(file.path()).unwrap();
        fs::write(file.path(), "short").unwrap();
        assert!(tokens.read_again(file.path()).is_err());
        assert!(tokens.identify(FIRST).is_ok());
        fs::write(file.path(), SECOND).unwrap();
        assert_eq!(tokens.read_again(file.path()).unwrap(), 1);
        assert!(tokens.identify(FIRST).is_err() && tokens.identify(SECOND).is_ok());
        fs::write(file.path(), "# none\n").unwrap();
        assert!(matches!(tokens.read_again(file.path()), Err(TokensError::Empty(_))));
        assert!(matches!(Tokens::read(Path::new("/nowhere")), Err(TokensError::File { .. })));
    }
}
