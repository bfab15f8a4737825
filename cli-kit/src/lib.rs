//! What every program of the workshop shares.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`cargo`] | the variables to remove before cargo is run again |
//! | [`exit`] | exit codes, and errors that carry one |
//! | [`host`] | addresses to listen on, and whether a request asks for this machine by name |
//! | [`http`] | pages of this machine, read by HTTP |
//! | `logging` | with the feature of that name: `RUST_LOG`, `--log-format` |
//! | [`root`] | the repository's root, and the folder for generated files |
//! | [`settings`] | `settings.env`: ports and folders, and the variables that move them |
//! | [`term`] | text for people: wrapped on a terminal, without a panic at a closed pipe |

pub mod cargo;
pub mod exit;
pub mod host;
pub mod http;
#[cfg(feature = "logging")]
pub mod logging;
pub mod root;
pub mod settings;
pub mod term;
