//! The application under test: a workflow that runs ten slow greetings, one after another, the worker that
//! runs it with the codec of a step, and the starter that puts a load on it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`workflows`] | GreetingWorkflow and its activity, as the original has them |
//! | [`worker`] | the worker: one runtime for the SDK, stopped by a signal |
//! | [`starter`] | the program `starter`: a load, its progress, its latency table |
//! | [`stuck`] | why a load makes no progress |
//! | [`load`] | starts workflows, waits for them, records how long each took |
//! | [`args`] | the numbers of a load, a key service and a runtime: flags that several programs share |
//! | [`connection`] | which server, namespace and keys; a clear error if no server answers |
//! | [`keys`] | a key service of the worker's own, and data keys that it has wrapped |
//! | [`telemetry`] | `/metrics` from a thread of its own, and the two lag probes |
//! | [`sample`] | what those say at one moment, and over the last seconds |
//! | [`live`] | the worker on a live page |
//! | [`quantiles`] | p50, p95, p99 and maximum of many latencies |
//! | [`trace`] | the codec's long polls as a file that Perfetto opens |
//! | [`totals`] | the total time of the codec's calls, on one line |
//! | [`signals`] | which signal asks the program to stop |

pub mod args;
pub mod connection;
pub mod keys;
pub mod live;
pub mod load;
pub mod quantiles;
pub mod sample;
pub mod signals;
pub mod starter;
pub mod stuck;
pub mod telemetry;
pub mod totals;
pub mod trace;
pub mod worker;
pub mod workflows;
