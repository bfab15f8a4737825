//! Finds what holds up a Temporal worker, in any SDK, from the metrics that it exports.
//!
//! Pages go in, findings come out. Nothing in the first group reads a file, a clock or the network:
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`exposition`] | reads a page in Prometheus' text format, with bounded memory |
//! | [`metric`] | the names of the SDKs' metrics, under every prefix and with every suffix |
//! | [`family`] | which SDK wrote a page, and in which unit |
//! | [`tracker`] | follows a worker's pages, from the first to the last, across restarts |
//! | [`dist`], [`model`] | what was seen, in one form for every SDK |
//! | [`close_up`] | held, or slow? What many pages in quick succession show |
//! | [`findings`] | the verdicts, in the order in which they are decided, each with its text |
//! | [`settings`] | the settings that findings name, as each SDK calls them |
//!
//! Around them:
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`recording`] | recordings: a folder with a page in each file |

pub mod close_up;
pub mod dist;
pub mod exposition;
pub mod family;
pub mod findings;
pub mod metric;
pub mod model;
pub mod recording;
pub mod settings;
pub mod tracker;
