//! Checks a codec by its behaviour, never by its source.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`verdict`] | checks a codec against the promises of a step |
//! | [`promises`], `promise` | the promises, each in a file of its own; what a promise is |
//! | [`measure`] | one measurement each: what a stall does to the thread, how many stalls overlap |
//! | `history` | random histories: many things at once, in any order, shrunk when one breaks something |
//! | `stage`, `script` | a runtime like the worker's; a scripted key service |
//! | `checked`, `fault` | the codec, with every call checked; what can be wrong with a call |
//! | [`advice`] | advice for the most common failures |
//! | `clock` | what a thread did with its time |
//! | `readable`, [`leaks`] | looks for plaintext in what was encrypted, and for plaintext and keys in what was printed |
//! | `noise` | whether this machine can judge at all |
//! | [`examiner`], [`limits`] | the process that runs the codec, and the resources that it may use |

pub mod advice;
mod checked;
mod clock;
pub mod examiner;
mod fault;
mod history;
pub mod leaks;
pub mod limits;
pub mod measure;
mod noise;
mod promise;
pub mod promises;
mod readable;
mod script;
mod stage;
pub mod verdict;

pub use measure::JudgeError;
pub use promise::{Check, Outcome, Promise};
pub use stage::{MakeCodec, Subject};
