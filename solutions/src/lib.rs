//! The reference codec of each step, and the [`judge`] that holds a codec to its step's promise.
//!
//! Each codec stands in a folder of its own beside this package's `src`, in the form in which an
//! attendee meets it: one `codec.rs` with one entry, `codec`. They differ only where they wait for
//! the key, and solution N is byte for byte the start of exercise N+1.

use codec_kit::{AnyCodec, KeyService};

pub mod judge;

#[path = "../03-async-codec/codec.rs"]
mod async_codec;
#[path = "../01-blocking-codec/codec.rs"]
mod blocking_codec;
#[path = "../02-spawn-blocking/codec.rs"]
mod spawn_blocking;
#[path = "../00-start/codec.rs"]
mod start;

/// A step of the workshop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// 00-start: the codec as it was found, blocking and unobserved.
    Start,
    /// 01-blocking-codec: the same, observed.
    Blocking,
    /// 02-spawn-blocking: waits on a thread of tokio's blocking pool.
    SpawnBlocking,
    /// 03-async-codec: waits without a thread.
    Async,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 4] = [Self::Start, Self::Blocking, Self::SpawnBlocking, Self::Async];

    /// The step of that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.number() == number)
    }

    /// Its number, as in `--solution N`.
    pub fn number(self) -> u8 {
        match self {
            Self::Start => 0,
            Self::Blocking => 1,
            Self::SpawnBlocking => 2,
            Self::Async => 3,
        }
    }

    /// The folder of its codec, under `solutions/` and, from 1 on, `exercises/`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Start => "00-start",
            Self::Blocking => "01-blocking-codec",
            Self::SpawnBlocking => "02-spawn-blocking",
            Self::Async => "03-async-codec",
        }
    }

    /// Its reference codec.
    pub fn codec(self, keys: KeyService) -> AnyCodec {
        match self {
            Self::Start => AnyCodec::new(start::codec(keys)),
            Self::Blocking => AnyCodec::new(blocking_codec::codec(keys)),
            Self::SpawnBlocking => AnyCodec::new(spawn_blocking::codec(keys)),
            Self::Async => AnyCodec::new(async_codec::codec(keys)),
        }
    }
}
