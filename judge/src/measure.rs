//! Measurements of what a codec does.
//!
//! Every measurement is relative to the stall that the codec met, not in absolute milliseconds: a slow
//! machine makes everything slower, the stall included. What must hold for every call is not checked here but
//! in `checked`.
//!
//! | module | what it measures |
//! | --- | --- |
//! | `payloads` | the wire format, and payloads of every kind |
//! | `stalls` | one stall, a long one, many: whether the codec waits, and what that does to its thread |
//! | `concurrency` | several concurrent stalls: the time and the threads that they take |
//! | `failing` | a key service that fails |
//! | `cancelled` | what is left of calls that were cancelled |
//! | `caching` | a codec that caches keys: for whom, and for how long |
//! | `observed` | whether its calls are in the metrics |
//! | `growth` | what is left after thousands of calls |
//! | `promptness` | how long a call takes that does not wait |
//! | `common` | what several of these need |

mod caching;
mod cancelled;
mod common;
mod concurrency;
mod failing;
mod growth;
mod observed;
mod payloads;
mod promptness;
mod stalls;

pub use caching::{
    Apart, Expiry, OneCall, Sequence, SharedFailure, calls_in_a_row, expiry, keys_apart,
    one_call_for_many, shared_failure, when_the_first_is_cancelled,
};
pub use cancelled::{Cancelled, cancelled};
pub use common::{CLEARLY, JudgeError, MARKER, Operation, POOL_THREADS};
pub use concurrency::{AtOnce, at_once, busiest_thread, stalls_of_one_call, threads_at_once};
pub use failing::{FailingService, failure};
pub use growth::{Growth, growth};
pub use observed::{CALLS, Counted, calls_counted};
pub use payloads::{UNENCRYPTED, payloads, wire_format};
pub use promptness::{Promptness, promptness};
pub use stalls::{LongStall, OneStall, long_stall, many_calls, one_stall, requests_at_once};
