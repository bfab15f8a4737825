//! The stack: Temporal's dev server, a codec server, a key service, Prometheus and Grafana, run by
//! process-compose from `stack/process-compose.yaml`.
//!
//! It is a package of its own, without the Temporal SDK, so that it builds in seconds: `nix run
//! .#stack` and `cargo workshop stack` are both this code.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`programs`] | which programs are needed, in which version, and how to get them |
//! | [`checkout`] | the workshop's folder, the settings, and where a run keeps its files |
//! | [`build`] | builds the workshop's own programs, where `PATH` has none |
//! | [`services`] | the services: their programs, their ports, and how each is asked whether it is healthy |
//! | [`prometheus`] | Prometheus' configuration for a run, and whether its rules are loaded |
//! | [`ports`] | whether a port is taken, and by which process |
//! | [`process_compose`] | runs process-compose, and queries it |
//! | [`command`] | `stack`, `stack status`, `stack down`: the flags |
//! | [`up`], [`status`] | starts, supervises and stops the stack; shows its state |

pub mod build;
pub mod checkout;
pub mod command;
pub mod ports;
pub mod process_compose;
pub mod programs;
pub mod prometheus;
pub mod services;
pub mod status;
pub mod up;
