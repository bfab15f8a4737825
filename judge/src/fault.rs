//! Faults: what no codec may do, whichever check is running.

use serde::{Deserialize, Serialize};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It panicked.
    Panicked,
    /// A payload came back from `encode` unencrypted, or in another format.
    NotEncrypted,
    /// More or fewer payloads came back than went in.
    Count,
    /// A payload came back changed, or in another order.
    Changed,
    /// A payload, or its metadata, can be read in what was encrypted, or in an error.
    Readable,
    /// Two payloads have one nonce.
    Nonce,
    /// Encrypted with a key that the service never gave for that.
    ForeignKey,
    /// Encrypted although the key service failed and gave no key.
    NoKey,
    /// Used a key past its lifetime.
    Expired,
    /// Decoded a payload that it must reject.
    Accepted,
    /// Returned an error although the key service answered and the payloads are sound.
    UndueError,
    /// Asked the key service again and again.
    Storm,
    /// A call that never returned.
    Lost,
    /// Blocked its thread.
    Blocked,
    /// Blocked its thread in several polls, one right after the other, each of them too short to count.
    BlockedInTurn,
    /// Computed on its thread for a long time, or had its future polled all the time.
    Spun,
    /// Has a thread that never stops computing.
    NeverPauses,
}

impl Kind {
    /// Whether it blocked its thread.
    pub fn blocks(self) -> bool {
        matches!(self, Self::Blocked | Self::BlockedInTurn)
    }

    /// Whether it is about time alone, which a busy machine can take as well.
    pub fn is_about_time(self) -> bool {
        self.blocks() || matches!(self, Self::Spun | Self::NeverPauses)
    }

    /// It in a few words, after "Not solved yet:".
    pub fn headline(self) -> &'static str {
        match self {
            Self::Panicked => "the codec panicked",
            Self::NotEncrypted => "a payload came back unencrypted",
            Self::Count => "payloads were lost or added",
            Self::Changed => "a payload came back changed",
            Self::Readable => "a payload is readable where it should be encrypted",
            Self::Nonce => "two payloads have the same nonce",
            Self::ForeignKey => "it encrypts with a key that it was not given",
            Self::NoKey => "it encrypts although the key service gave no key",
            Self::Expired => "it uses a key that has expired",
            Self::Accepted => "it accepts a payload that it must reject",
            Self::UndueError => "it returns an error although nothing failed",
            Self::Storm => "it asks the key service again and again",
            Self::Lost => "a call never returned",
            Self::Blocked | Self::BlockedInTurn => "it blocks the thread",
            Self::Spun => "it keeps the thread busy while it waits",
            Self::NeverPauses => "it has a thread that never stops computing",
        }
    }
}

/// A fault, and the sentence for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// What happened, without a full stop.
    pub says: String,
}
