//! Connections: how many, how long, with or without TLS, and how they end.

mod deadline;

use std::{io, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::{metrics::Metrics, tls::Tls};
use deadline::{Deadline, Timed};

/// How long to wait when no connection can be accepted, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);
/// The most that is buffered of a request's head, in bytes. Two tokens fit several times.
const HEAD: usize = 64 * 1024;

/// What connections may take.
#[derive(Clone, Debug)]
pub struct Connections {
    /// The most at a time: 512. More wait in the system's queue.
    pub most: usize,
    /// How long a TLS handshake may take, and how long a request's head: 5 s. A connection that is idle for so
    /// long is closed.
    pub head_time: Duration,
    /// How long a request may take from its head to the last byte of its answer: 40 s.
    pub total_time: Duration,
    /// How long requests under way have when the server stops: 10 s.
    pub stop_time: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            most: 512,
            head_time: Duration::from_secs(5),
            total_time: Duration::from_secs(40),
            stop_time: Duration::from_secs(10),
        }
    }
}

/// Serves until `stop` is ready. Then no connection is accepted, idle ones are closed, and requests under way are
/// answered, unless that takes too long.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    limits: Connections,
    metrics: Metrics,
    stop: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(limits.most.max(1)));
    let (stopping, is_stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, accept(&listener).await)
        };
        let (slot, stream) = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let connection = Connection {
            router: router.clone(),
            tls: tls.as_ref().map(|tls| TlsAcceptor::from(tls.config())),
            limits: limits.clone(),
            is_stopping: is_stopping.clone(),
        };
        let connected = metrics.connected();
        connections.spawn(async move {
            if let Err(error) = connection.serve(stream).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop((slot, connected));
        });
    }
    drop(listener);
    tracing::info!(connections = connections.len(), "stops: finishing the requests it has");
    stopping.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.stop_time, all).await.is_err() {
        tracing::warn!("requests took longer than {:?} and were cancelled", limits.stop_time);
        connections.shutdown().await;
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are written whole; waiting for more only delays them.
                stream.set_nodelay(true).ok();
                return stream;
            }
            // Those that the client has already left are no reason to wait.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

struct Connection {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: Connections,
    is_stopping: watch::Receiver<bool>,
}

const TOO_LONG: &str = "a request took too long";

type Error = Box<dyn std::error::Error + Send + Sync>;

impl Connection {
    async fn serve(self, stream: TcpStream) -> Result<(), Error> {
        match self.tls.clone() {
            None => self.http(stream).await,
            Some(tls) => {
                let handshake = timeout(self.limits.head_time, tls.accept(stream)).await;
                self.http(handshake??).await
            }
        }
    }

    async fn http(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<(), Error> {
        let Self { router, limits, mut is_stopping, .. } = self;
        let deadline = Deadline::new(limits.total_time);
        let started = deadline.clone();
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |request: Request<Incoming>| {
            let running = started.start();
            let answer = hyper::service::Service::call(&router, request.map(Body::new));
            async move { answer.await.map(|answer| answer.map(|body| Timed::new(body, running))) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return Ok(result?),
            () = deadline.passed() => return Err(TOO_LONG.into()),
            // Also true for a connection whose handshake took until now.
            _ = is_stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            result = connection => Ok(result?),
            () = deadline.passed() => Err(TOO_LONG.into()),
        }
    }
}
