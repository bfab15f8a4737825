//! One measured run of one codec: a server, a worker in a process of its own, a load, and what all three
//! tell. `compare` sets several beside each other; `verify` ends with two of them.

mod codec;
mod contender;
mod fault;
mod history;
mod keys;
mod page;
mod progress;
mod result;
mod run;
mod sampler;
mod scenario;
mod trace;
mod worker_log;
mod worker_process;

pub use codec::{Codec, Reference};
pub use contender::Contender;
pub use fault::{Fault, FaultArgs};
pub use history::History;
pub use keys::{Keys, random};
pub use page::{LiveArgs, OnPage};
pub use progress::{Live, Onlooker, RunProgress};
pub use result::{KeyServiceUsed, Run, Series, Workflows};
pub use run::{Experiment, Measured, Target};
pub use scenario::{Scenario, ScenarioName};
pub use trace::merge as merge_traces;
pub use worker_log::Trouble;
pub use worker_process::WorkerExited;
