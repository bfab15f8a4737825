//! The library behind the workshop's three programs.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`workflows`] | GreetingWorkflow and its activity, as the original has them |
//! | [`connection`] | which server, which namespace, which keys; "no server there" in one sentence |
//! | [`worker`] | the worker: one runtime for the SDK, stopped by a signal |
//! | [`telemetry`] | `/metrics` from a thread of its own, and the two lag probes |
//! | [`load`] | starts workflows, waits for them, records how long each took |
//! | [`starter`] | the program `starter`: a load, its progress, its latency table |
//! | [`compare`] | `workshop compare`: the codecs side by side on a real server |
//! | [`doctor`] | `workshop doctor`: what is here, what is wrong, what to do |
//! | [`quantiles`] | p50, p95, p99 and maximum of a lot of latencies |
//! | [`verify`] | `workshop verify`: is an exercise solved |
//! | [`watch`] | `workshop watch`: judges an exercise whenever it is saved |
//! | [`hints`] | `workshop hint`: a nudge for an exercise, level by level |
//! | [`branches`] | `workshop branches`: the steps as branches of the local repository |
//! | [`way`], [`progress`] | `workshop status`, `next`: where an attendee is; what was solved |
//! | [`codec_file`] | `workshop reset`, `solve`, `diff`: a codec, its start and its solution |
//! | [`server`] | `workshop server`: Temporal's dev server alone |
//! | [`shell`] | `workshop completions`, `man` |
//! | [`prefetch`] | `workshop prefetch`: all that a day without the network needs, and a bundle of it |
//! | [`exercise`] | which exercises there are, and where |
//! | [`files`] | files that are there whole or not at all |
//! | [`interrupt`] | work that a signal ends |
//! | [`logging`], [`exit`] | logs on stderr; exit codes, and errors that carry one |

pub mod branches;
pub mod codec_file;
pub mod compare;
pub mod connection;
pub mod doctor;
pub mod exercise;
pub use stack::exit;
pub mod files;
mod fold;
pub mod hints;
pub mod interrupt;
pub mod load;
pub mod logging;
pub mod prefetch;
mod process_group;
pub mod progress;
pub mod quantiles;
pub mod server;
pub mod shell;
pub mod starter;
pub mod telemetry;
mod utc;
pub mod verify;
pub mod watch;
pub mod way;
pub mod worker;
pub mod workflows;
