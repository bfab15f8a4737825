//! Whether a codec waits for its key, and what that does to its thread.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use codec_kit::{AnyCodec, Figures, Observed, Payload};
use tokio::{task::JoinSet, time::timeout};

use super::harness::{
    JudgeError, LARGEST_PAYLOAD, MakeCodec, NOISE_RETRIES, Operation, POOL_THREADS, encode,
    on_one_thread, small, stalling, with_lag,
};

/// How often a poll is timed that is neither short nor as long as the stall: a machine with other work
/// may take the thread away in the middle of it, again and again.
const MAX_NOISE_RETRIES: usize = 8;
/// A poll of this share of the stall is no noise.
const CLEARLY: f64 = 0.75;

/// What one encoding did that was dealt one stall.
#[derive(Clone, Copy, Debug)]
pub struct OneStall {
    /// The stall that was dealt.
    pub stall: Duration,
    /// The longest the codec, or a task that it started, held its thread, at its best of a few tries.
    pub longest_poll: Duration,
    /// How long the encoding took, at its best of a few tries.
    pub wall: Duration,
    /// Whether in every try a call to the key service had come back when the codec was done. One is
    /// enough: a codec may ask twice and take the first answer.
    pub waited_for_key: bool,
}

impl OneStall {
    /// Whether the codec held its thread for (nearly) the whole stall.
    pub fn holds_thread(&self) -> bool {
        self.longest_poll >= self.stall.mul_f64(0.9)
    }

    /// Whether the codec let go of its thread: it held it for less than a quarter of the stall.
    pub fn releases_thread(&self) -> bool {
        self.longest_poll < self.stall / 4
    }

    /// Whether the codec sealed only after its key had come.
    pub fn waits(&self) -> bool {
        self.waited_for_key && self.wall >= self.stall.mul_f64(0.99)
    }
}

/// Has the codec encode one payload while the key service stalls.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn one_stall(make: MakeCodec<'_>, stall: Duration) -> Result<OneStall, JudgeError> {
    let mut seen =
        OneStall { stall, longest_poll: Duration::MAX, wall: Duration::MAX, waited_for_key: true };
    for tries in 1..=MAX_NOISE_RETRIES {
        let keys = stalling(stall);
        let figures = Figures::default();
        // From before the codec is made: one that asks for its key then has waited as well.
        let began = Instant::now();
        let codec = AnyCodec::new(Observed::with_figures(make(keys.clone()), figures.clone()));
        let ((wall, calls), held) = on_one_thread(
            1,
            with_lag(async move {
                // An error shows as a key that was not waited for.
                let sealed = encode(&codec, vec![small()]).await;
                (began.elapsed(), sealed.map(|_| keys.calls()).unwrap_or_default())
            }),
        )?;
        seen.longest_poll = seen.longest_poll.min(figures.encode().longest_poll.max(held));
        seen.wall = seen.wall.min(wall);
        seen.waited_for_key &= calls.finished > 0;
        // Noise makes it only worse: one try without any is enough.
        let well = seen.waits() && seen.longest_poll < stall / 8 && seen.wall < stall * 3 / 2;
        let clearly = tries >= NOISE_RETRIES && seen.longest_poll >= stall.mul_f64(CLEARLY);
        if well || clearly {
            break;
        }
    }
    Ok(seen)
}

/// What became of an encoding whose key takes very long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongStall {
    /// It waited.
    Waited,
    /// It gave up, and said so.
    GaveUp(Duration),
    /// It sealed without its key.
    Sealed(Duration),
}

/// Has the codec encode one payload while the key service stalls for so long that a codec with a
/// deadline would not wait for it.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn long_stall(make: MakeCodec<'_>, stall: Duration) -> Result<LongStall, JudgeError> {
    let keys = stalling(stall);
    let began = Instant::now();
    let codec = make(keys.clone());
    on_one_thread(1, async move {
        let sealed = encode(&codec, vec![small()]).await.is_ok();
        let (took, came) = (began.elapsed(), keys.calls().finished > 0);
        match (sealed, came) {
            (true, true) => LongStall::Waited,
            (true, false) => LongStall::Sealed(took),
            (false, _) => LongStall::GaveUp(took),
        }
    })
}

/// What many calls did at once, each dealt a stall.
#[derive(Clone, Copy, Debug)]
pub struct ManyCalls {
    /// The stall.
    pub stall: Duration,
    /// The longest that an encoding held its thread, in the best of a few tries.
    pub encode: Duration,
    /// The longest that a decoding held its thread, in that try.
    pub decode: Duration,
    /// The longest that the thread was held, by many polls in a row or by tasks that the codec
    /// started, in that try.
    pub held: Duration,
    /// How soon after the codec was made the first of them was sealed, at its soonest of all tries.
    pub soonest: Duration,
    /// How many were sealed or opened in the time there was.
    pub done: usize,
    /// How many calls to the key service were made for that.
    pub keys: u64,
}

