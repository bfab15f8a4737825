//! Measurements of what a codec does.
//!
//! Every measure is taken against the stall that the codec was dealt, not against absolute
//! milliseconds: a slow machine makes everything slower, the stall included. Where another program
//! on the machine can only make a figure worse, the best of a few tries counts.
//!
//! | module | what it measures |
//! | --- | --- |
//! | `payloads` | the wire format, and whether payloads come through whole and in order |
//! | `stalls` | one stall, a long one, many: whether it waits, and what that does to its thread |
//! | `concurrency` | several stalls at once: the time and the threads that they take |
//! | `failing` | a key service that fails |
//! | `cancelled` | what is left of calls that were dropped |
//! | `caching` | a codec that caches keys: for whom, and for how long |
//! | `observed` | whether its calls are in the metrics |
//! | `harness` | what all of these need to run a codec |

mod caching;
mod cancelled;
mod concurrency;
mod failing;
mod harness;
mod observed;
mod payloads;
mod stalls;

pub use caching::{
    Apart, Expiry, OneCall, SharedFailure, calls_in_a_row, expiry, keys_apart, one_call_for_many,
    shared_failure, when_the_first_is_cancelled,
};
pub use cancelled::{Cancelled, cancelled};
pub use concurrency::{AtOnce, at_once, stalls_of_one_call, threads_at_once};
pub use failing::{FailingService, failure};
pub use harness::{JudgeError, MARKER, MakeCodec, Operation, POOL_THREADS};
pub use observed::calls_counted;
pub use payloads::{payloads, wire_format};
pub use stalls::{
    LongStall, ManyCalls, OneStall, long_stall, many_calls, one_stall, polls_of_one_stall,
};
