//! Judges a codec by what it does, never by its text.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`measure`] | one measurement each: what a stall does to the thread, how many stalls fit in one |
//! | [`promise`], [`promises`] | what a promise is and how it is judged; each of them, in a file of its own |
//! | [`noise`] | whether this machine can judge at all |
//! | [`examiner`] | the process that judges: it runs the codec, and writes down what it finds |
//! | [`limits`] | what a codec may take meanwhile |
//! | [`leaks`] | looks for plaintext and keys in what a program has printed |

pub mod examiner;
pub mod leaks;
pub mod limits;
pub mod measure;
pub mod noise;
pub mod promise;
pub mod promises;

pub use measure::{JudgeError, MakeCodec};
pub use promise::{Check, Outcome, Promise};
