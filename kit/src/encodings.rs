//! What a decrypted payload is encoded with: compressed ones are inflated, and unknown encodings are logged.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use flate2::{Decompress, FlushDecompress, Status};
use tokio::task_local;

use crate::{ENCODING, Payload};

/// The encoding of a payload that was compressed, as Go's encryption sample does before it encrypts: `data` is
/// the serialized Payload in zlib's format.
pub const COMPRESSED: &[u8] = b"binary/zlib";
/// The most bytes that compressed payloads may inflate to, in one call: 32 MiB. The server stores at most 2 MB in
/// a payload, and as little as 1 MB can inflate to 1 GB.
pub const MOST_INFLATED: usize = 32 << 20;

/// Answers whether a compressed payload may take so many more bytes of memory to inflate into.
pub type MayInflate = Arc<dyn Fn(usize) -> bool + Send + Sync>;

task_local! {
    static MAY_INFLATE: MayInflate;
}

/// What the converters of Temporal's SDKs read.
const READ_BY_SDKS: [&[u8]; 5] =
    [b"json/plain", b"binary/null", b"binary/plain", b"json/protobuf", b"binary/protobuf"];
/// How many different unknown encodings are logged. Who writes a payload chooses its encoding.
const LOGGED: usize = 16;
/// The longest that is logged, in bytes.
const LONGEST: usize = 64;

/// Why compressed data could not be inflated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// It is no zlib stream, or not all of one.
    Broken,
    /// It has more bytes than allowed.
    TooLarge,
    /// It was refused the memory.
    NoMemory,
}

/// Runs calls of a codec that share memory with others under way at the same time. Before [`open`](crate::open) and
/// [`open_all`](crate::open_all) take memory for a compressed payload, they ask `may_inflate`. If it refuses,
/// they fail with [`OpenError::NoMemory`](crate::OpenError::NoMemory).
///
/// A codec that opens payloads on another thread or in another Tokio task does not ask.
pub async fn inflating_within<T>(may_inflate: MayInflate, calls: impl Future<Output = T>) -> T {
    MAY_INFLATE.scope(may_inflate, calls).await
}

/// Asks what [`inflating_within`] was given. Outside of it, the answer is yes.
pub(crate) fn may_inflate(bytes: usize) -> bool {
    MAY_INFLATE.try_with(|may_inflate| may_inflate(bytes)).unwrap_or(true)
}

pub(crate) fn is_compressed(payload: &Payload) -> bool {
    payload.metadata.get(ENCODING).is_some_and(|encoding| encoding == COMPRESSED)
}

/// Inflates a zlib stream to at most that many bytes. Allocates at most one byte more, and asks `may_inflate`
/// before each allocation.
pub(crate) fn inflate(
    compressed: &[u8],
    most: usize,
    may_inflate: impl Fn(usize) -> bool,
) -> Result<Vec<u8>, InflateError> {
    let mut zlib = Decompress::new(true);
    let mut inflated = Vec::new();
    let mut rest = compressed;
    loop {
        if inflated.len() == inflated.capacity() {
            let more = inflated.len().max(compressed.len()).max(64).min(most + 1 - inflated.len());
            if !may_inflate(more) {
                return Err(InflateError::NoMemory);
            }
            inflated.reserve_exact(more);
        }
        let before = zlib.total_in();
        let status = zlib
            .decompress_vec(rest, &mut inflated, FlushDecompress::None)
            .map_err(|_| InflateError::Broken)?;
        if inflated.len() > most {
            return Err(InflateError::TooLarge);
        }
        if status == Status::StreamEnd {
            return Ok(inflated);
        }
        let read = usize::try_from(zlib.total_in() - before).map_err(|_| InflateError::Broken)?;
        rest = &rest[read..];
        // There was room for more: what is missing was cut off.
        if read == 0 && inflated.len() < inflated.capacity() {
            return Err(InflateError::Broken);
        }
    }
}

