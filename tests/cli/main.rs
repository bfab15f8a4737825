//! What needs neither a server nor a build: the commands that guide, the branches, bundles, texts.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod branches;
mod guide;
mod hints;
mod house;
mod keys;
mod pipes;
mod prefetch;
mod texts;
