//! The commands that guide an attendee through the exercises.

pub mod edit;
pub mod hints;
pub mod puzzle;
pub mod status;
pub mod watch;
pub mod worker;