/// Logs an encoding that no SDK reads by itself, once. The SDK's own error does not name it.
pub(crate) fn log_unknown(payload: &Payload) {
    static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let Some(encoding) = unknown(payload) else { return };
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if seen.len() < LOGGED && seen.insert(encoding.to_owned()) {
        tracing::warn!(
            encoding,
            "a payload has an encoding that Temporal's SDKs do not read. If its workflow task or activity fails \
             again and again, decode that encoding in the worker's codec"
        );
    }
}

/// The payload's encoding, if no SDK reads it. What does not look like one is not to be logged.
fn unknown(payload: &Payload) -> Option<&str> {
    let encoding = payload.metadata.get(ENCODING)?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"/.+-_".contains(byte);
    let is_loggable = encoding.len() <= LONGEST && encoding.iter().all(is_name);
    if READ_BY_SDKS.contains(&&**encoding) || !is_loggable {
        return None;
    }
    std::str::from_utf8(encoding).ok()
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io::Write};

    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    fn deflate(data: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(data).unwrap();
        zlib.finish().unwrap()
    }

    fn inflate(compressed: &[u8], most: usize) -> Result<Vec<u8>, InflateError> {
        super::inflate(compressed, most, |_| true)
    }

    #[test]
    fn the_bound_is_exact_and_holds_for_the_allocation() {
        for length in [0, 1, 63, 64, 65, 1000, 100_000] {
            let data = vec![b'x'; length];
            let compressed = deflate(&data);
            for most in [length, length + 1, 2 * length + 1] {
                let inflated = inflate(&compressed, most).unwrap();
                assert!(inflated == data, "{length}");
                assert!(inflated.capacity() <= most + 1, "{length} {}", inflated.capacity());
            }
            if length > 0 {
                assert_eq!(inflate(&compressed, length - 1), Err(InflateError::TooLarge));
            }
        }
    }

    #[test]
    fn all_memory_is_asked_for_before_it_is_taken() {
        for length in [0, 1, 64, 1000, 100_000] {
            let compressed = deflate(&vec![b'x'; length]);
            let asked = Cell::new(0);
            let ask = |bytes| {
                asked.set(asked.get() + bytes);
                true
            };
            let inflated = super::inflate(&compressed, MOST_INFLATED, ask).unwrap();
            assert_eq!(asked.get(), inflated.capacity(), "{length}");
            let refused = super::inflate(&compressed, MOST_INFLATED, |_| false);
            assert_eq!(refused, Err(InflateError::NoMemory));
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_is_broken() {
        let data: Vec<u8> =
            (0..20_000_u32).flat_map(|number| (number * number).to_le_bytes()).collect();
        let compressed = deflate(&data);
        assert!(inflate(&compressed, MOST_INFLATED).unwrap() == data);
        for length in (0..compressed.len()).step_by(97).chain([compressed.len() - 1]) {
            assert_eq!(inflate(&compressed[..length], MOST_INFLATED), Err(InflateError::Broken));
        }
        let mut changed = compressed;
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert_eq!(inflate(&changed, MOST_INFLATED), Err(InflateError::Broken), "the checksum");
        assert_eq!(inflate(b"no zlib stream", MOST_INFLATED), Err(InflateError::Broken));
    }

    #[test]
    fn an_encoding_is_logged_only_if_it_is_one_and_unknown() {
        let of = |encoding: &[u8]| Payload {
            metadata: [(ENCODING.to_owned(), encoding.to_vec())].into(),
            ..Payload::default()
        };
        assert_eq!(unknown(&of(b"binary/snappy")), Some("binary/snappy"));
        assert_eq!(unknown(&of(b"")), Some(""));
        let long = [b'x'; LONGEST + 1];
        for quiet in
            [&b"json/plain"[..], b"binary/null", b"a secret", b"two\nlines", b"\xff", &long]
        {
            assert_eq!(unknown(&of(quiet)), None);
        }
        assert_eq!(unknown(&Payload::default()), None);
    }
}
