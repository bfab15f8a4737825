//! The stack: Temporal's dev server, Prometheus and Grafana, run by process-compose from
//! `nix/process-compose.yaml`.
//!
//! It is a package of its own, without the Temporal SDK, so that it builds in seconds: `nix run
//! .#stack` and `cargo workshop stack` are both this code.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`settings`] | `nix/stack.env`: ports and folders, and the variables that move them |
//! | [`programs`] | which programs are needed, in which version, and how to get them |
//! | [`services`] | the three services: their ports, and how each is asked whether it is well |
//! | [`ports`] | is a port taken, and by whom |
//! | [`process_compose`] | process-compose, as a program that is run and asked |
//! | [`command`] | `stack`, `stack status`, `stack down`: the flags |
//! | [`up`], [`status`] | starts, looks after and ends the stack; tells how it is |
//! | [`root`], [`exit`] | the workshop's folder; exit codes, and errors that carry one |

pub mod command;
pub mod exit;
pub mod ports;
pub mod process_compose;
pub mod programs;
pub mod root;
pub mod services;
pub mod settings;
pub mod status;
pub mod up;
