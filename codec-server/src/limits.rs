//! How much a request may take: bytes, time and memory.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, header},
};
use futures::StreamExt;
use hyper::body::{Frame, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::refusal::{Kind, Refusal};

/// The unit in which memory for bodies is counted, in bytes.
const UNIT: usize = 1024;
/// What an answer is cut into, in bytes: a connection takes the next piece when the last is nearly sent.
const PIECE: usize = 64 * 1024;
/// How much of a refused body is read, so that the client sees the answer and not a closed connection.
const DRAINED: usize = 8 << 20;

/// What requests may take. The defaults suit a server that people and a few workers use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest body, in bytes: 4 MiB, the limit for a message of Temporal's gRPC.
    pub body: usize,
    /// The most bytes of bodies in memory at a time: 32 MiB. More requests wait. At least as much as `body`.
    pub bodies: usize,
    /// The most bytes that compressed payloads take at a time when they are inflated: 64 MiB. A request that needs
    /// more than is left is refused. A request's share is free again when its answer is sent.
    pub inflated: usize,
    /// The most requests that are transformed and answered at a time: 32. More requests wait.
    pub requests: usize,
    /// The most calls of the codec side by side for one request: 8.
    pub calls: usize,
    /// How long a body may take: 10 s.
    pub body_time: Duration,
    /// How long a request waits for its turn: 5 s.
    pub turn_time: Duration,
    /// How long the codec may take: 15 s.
    pub codec_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 4 << 20,
            bodies: 32 << 20,
            inflated: 64 << 20,
            requests: 32,
            calls: 8,
            body_time: Duration::from_secs(10),
            turn_time: Duration::from_secs(5),
            codec_time: Duration::from_secs(15),
        }
    }
}

/// The limits, and what is left of them.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    pub limits: Limits,
    memory: Arc<Semaphore>,
    /// In bytes.
    inflated: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A body, and the memory that is set aside for it and for its answer.
pub(crate) struct ReadBody {
    pub bytes: Bytes,
    pub share: Share,
}

/// Part of the budget. It is free again when this is dropped.
pub(crate) struct Share {
    _memory: OwnedSemaphorePermit,
    turn: Option<OwnedSemaphorePermit>,
    /// What the request's compressed payloads take.
    pub inflated: Arc<Inflated>,
}

/// The memory that the compressed payloads of a request take when they are inflated. It is free again when this is
/// dropped.
pub(crate) struct Inflated {
    left: Arc<Semaphore>,
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    permits: Option<OwnedSemaphorePermit>,
    /// Whether other requests have what was refused last.
    is_busy: bool,
}

impl Inflated {
    /// Takes so many more bytes, without waiting: requests that wait for each other's memory while they have some
    /// would wait for ever. Returns whether there were as many left.
    pub fn take(&self, bytes: usize) -> bool {
        let mut taken = self.taken();
        let more = u32::try_from(bytes).ok();
        let more = more.and_then(|bytes| self.left.clone().try_acquire_many_owned(bytes).ok());
        let Some(more) = more else {
            let own = taken.permits.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            taken.is_busy = own.saturating_add(bytes) <= self.most;
            return false;
        };
        match &mut taken.permits {
            Some(permits) => permits.merge(more),
            none => *none = Some(more),
        }
        true
    }

    /// Whether other requests have what was refused. If not, the request needs more than there is.
    pub fn is_busy(&self) -> bool {
        self.taken().is_busy
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Budget {
    pub fn new(limits: Limits) -> Self {
        let units = limits.bodies.max(limits.body).div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            memory: Arc::new(Semaphore::new(units)),
            inflated: Arc::new(Semaphore::new(limits.inflated.min(Semaphore::MAX_PERMITS))),
            turns: Arc::new(Semaphore::new(limits.requests.max(1))),
            limits,
        }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// When it is too large, too slow or cut off, or there is no memory for it in time.
    pub async fn read(&self, body: Body) -> Result<ReadBody, Refusal> {
        let most = self.limits.body;
        let too_large = || {
            let reason = format!("the body has more than {most} bytes");
            Refusal::new(Kind::BodyTooLarge, reason)
        };
        // A body of unknown length may become as large as any.
        let expected = body.size_hint().exact().map_or(Ok(most), usize::try_from);
        let Some(expected) = expected.ok().filter(|length| *length <= most) else {
            drain(body, self.limits.body_time).await;
            return Err(too_large());
        };
        let memory = self.take(&self.memory, expected.div_ceil(UNIT)).await?;
        let Ok(read) = timeout(self.limits.body_time, collect(body, expected, most)).await else {
            let reason = format!("the body took longer than {:?}", self.limits.body_time);
            return Err(Refusal::new(Kind::SlowBody, reason));
        };
        match read {
            Ok(bytes) => {
                let inflated = Arc::new(self.inflated());
                Ok(ReadBody { bytes, share: Share { _memory: memory, turn: None, inflated } })
            }
            Err(Unread::Broken) => Err(Refusal::new(Kind::BrokenBody, "the body was cut off")),
            Err(Unread::TooLarge(rest)) => {
                drain(rest, self.limits.body_time).await;
                Err(too_large())
            }
        }
    }

    /// Memory for the compressed payloads of a request: nothing so far.
    pub fn inflated(&self) -> Inflated {
        Inflated {
            left: self.inflated.clone(),
            most: self.limits.inflated,
            taken: Mutex::default(),
        }
    }

    /// Waits for the turn to transform.
    ///
    /// # Errors
    /// When it does not come in time.
    pub async fn turn(&self, share: &mut Share) -> Result<(), Refusal> {
        share.turn = Some(self.take(&self.turns, 1).await?);
        Ok(())
    }

    async fn take(
        &self,
        of: &Arc<Semaphore>,
        amount: usize,
    ) -> Result<OwnedSemaphorePermit, Refusal> {
        let amount = u32::try_from(amount).unwrap_or(u32::MAX);
        match timeout(self.limits.turn_time, of.clone().acquire_many_owned(amount)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                let reason = format!("its turn did not come within {:?}", self.limits.turn_time);
                Err(Refusal::new(Kind::Busy, reason))
            }
        }
    }
}

enum Unread {
    TooLarge(Body),
    Broken,
}

async fn collect(body: Body, expected: usize, most: usize) -> Result<Bytes, Unread> {
    // A client that announces much may send little.
    let mut read = Vec::with_capacity(expected.min(PIECE));
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| Unread::Broken)?;
        if read.len() + piece.len() > most {
            return Err(Unread::TooLarge(Body::from_stream(stream)));
        }
        read.extend_from_slice(&piece);
    }
    Ok(read.into())
}

