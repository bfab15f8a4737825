//! What can happen in a history, and its sentence.

use std::{fmt, time::Duration};

use crate::measure::Operation;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A call to encode this many payloads, in the context with that number.
    Encode { context: usize, payloads: usize },
    /// A call to decode these, in the context with that number.
    Decode { context: usize, pieces: Vec<Piece> },
    /// This many concurrent calls of each operation.
    AtOnce { encode: usize, decode: usize, key: usize },
    /// A call that is cancelled after this time, while another call waits with it if `beside`.
    Cancel { operation: Operation, key: usize, after: Duration, beside: bool },
    /// The next request for a key stalls.
    Stall { operation: Operation, stall: Duration },
    /// From now on, every request for a key stalls.
    StallAll { stall: Duration },
    /// The next requests for a key fail.
    Fail { operation: Operation, requests: usize },
    /// Another key becomes the one to encrypt with.
    Rotate { key: usize },
    /// The service stops handing out this key.
    Revoke { key: usize },
    /// The service hands it out again.
    Restore { key: usize },
    /// Nothing happens.
    Pause { pause: Duration },
}

/// A payload to decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Encrypted with the key of that number.
    Encrypted(usize),
    /// Not encrypted.
    Plain,
    /// Encrypted with the key of that number, and then changed.
    Tampered(usize),
    /// Encrypted with a key that the service never had.
    UnknownKey,
}

/// A history: actions, one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The seed of its payloads and keys.
    pub seed: u64,
    /// How long keys may be used.
    pub lifetime: Duration,
    /// Whether the runtime has two threads.
    pub two_threads: bool,
    /// What happens.
    pub actions: Vec<Action>,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<_> = self.actions.iter().map(Action::to_string).collect();
        f.write_str(&actions.join(", then "))?;
        if self.two_threads {
            f.write_str(" (on a runtime with two threads)")?;
        }
        Ok(())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode { payloads, .. } => write!(f, "encode {}", count(*payloads, "payload")),
            Self::Decode { pieces, .. } => match &pieces[..] {
                [] => f.write_str("decode no payload"),
                [piece] => write!(f, "decode {piece}"),
                pieces => {
                    let pieces: Vec<_> = pieces.iter().map(Piece::to_string).collect();
                    write!(f, "decode in one call {}", pieces.join(", "))
                }
            },
            Self::AtOnce { encode, decode, .. } => {
                write!(f, "encode {encode} times and decode {decode} times at once")
            }
            Self::Cancel { operation, after, beside, .. } => {
                let beside = if *beside { " while another one waits" } else { "" };
                write!(f, "cancel {} after {}{beside}", call(*operation), ms(*after))
            }
            Self::Stall { operation, stall } => {
                write!(f, "stall the next key request of {} for {}", operation.method(), ms(*stall))
            }
            Self::StallAll { stall } if stall.is_zero() => f.write_str("stall no more"),
            Self::StallAll { stall } => write!(f, "stall every key request for {}", ms(*stall)),
            Self::Fail { operation, requests } => {
                write!(
                    f,
                    "fail the next {} of {}",
                    count(*requests, "key request"),
                    operation.method()
                )
            }
            Self::Rotate { .. } => f.write_str("rotate the key"),
            Self::Revoke { key } => write!(f, "revoke key {key}"),
            Self::Restore { key } => write!(f, "restore key {key}"),
            Self::Pause { pause } => write!(f, "pause for {}", ms(*pause)),
        }
    }
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypted(key) => write!(f, "a payload of key {key}"),
            Self::Plain => f.write_str("a plain payload"),
            Self::Tampered(key) => write!(f, "a tampered payload of key {key}"),
            Self::UnknownKey => f.write_str("a payload of an unknown key"),
        }
    }
}

fn call(operation: Operation) -> &'static str {
    match operation {
        Operation::Encode => "an encode call",
        Operation::Decode => "a decode call",
    }
}

fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

fn ms(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}
