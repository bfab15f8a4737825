//! The Rust code that [`docs/recipes.md`](../../../docs/recipes.md) quotes. The code in Python and Go lies beside it,
//! in `python/` and `go/`. The tests of this package run all of it.
//!
//! | module | what it shows |
//! | --- | --- |
//! | [`find`] | a log line that names the call that blocks |
//! | [`confirm`] | telling a codec that blocks from one that is slow |
//! | [`on_threads`] | a client that can only block |
//! | [`awaited`] | a client with an async call |
//! | [`in_place`] | why `block_in_place` is no fix |

pub mod awaited;
pub mod confirm;
pub mod find;
pub mod in_place;
pub mod on_threads;