/// Reads the body of a request that is refused in any case, and forgets it: a client that is still sending when
/// the connection is closed does not see the answer. One that asks first ("Expect") sends nothing then.
pub(crate) async fn drain_refused(headers: &HeaderMap, body: Body, limit: Duration) {
    if !headers.contains_key(header::EXPECT) {
        drain(body, limit).await;
    }
}

async fn drain(body: Body, limit: Duration) {
    if body.size_hint().lower() > DRAINED as u64 {
        return;
    }
    let read = async {
        let (mut stream, mut length) = (body.into_data_stream(), 0);
        while let Some(Ok(piece)) = stream.next().await {
            length += piece.len();
            if length > DRAINED {
                break;
            }
        }
    };
    timeout(limit, read).await.ok();
}

/// An answer that is handed out in pieces, so that its share of the budget stays taken until the client has
/// received nearly all of it.
pub(crate) struct PacedBody {
    rest: Bytes,
    _share: Share,
}

impl PacedBody {
    pub fn of(body: Vec<u8>, share: Share) -> Body {
        Body::new(Self { rest: body.into(), _share: share })
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let length = self.rest.len().min(PIECE);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn budget(body: usize, bodies: usize) -> Budget {
        let turn_time = Duration::from_millis(20);
        Budget::new(Limits { body, bodies, requests: 1, turn_time, ..Limits::default() })
    }

    fn pieces(pieces: Vec<Result<&'static str, std::io::Error>>) -> Body {
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
        let budget = budget(8, 1024);
        assert_eq!(budget.read("12345678".into()).await.unwrap().bytes, "12345678");
        let piecewise = pieces(vec![Ok("1234"), Ok(""), Ok("5678")]);
        assert_eq!(budget.read(piecewise).await.unwrap().bytes, "12345678");
        for body in ["123456789".into(), pieces(vec![Ok("1234"), Ok("56789")])] {
            assert_eq!(budget.read(body).await.err().unwrap().kind(), Kind::BodyTooLarge);
        }
        assert_eq!(budget.read(Body::empty()).await.unwrap().bytes, "");
    }

    #[tokio::test]
    async fn a_body_that_is_cut_off_or_slow_is_refused() {
        let budget = budget(8, 1024);
        let broken = pieces(vec![Ok("1234"), Err(std::io::Error::other("gone"))]);
        assert_eq!(budget.read(broken).await.err().unwrap().kind(), Kind::BrokenBody);
        let limits = Limits { body_time: Duration::from_millis(5), ..Limits::default() };
        let slow = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let refusal = Budget::new(limits).read(slow).await.err().unwrap();
        assert_eq!(refusal.kind(), Kind::SlowBody);
    }

    #[test]
    fn requests_share_the_memory_for_what_they_inflate() {
        let budget = Budget::new(Limits { inflated: 100, ..Limits::default() });
        let (first, second) = (budget.inflated(), budget.inflated());
        assert!(first.take(40) && first.take(20) && second.take(40));
        assert!(!second.take(1) && second.is_busy(), "the first has it");
        assert!(!first.take(41) && !first.is_busy(), "there is not as much");
        drop(first);
        assert!(second.take(60) && !second.take(1) && !second.is_busy());
        drop(second);
        assert!(budget.inflated().take(100));
        assert!(!budget.inflated().take(usize::MAX));
    }

    #[tokio::test]
    async fn memory_and_turns_are_taken_until_the_answer_is_dropped() {
        let budget = budget(UNIT, UNIT);
        let mut first = budget.read("x".into()).await.unwrap();
        assert_eq!(budget.read("x".into()).await.err().unwrap().kind(), Kind::Busy);
        budget.turn(&mut first.share).await.unwrap();
        let answer = PacedBody::of(vec![7; 3 * PIECE + 1], first.share);
        assert_eq!(answer.size_hint().exact(), Some(3 * PIECE as u64 + 1));
        assert_eq!(budget.read("x".into()).await.err().unwrap().kind(), Kind::Busy);
        let sent = axum::body::to_bytes(answer, usize::MAX).await.unwrap();
        assert_eq!(sent.len(), 3 * PIECE + 1);
        assert!(budget.read("x".into()).await.is_ok());
    }
}
