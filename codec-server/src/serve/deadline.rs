//! The time that a request may take, until its answer is sent: a client that reads slowly must not hold a
//! connection and an answer for ever.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// When the request of a connection must be done. Without a request there is no such time.
#[derive(Clone)]
pub struct Deadline {
    limit: Duration,
    at: watch::Sender<Option<Instant>>,
}

/// A request under way: until this is dropped, its time runs.
pub struct Running(watch::Sender<Option<Instant>>);

impl Deadline {
    pub fn new(limit: Duration) -> Self {
        Self { limit, at: watch::channel(None).0 }
    }

    /// A request starts. A connection has one at a time.
    pub fn start(&self) -> Running {
        self.at.send_replace(Some(Instant::now() + self.limit));
        Running(self.at.clone())
    }

    /// Waits until a request has taken too long.
    pub async fn passed(&self) {
        let mut at = self.at.subscribe();
        loop {
            let current = *at.borrow_and_update();
            tokio::select! {
                changed = at.changed() => if changed.is_err() { std::future::pending().await },
                () = sleep_until(current.unwrap_or_else(Instant::now)), if current.is_some() => return,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_replace(None);
    }
}

/// An answer whose request runs until the connection has taken all of it.
pub struct Timed {
    body: Body,
    _running: Running,
}

impl Timed {
    pub fn new(body: Body, running: Running) -> Self {
        Self { body, _running: running }
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(10);
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn only_a_request_that_is_not_done_passes_the_deadline() {
        let deadline = Deadline::new(LIMIT);
        assert!(timeout(3 * LIMIT, deadline.passed()).await.is_err(), "there is no request");
        drop(deadline.start());
        assert!(timeout(3 * LIMIT, deadline.passed()).await.is_err(), "the request is done");
        let _running = deadline.start();
        timeout(PATIENCE, deadline.passed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_request_runs_until_its_answer_is_taken() {
        let deadline = Deadline::new(PATIENCE);
        let body = Timed::new(Body::from("answer"), deadline.start());
        assert!(deadline.at.borrow().is_some());
        assert_eq!(axum::body::to_bytes(Body::new(body), 100).await.unwrap(), "answer");
        assert!(deadline.at.borrow().is_none());
    }
}
