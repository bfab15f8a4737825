//! The exercises on disk: their files, the programs that are built from them, and which are solved.

mod build;
mod codec;
mod exercise;
mod progress;
mod puzzle;
mod tries;

pub use build::{build_worker, cargo, does_not_compile, worker_target};
pub use codec::{no_reference, read, reference, source, start};
pub use exercise::{after, chosen, codec, folder, is_solved, next, number, of_folder};
pub use progress::{Progress, Solved};
pub use puzzle::{COUNT as PUZZLES, Puzzle, PuzzleError};
pub use tries::Try;
