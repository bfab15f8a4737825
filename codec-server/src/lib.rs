//! A codec server for Temporal: the Web UI, the CLI and the SDKs send it payloads over HTTP, and get them back
//! encoded or decoded.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`router`] | [`CodecServer`]: the routes over any [`PayloadCodec`](codec_kit::PayloadCodec) |
//! | [`protocol`] | what a request asks for: operation, namespace, media type |
//! | [`json`] | payloads as JSON |
//! | [`cors`] | which web pages may use the server |
//! | [`auth`] | who may decode and encode: [tokens](auth::tokens), [JWTs](auth::jwt), [rights](auth::rights) |
//! | [`limits`] | how much a request may take |
//! | [`refusal`] | why a request is refused: one text for the client, another for the log |
//! | [`metrics`] | what the server has done, for Prometheus |
//! | [`serve`](mod@serve) | connections: how many, how long, and how they end |
//! | [`tls`] | certificates |
//! | [`keys`], [`reload`] | the worker's keys, and files that are read again when they change |
//! | [`cli`] | the program |
//!
//! # A codec server for a codec of your own
//!
//! ```no_run
//! use codec_kit::{KeyService, Keyring};
//! use codec_server::{CodecServer, Connections, Metrics, Origins, serve};
//! use solutions::Step;
//! use tokio::net::TcpListener;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Any `PayloadCodec`.
//! let codec = Step::Async.codec(KeyService::new(Keyring::test_key()));
//! let metrics = Metrics::new(&prometheus::Registry::new())?;
//! // An `axum::Router`, which may be nested in another.
//! let router = CodecServer::new(codec)
//!     .origins(Origins::new(Origins::local_ui(8233)))
//!     .metrics(metrics.clone())
//!     .router();
//! let listener = TcpListener::bind("127.0.0.1:8081").await?;
//! let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! serve(listener, router, None, Connections::default(), metrics, stop).await;
//! # Ok(())
//! # }
//! ```

pub mod auth;
pub mod cli;
pub mod cors;
pub mod json;
pub mod keys;
pub mod limits;
pub mod metrics;
mod offload;
pub mod protocol;
pub mod refusal;
pub mod reload;
pub mod router;
pub mod serve;
pub mod tls;
mod transform;

pub use auth::Auth;
pub use cli::main;
pub use cors::{Origin, Origins};
pub use limits::Limits;
pub use metrics::Metrics;
pub use refusal::{Kind, Refusal};
pub use router::CodecServer;
pub use serve::{Connections, serve};
pub use tls::Tls;
