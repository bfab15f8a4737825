//! Judges a codec by what it does, never by its text.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`measure`] | one measurement each: what a stall does to the thread, how many stalls fit in one |
//! | [`promise`] | what a step promises, and whether a codec keeps it, from these measurements |

pub mod measure;
pub mod promise;

pub use measure::{JudgeError, MakeCodec};
pub use promise::{Check, Outcome, Promise};
