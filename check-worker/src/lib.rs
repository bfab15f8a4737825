//! Finds what holds up a Temporal worker, in any SDK, from the metrics that it exports.
//!
//! Pages go in, findings come out. Nothing in the first group reads a file, a clock or the network:
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`exposition`] | reads a page in Prometheus' text format, with bounded memory |
//! | [`metric`] | the names of the SDKs' metrics, under every prefix and with every suffix |
//! | [`family`] | which SDK wrote a page, and in which unit |
//! | [`scrape`] | a page at a moment, or why it could not be read |
//! | [`tracker`] | follows a worker's pages, from the first to the last, across restarts |
//! | [`dist`], [`model`] | what was seen, in one form for every SDK |
//! | [`close_up`] | held, or slow? What many pages in quick succession show |
//! | [`finding`], [`facts`] | what a verdict says, and what several of them ask for |
//! | [`findings`] | the verdicts, in the order in which they are decided, each with its text |
//! | [`settings`] | the settings that findings name, as each SDK calls them |
//!
//! Around them:
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`recording`] | recordings: a folder with a page in each file |
//! | [`anonymous`] | recordings without names |
//! | [`fetch`] | reads pages by HTTP, with bounds on their size and time |
//! | [`prometheus`] | pages of the past, from a Prometheus server |
//! | [`server`] | the round trip to a Temporal server |
//! | [`watch`] | watches one worker, with a close-up where it helps |
//! | [`show`], [`report`], [`plots`] | answers as text, JSON and HTML |
//! | [`rules`] | alerts for Prometheus |
//! | [`cli`] | the flags, and what runs for them |

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;

pub mod anonymous;
pub mod cli;
pub mod close_up;
pub mod dist;
pub mod exposition;
pub mod facts;
pub mod family;
pub mod fetch;
pub mod finding;
pub mod findings;
pub mod metric;
pub mod model;
pub mod plots;
pub mod prometheus;
pub mod recording;
pub mod report;
pub mod rules;
pub mod scrape;
pub mod server;
pub mod settings;
pub mod show;
pub mod tracker;
pub mod watch;

/// Runs the program with these arguments; the first is its name. A program that offers it as a command calls
/// this, or [`cli::check`] with flags that it has parsed itself.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli_kit::exit::end(cli::Cli::parse_from(args).run())
}