impl ManyCalls {
    /// Whether all calls let go of their thread: none held it for a quarter of the stall, and nothing
    /// else for most of it (many calls that seal one after another take some time, too).
    pub fn release_thread(&self) -> bool {
        self.worst() < self.stall / 4
    }

    fn worst(&self) -> Duration {
        self.encode.max(self.decode).max(self.held / 3)
    }
}

/// Has the codec encode many calls at once, small ones and a large one, and then decode as many, with
/// a key service that stalls each time: what is rare shows here. Ends early where the calls wait for
/// each other, or where one has held the thread.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn many_calls(
    make: MakeCodec<'_>,
    calls: usize,
    stall: Duration,
) -> Result<ManyCalls, JudgeError> {
    let mut best = None::<ManyCalls>;
    let mut soonest = Duration::MAX;
    for tries in 1..=MAX_NOISE_RETRIES {
        let (keys, figures) = (stalling(stall), Figures::default());
        let began = Instant::now();
        let codec = AnyCodec::new(Observed::with_figures(make(keys.clone()), figures.clone()));
        // Made before the thread is watched: sealing them holds it, too.
        let given = Operation::BOTH.map(|operation| {
            (0..calls).map(|call| operation.given(nth_call(call, calls))).collect::<Vec<_>>()
        });
        let observed = figures.clone();
        // On one runtime: a codec may have started a task there.
        let ((sealed, opened), held) = on_one_thread(
            POOL_THREADS,
            with_lag(async move {
                let many =
                    |operation, given| many_of(&codec, operation, given, stall, began, &observed);
                let [to_encode, to_decode] = given;
                (many(Operation::Encode, to_encode).await, many(Operation::Decode, to_decode).await)
            }),
        )?;
        // Noise makes nothing sooner: of all tries, the soonest counts.
        soonest = sealed.iter().copied().min().map_or(soonest, |first| first.min(soonest));
        let seen = ManyCalls {
            stall,
            encode: figures.encode().longest_poll,
            decode: figures.decode().longest_poll,
            held,
            soonest,
            done: sealed.len() + opened.len(),
            keys: Operation::BOTH.map(|operation| operation.calls(&keys).started).iter().sum(),
        };
        // One try as a whole: one that ended early has not seen all that the codec does.
        if best.is_none_or(|best| seen.worst() < best.worst()) {
            best = Some(seen);
        }
        let clearly = tries >= NOISE_RETRIES && seen.worst() >= stall.mul_f64(CLEARLY);
        if seen.release_thread() || clearly {
            break;
        }
    }
    let best = best.expect("there was at least one try");
    Ok(ManyCalls { soonest, ..best })
}

/// Payloads of the call of that number: some have several, one has a large one.
fn nth_call(call: usize, calls: usize) -> Vec<Payload> {
    let size = if call == calls / 2 { LARGEST_PAYLOAD } else { 100 };
    vec![Payload { data: vec![7; size], ..Payload::default() }; 1 + call % 3]
}

/// When each that could be done was done.
async fn many_of(
    codec: &AnyCodec,
    operation: Operation,
    calls: Vec<Vec<Payload>>,
    stall: Duration,
    began: Instant,
    figures: &Figures,
) -> Vec<Duration> {
    let mut tasks = JoinSet::new();
    for given in calls {
        let (codec, figures) = (codec.clone(), figures.clone());
        tasks.spawn(async move {
            let mut call = pin!(operation.call(&codec, given));
            let done = poll_fn(|context| {
                // One has held the thread: the others would only take their time.
                if operation.figures(&figures).longest_poll >= stall / 4 {
                    return Poll::Ready(false);
                }
                call.as_mut().poll(context).map(|done| done.is_ok())
            });
            done.await.then(|| began.elapsed())
        });
    }
    let mut ends = Vec::new();
    let all = async {
        while let Some(one) = tasks.join_next().await {
            ends.extend(one.ok().flatten());
        }
    };
    timeout(stall * 5, all).await.ok();
    ends
}

/// Has the codec encode one payload, and decode one, while the key service stalls, and counts how often
/// it asked to be polled, at the worse of the two. A wait needs two polls; a loop that yields needs
/// thousands.
///
/// # Errors
/// [`JudgeError`] when no runtime can be started, or the codec does not come to an end.
pub fn polls_of_one_stall(make: MakeCodec<'_>, stall: Duration) -> Result<u64, JudgeError> {
    let mut most = 0;
    for operation in Operation::BOTH {
        let codec = make(stalling(stall));
        let polls = on_one_thread(1, async move {
            let mut call = pin!(operation.small_call(&codec));
            let mut polls = 0;
            poll_fn(|context| {
                polls += 1;
                call.as_mut().poll(context)
            })
            .await;
            polls
        })?;
        most = most.max(polls);
    }
    Ok(most)
}
