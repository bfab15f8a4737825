//! The reference codec of each step.
//!
//! Each codec has a folder beside this package's `src`, in the form that attendees know: one `codec.rs` with
//! one entry point, `codec`. They differ only in where they wait for a key. Solution N is, byte for byte, the
//! starting code of exercise N+1.

use codec_kit::{AnyCodec, KeyService};

#[path = "../03-async-codec/codec.rs"]
mod async_codec;
#[path = "../04-beyond-async/codec.rs"]
mod beyond_async;
#[path = "../01-blocking-codec/codec.rs"]
mod blocking_codec;
#[path = "../02-spawn-blocking/codec.rs"]
mod spawn_blocking;
#[path = "../00-start/codec.rs"]
mod start;

/// There is no exercise with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no exercise {0}; choose 1 to {last}", last = Step::EXERCISES.len())]
pub struct NoSuchExercise(u8);

/// There is no solution with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no solution {0}; choose 0 to {last}", last = Step::EXERCISES.len())]
pub struct NoSuchSolution(u8);

/// A step of the workshop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// 00-start: the codec as it was found, blocking and unobserved.
    Start,
    /// 01-blocking-codec: the same, observed.
    Blocking,
    /// 02-spawn-blocking: waits on a thread of tokio's blocking pool.
    SpawnBlocking,
    /// 03-async-codec: waits without a thread.
    Async,
    /// 04-beyond-async: caches keys, and rarely waits.
    BeyondAsync,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 5] =
        [Self::Start, Self::Blocking, Self::SpawnBlocking, Self::Async, Self::BeyondAsync];

    /// The steps that are exercises, in order.
    pub const EXERCISES: [Self; 4] =
        [Self::Blocking, Self::SpawnBlocking, Self::Async, Self::BeyondAsync];

    /// The step of that number.
    ///
    /// # Errors
    /// When there is none.
    pub fn solution(number: u8) -> Result<Self, NoSuchSolution> {
        let step = Self::ALL.into_iter().find(|step| step.number() == number);
        step.ok_or(NoSuchSolution(number))
    }

    /// The exercise of that number.
    ///
    /// # Errors
    /// When there is none.
    pub fn exercise(number: u8) -> Result<Self, NoSuchExercise> {
        let exercise = Self::EXERCISES.into_iter().find(|step| step.number() == number);
        exercise.ok_or(NoSuchExercise(number))
    }

    /// Its number, as in `--solution N`.
    pub fn number(self) -> u8 {
        match self {
            Self::Start => 0,
            Self::Blocking => 1,
            Self::SpawnBlocking => 2,
            Self::Async => 3,
            Self::BeyondAsync => 4,
        }
    }

    /// The step whose solution its exercise starts with.
    pub fn start(self) -> Self {
        match self {
            Self::Start | Self::Blocking => Self::Start,
            Self::SpawnBlocking => Self::Blocking,
            Self::Async => Self::SpawnBlocking,
            Self::BeyondAsync => Self::Async,
        }
    }

    /// The folder of its codec, under `solutions/` and, from 1 on, `exercises/`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Start => "00-start",
            Self::Blocking => "01-blocking-codec",
            Self::SpawnBlocking => "02-spawn-blocking",
            Self::Async => "03-async-codec",
            Self::BeyondAsync => "04-beyond-async",
        }
    }

    /// Its reference codec.
    pub fn codec(self, keys: KeyService) -> AnyCodec {
        match self {
            Self::Start => AnyCodec::new(start::codec(keys)),
            Self::Blocking => AnyCodec::new(blocking_codec::codec(keys)),
            Self::SpawnBlocking => AnyCodec::new(spawn_blocking::codec(keys)),
            Self::Async => AnyCodec::new(async_codec::codec(keys)),
            Self::BeyondAsync => AnyCodec::new(beyond_async::codec(keys)),
        }
    }
}
