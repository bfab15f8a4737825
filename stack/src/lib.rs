//! The stack: Temporal's dev server, Prometheus and Grafana, run by process-compose from
//! `stack/process-compose.yaml`.
//!
//! It is a package of its own, without the Temporal SDK, so that it builds in seconds: `nix run
//! .#stack` and `cargo workshop stack` are both this code.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`programs`] | which programs are needed, in which version, and how to get them |
//! | [`checkout`] | the workshop's folder, the settings, and where a run keeps its files |
//! | [`services`] | the three services: their ports, and how each is asked whether it is healthy |
//! | [`prometheus`] | Prometheus' configuration for a run, and whether its rules are loaded |
//! | [`ports`] | is a port taken, and by whom |
//! | [`process_compose`] | process-compose, as a program that is run and asked |
//! | [`command`] | `stack`, `stack status`, `stack down`: the flags |
//! | [`up`], [`status`] | starts, looks after and ends the stack; tells how it is |

pub mod checkout;
pub mod command;
pub mod ports;
pub mod process_compose;
pub mod programs;
pub mod prometheus;
pub mod services;
pub mod status;
pub mod up;
