//! What needs a real Temporal server.

// A test that can't go on fails where it is.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../../live-page/tests/browser/chromium.rs"]
mod chromium;

mod bad_days;
mod codec_server;
mod compare;
mod dashboards;
mod doctor;
mod kms;
mod one_server;
mod page;
mod peers;
mod readmes;
mod secrets;
mod server;
mod worker;
