//! The codec under test, with every call checked for what must hold for any call.
//!
//! This applies to every call, whether or not the running measurement looks at its result. Payloads come back
//! whole and in order, encrypted with a key that the service gave for encryption, and not readable. Errors
//! come when they are due, and only then. No poll and no drop blocks the thread.

use std::{
    any::Any,
    collections::{HashMap, HashSet},
    fmt::Write as _,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use codec_kit::{
    AnyCodec, CodecFuture, ENCODING, ENCRYPTED, KEY_ID, Payload, PayloadCodec,
    PayloadConversionError, SerializationContextData, key_ids, open, open_all,
};

use crate::{
    clock::{Moment, Spent},
    fault::{Fault, Kind},
    measure::Operation,
    readable,
    script::{Answered, Asked, Purpose, Script},
};

/// A poll that sleeps for this long blocks its thread. Locks and page faults take a hundredth of it.
const BLOCKED: Duration = Duration::from_millis(50);
/// A busy machine does not block a thread for this long twice: on two cores with two endless loops beside, 127 ms
/// was the longest. A codec that waits for its key on the thread does, with stalls of 200 ms.
pub const UNMISTAKABLE: Duration = Duration::from_millis(150);
/// A poll that computes for this long spins: encrypting 2 MiB in a debug build takes a tenth of it.
const SPUN: Duration = Duration::from_millis(150);
/// A future that is polled more often than this, and at this rate, wakes itself: one that waits is polled
/// twice, and once more each time something else wakes its task.
const MANY_POLLS: u128 = 300;
const POLLS_A_MILLISECOND: u128 = 2;
/// How often a codec may ask for a key if the key service fails each time.
pub const ATTEMPTS: usize = 3;
/// How many other keys it may ask for, because a cached one may be due for renewal.
const SPARE: usize = 2;
/// How often it may renew its keys in a key's lifetime: two of them, each in the middle of its lifetime or later.
const RENEWALS: f64 = 4.0;
/// How long a codec may return a remembered error.
pub const ERROR_MEMORY: Duration = Duration::from_secs(1);
/// The shortest time after which a codec may stop waiting for the key service: a stall of the workshop's.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(400);
/// A key as old as this many lifetimes has certainly expired: timers are late on a busy machine.
const EXPIRED: f64 = 1.25;
/// And it must be older than its lifetime by at least this much.
const EXPIRED_AT_LEAST: Duration = Duration::from_millis(100);

/// What was seen of all calls. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Evidence(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// The first of each kind, and how many there were.
    faults: HashMap<Kind, (Fault, usize)>,
    nonces: HashSet<Vec<u8>>,
    calls: [u64; 2],
    longest: [Spent; 2],
    most_polls: u64,
    blocked: Duration,
    /// How long the calls' polls slept, all together.
    asleep_in_polls: Duration,
    /// How often a call, and anything at all, blocked the thread for at least [`UNMISTAKABLE`].
    unmistakable: [usize; 2],
    under_way: HashMap<(Operation, u64), UnderWay>,
}

/// A call that has not returned.
#[derive(Debug)]
struct UnderWay {
    name: String,
    /// Whether the codec's code runs right now, or blocks.
    in_poll: bool,
}

impl Evidence {
    /// The faults, the worst kind first, each with how often it was seen.
    pub fn faults(&self) -> Vec<Fault> {
        let seen = self.seen();
        let mut faults: Vec<_> = seen
            .faults
            .values()
            .map(|(fault, times)| {
                let more = match times - 1 {
                    0 => String::new(),
                    1 => ", and once more".to_owned(),
                    more => format!(", and {more} times more"),
                };
                Fault { says: format!("{}{more}", fault.says), ..fault.clone() }
            })
            .collect();
        faults.sort_by_key(|fault| fault.kind);
        faults
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.seen().calls.iter().sum()
    }

    /// The longest that a poll of this operation slept, and the longest that one computed.
    pub fn longest_poll(&self, operation: Operation) -> Spent {
        self.seen().longest[operation as usize]
    }

    /// The most polls of one call's future.
    pub fn most_polls(&self) -> u64 {
        self.seen().most_polls
    }

    /// How long the calls' polls have slept so far.
    pub fn asleep_in_polls(&self) -> Duration {
        self.seen().asleep_in_polls
    }

    /// The longest time that anything blocked the thread.
    pub fn blocked(&self) -> Duration {
        self.seen().blocked
    }

    /// Notes that something did, and for how much of that time polls slept.
    pub fn note_blocked(&self, blocked: Duration, in_polls: Duration) {
        {
            let mut seen = self.seen();
            seen.blocked = seen.blocked.max(blocked);
            seen.unmistakable[1] += usize::from(blocked >= UNMISTAKABLE);
        }
        let millis = blocked.as_millis();
        if in_polls < blocked / 2 {
            let says = format!("a task that the codec started blocked the thread for {millis} ms");
            return self.note(Kind::Blocked, says);
        }
        // A poll that is long enough has been noted by itself.
        let says = format!("polls, one right after the other, blocked the thread for {millis} ms");
        self.note(Kind::BlockedInTurn, says);
    }

    /// How often the codec blocked the thread for at least [`UNMISTAKABLE`].
    pub fn unmistakable_blocks(&self) -> usize {
        // What a call does is also seen from beside it.
        self.seen().unmistakable.into_iter().fold(0, usize::max)
    }

    /// Notes that it did, so often.
    pub fn note_unmistakable_blocks(&self, more: usize) {
        self.seen().unmistakable[0] += more;
    }

    /// A call that has not returned, if there is one: preferably one that blocks, or else the one that
    /// started first.
    pub fn under_way(&self) -> Option<String> {
        let seen = self.seen();
        // A call that blocks keeps all the others waiting.
        let first =
            seen.under_way.iter().min_by_key(|((_, number), call)| (!call.in_poll, *number));
        first.map(|(_, call)| match call.in_poll {
            true => format!("{}, in a poll that never returned", call.name),
            false => call.name.clone(),
        })
    }

    /// Notes a fault.
    pub fn note(&self, kind: Kind, says: String) {
        let mut seen = self.seen();
        let entry = seen.faults.entry(kind).or_insert_with(|| (Fault { kind, says }, 0));
        entry.1 += 1;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The step's promises that matter here.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// No poll may block.
    pub releases_thread: bool,
    /// Keys expire after so long.
    pub key_lifetime: Duration,
}

/// The codec, checked.
#[derive(Clone)]
pub struct Checked {
    codec: AnyCodec,
    script: Script,
    evidence: Evidence,
    rules: Rules,
}

impl Checked {
    /// Checks `codec`, which gets its keys from `script`.
    pub fn new(codec: AnyCodec, script: Script, evidence: Evidence, rules: Rules) -> Self {
        Self { codec, script, evidence, rules }
    }

    fn start(
        &self,
        operation: Operation,
        context: &SerializationContextData,
        payloads: Vec<Payload>,
    ) -> CodecFuture {
        let (number, alone_since) = {
            let mut seen = self.evidence.seen();
            seen.calls[operation as usize] += 1;
            let all = seen.calls.iter().sum();
            (seen.calls[operation as usize], seen.under_way.is_empty().then_some(all))
        };
        let mut call = Call {
            checked: self.clone(),
            operation,
            number,
            context: context.clone(),
            given: payloads.clone(),
            began: Instant::now(),
            polls: 0,
            alone_since,
        };
        let under_way = UnderWay { name: call.name(), in_poll: false };
        self.evidence.seen().under_way.insert((operation, number), under_way);
        let future =
            call.timed("the call itself, before its future is polled,", || match operation {
                Operation::Encode => self.codec.encode(context, payloads),
                Operation::Decode => self.codec.decode(context, payloads),
            });
        Box::pin(CheckedFuture { call, future: future.ok() })
    }
}

impl PayloadCodec for Checked {
    fn encode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.start(Operation::Encode, context, payloads)
    }

    fn decode(&self, context: &SerializationContextData, payloads: Vec<Payload>) -> CodecFuture {
        self.start(Operation::Decode, context, payloads)
    }
}

struct CheckedFuture {
    call: Call,
    /// `None` once it has ended, or panicked.
    future: Option<CodecFuture>,
}

impl Future for CheckedFuture {
    type Output = Result<Vec<Payload>, PayloadConversionError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // As if every other future moved to another task while it waits: it has to wake the one that polled it last.
        let moves = this.call.polls == 0 && this.call.number.is_multiple_of(2);
        if moves
            && let ready @ Poll::Ready(_) = this.poll_once(&mut Context::from_waker(Waker::noop()))
        {
            return ready;
        }
        this.poll_once(context)
    }
}

impl CheckedFuture {
    fn poll_once(&mut self, context: &mut Context<'_>) -> Poll<<Self as Future>::Output> {
        let Some(future) = &mut self.future else { return Poll::Ready(Err(panicked())) };
        self.call.polls += 1;
        match self.call.timed("a poll", || future.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => {
                self.call.check(&result);
                let ended = self.future.take();
                self.call.timed("dropping the future", || drop(ended)).ok();
                Poll::Ready(result)
            }
            Err(Panicked) => {
                self.future = None;
                Poll::Ready(Err(panicked()))
            }
        }
    }
}

impl Drop for CheckedFuture {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            self.call.timed("dropping the future before its end", || drop(future)).ok();
        }
    }
}

/// Notes that the codec panicked.
struct Panicked;

fn panicked() -> PayloadConversionError {
    PayloadConversionError::EncodingError("the codec panicked".into())
}

/// One call.
struct Call {
    checked: Checked,
    operation: Operation,
    number: u64,
    context: SerializationContextData,
    given: Vec<Payload>,
    began: Instant,
    polls: u64,
    /// The number of calls so far, if no other call was in progress when this one started.
    alone_since: Option<u64>,
}

impl Drop for Call {
    fn drop(&mut self) {
        {
            let mut seen = self.checked.evidence.seen();
            seen.under_way.remove(&(self.operation, self.number));
            seen.most_polls = seen.most_polls.max(self.polls);
        }
        let (polls, lasted) = (self.polls, self.began.elapsed().as_millis());
        // A codec may yield after each payload.
        let many = MANY_POLLS + lasted * POLLS_A_MILLISECOND + 2 * self.given.len() as u128;
        let often = u128::from(self.polls) > many;
        if self.checked.rules.releases_thread && often {
            self.note(Kind::Spun, &format!("its future was polled {polls} times in {lasted} ms"));
        }
    }
}

impl Call {
    /// Which call it is: "encode call 3 (2 payloads, in an activity)".
    fn name(&self) -> String {
        let operation = self.operation.method();
        let payloads = match self.given.len() {
            1 => None,
            0 => Some("no payload".to_owned()),
            many => Some(format!("{many} payloads")),
        };
        let context = match self.context {
            SerializationContextData::Workflow(_) => Some("in a workflow"),
            SerializationContextData::Activity(_) => Some("in an activity"),
            SerializationContextData::Nexus(_) => Some("in a Nexus operation"),
            _ => None,
        };
        let details: Vec<_> = payloads.into_iter().chain(context.map(str::to_owned)).collect();
        match details.is_empty() {
            true => format!("{operation} call {}", self.number),
            false => format!("{operation} call {} ({})", self.number, details.join(", ")),
        }
    }

    /// Its requests for keys, and those of concurrent calls.
    fn requests(&self) -> Vec<Asked> {
        let mut asked = self.checked.script.asked_since(self.began);
        asked.retain(|asked| asked.purpose.is_like(&self.operation.purpose()));
        asked
    }

    /// What the key service did during the call: ", after a stall of 200 ms".
    fn circumstances(&self) -> String {
        let requests = self.requests();
        let stall = requests.iter().filter_map(|asked| asked.deal.stall).max();
        let mut circumstances = String::new();
        if let Some(stall) = stall.filter(|stall| !stall.is_zero()) {
            write!(circumstances, ", after a stall of {} ms", stall.as_millis()).ok();
        }
        if requests.iter().any(|asked| asked.deal.fails) {
            circumstances.push_str(", after the key service failed");
        }
        circumstances
    }

    fn note(&self, kind: Kind, says: &str) {
        let (name, circumstances) = (self.name(), self.circumstances());
        self.checked.evidence.note(kind, format!("{name}{circumstances}: {says}"));
    }

    /// Runs a part of the codec's code: notes what it did to the thread, and whether it panicked.
    fn timed<T>(&mut self, part: &str, code: impl FnOnce() -> T) -> Result<T, Panicked> {
        self.is_in_poll(true);
        let moment = Moment::now();
        let result = panic::catch_unwind(AssertUnwindSafe(code));
        let spent = moment.spent();
        self.is_in_poll(false);
        {
            let mut seen = self.checked.evidence.seen();
            let longest = &mut seen.longest[self.operation as usize];
            *longest = longest.max(spent);
            seen.asleep_in_polls += spent.asleep;
        }
        if self.checked.rules.releases_thread {
            self.look_at(spent, &moment, part);
        }
        result.map_err(|words| {
            self.note(Kind::Panicked, &format!("the codec panicked: {}", panic_words(&*words)));
            Panicked
        })
    }

    fn is_in_poll(&self, in_poll: bool) {
        let mut seen = self.checked.evidence.seen();
        if let Some(call) = seen.under_way.get_mut(&(self.operation, self.number)) {
            call.in_poll = in_poll;
        }
    }

    fn look_at(&self, spent: Spent, since: &Moment, part: &str) {
        if spent.asleep >= UNMISTAKABLE {
            self.checked.evidence.seen().unmistakable[0] += 1;
        }
        if spent.asleep >= BLOCKED {
            // The key service knows whether a call waited on this very thread.
            let began = Instant::now().checked_sub(since.wall()).unwrap_or(self.began);
            let asked = self.checked.script.asked_since(began).into_iter();
            let asked = asked.rev().find(|asked| asked.blocks == Some(thread::current().id()));
            let how = match asked.map(|asked| asked.purpose) {
                Some(Purpose::Encrypt) => " in data_key_blocking",
                Some(Purpose::Decrypt(_)) => " in data_key_by_id_blocking",
                None => "",
            };
            let asleep = spent.asleep.as_millis();
            self.note(Kind::Blocked, &format!("{part} blocked the thread for {asleep} ms{how}"));
        }
        if spent.computing >= SPUN {
            let computing = spent.computing.as_millis();
            self.note(Kind::Spun, &format!("{part} kept the thread busy for {computing} ms"));
        }
    }

    fn check(&self, result: &Result<Vec<Payload>, PayloadConversionError>) {
        self.check_requests();
        match (result, self.operation) {
            (Err(error), _) => self.check_error(error),
            (Ok(encrypted), Operation::Encode) => self.check_encrypted(encrypted),
            (Ok(decrypted), Operation::Decode) => self.check_decrypted(decrypted),
        }
    }

    /// Checks that it made no more requests for keys than a codec with retries may. Known only if no other
    /// call was in progress.
    fn check_requests(&self) {
        let alone = self.alone_since == Some(self.checked.evidence.calls());
        if !alone {
            return;
        }
        let asked = self.requests().len();
        // A codec may renew its keys in the background, whatever the call waits for.
        let lifetimes = self.began.elapsed().div_duration_f64(self.checked.rules.key_lifetime);
        let renewals = (lifetimes * RENEWALS) as usize;
        if asked > ATTEMPTS * self.given.len().max(1) + SPARE + renewals {
            self.note(Kind::Storm, &format!("it made {asked} requests for keys"));
        }
    }

    fn check_error(&self, error: &PayloadConversionError) {
        let words = format!("{error} {error:?}");
        if let Some(form) = self.given.iter().find_map(|payload| self.readable(payload, &words)) {
            self.note(Kind::Readable, &format!("the error it returned shows {form}"));
        }
        if !self.error_is_due() {
            let words: String = error.to_string().chars().take(120).collect();
            let why = match self.operation {
                Operation::Encode => "although the key service gave its key",
                Operation::Decode => "although the payloads and their keys are good",
            };
            self.note(Kind::UndueError, &format!("an error {why}: {words}"));
        }
    }

    /// The plaintext of what was given, where it is known.
    fn readable(&self, payload: &Payload, text: &str) -> Option<String> {
        let plain = match self.operation {
            Operation::Encode => payload.clone(),
            Operation::Decode => open(&self.checked.script.keys(), payload.clone()).ok()?,
        };
        readable::in_text(&plain, text.as_bytes())
    }

    fn error_is_due(&self) -> bool {
        // A call that took this long may have reached the codec's own deadline.
        if self.began.elapsed() >= SHORTEST_DEADLINE {
            return true;
        }
        if self.operation == Operation::Decode {
            let good = open_all(&self.checked.script.keys(), self.given.clone()).is_ok();
            let held = |id: &String| self.checked.script.hands_out(id);
            if !good || !key_ids(&self.given).iter().all(held) {
                return true;
            }
        }
        let remembered = self.began.checked_sub(ERROR_MEMORY).unwrap_or(self.began);
        let purpose = self.operation.purpose();
        self.checked.script.answers(|answers| {
            let late = answers.iter().rev().take_while(|answer| answer.at >= remembered);
            late.filter(|answer| answer.purpose.is_like(&purpose))
                .any(|answer| answer.key.is_none())
        })
    }

    fn count_is_right(&self, result: &[Payload]) -> bool {
        let (went, came) = (self.given.len(), result.len());
        if went != came {
            self.note(Kind::Count, &format!("{went} went in, {came} came back"));
        }
        went == came
    }

    /// The payload of that number, counted from 1, in a sentence.
    fn which(&self, nth: usize) -> String {
        match self.given.len() {
            1 => "the payload".to_owned(),
            all => format!("payload {nth} of {all}"),
        }
    }

    fn check_encrypted(&self, encrypted: &[Payload]) {
        let plain = &self.given;
        if !self.count_is_right(encrypted) {
            return;
        }
        let keys = self.checked.script.keys();
        for (nth, (encrypted, plain)) in (1..).zip(encrypted.iter().zip(plain)) {
            let which = self.which(nth);
            if encrypted.metadata.get(ENCODING).is_none_or(|encoding| encoding != ENCRYPTED) {
                self.note(Kind::NotEncrypted, &format!("{which} came back unencrypted"));
                continue;
            }
            if let Some(leak) = readable::in_encrypted(plain, encrypted) {
                self.note(Kind::Readable, &format!("{which} is encrypted, but shows {leak}"));
            }
            let id = encrypted.metadata.get(KEY_ID).map_or(&[][..], Vec::as_slice);
            let id = String::from_utf8_lossy(id).into_owned();
            self.check_key(&id, &which);
            match open(&keys, encrypted.clone()) {
                Ok(opened) if opened == *plain => {}
                Ok(_) => {
                    let says = format!("{which} decrypts to something other than what went in");
                    self.note(Kind::Changed, &says);
                }
                // A key that the service never gave has already been reported.
                Err(_) if keys.get(&id).is_none() => {}
                Err(error) => {
                    self.note(Kind::Changed, &format!("{which} does not decrypt: {error}"));
                }
            }
            let nonce = encrypted.data.get(..12).unwrap_or_default();
            let fresh = self.checked.evidence.seen().nonces.insert([id.as_bytes(), nonce].concat());
            if !fresh {
                self.note(Kind::Nonce, &format!("{which} has the nonce of an earlier one"));
            }
        }
    }

    /// Whether that key was given to encrypt with, and has not expired.
    fn check_key(&self, id: &str, which: &str) {
        let given = |answer: &&Answered| {
            answer.purpose == Purpose::Encrypt && answer.key.as_deref() == Some(id)
        };
        let last = self.checked.script.answers(|all| all.iter().rfind(given).map(|last| last.at));
        match last {
            Some(at) => self.check_age(at, id, which, "encrypted"),
            None if self.failed_meanwhile() => {
                let says =
                    format!("the key service gave no key, but {which} was encrypted with {id:?}");
                self.note(Kind::NoKey, &says);
            }
            None => {
                let says = format!(
                    "{which} was encrypted with {id:?}, which is not the key that the key service gave for encrypting"
                );
                self.note(Kind::ForeignKey, &says);
            }
        }
    }

    fn check_age(&self, given: Instant, id: &str, which: &str, done: &str) {
        let lifetime = self.checked.rules.key_lifetime;
        let age = self.began.saturating_duration_since(given);
        if age > lifetime.mul_f64(EXPIRED) && age > lifetime + EXPIRED_AT_LEAST {
            let (age, lifetime) = (age.as_millis(), lifetime.as_millis());
            let says = format!(
                "{which} was {done} with key {id:?}, which was {age} ms old; keys may be used for {lifetime} ms"
            );
            self.note(Kind::Expired, &says);
        }
    }

    fn failed_meanwhile(&self) -> bool {
        self.checked.script.answers(|answers| {
            let mine = answers.iter().rev().take_while(|answer| answer.at >= self.began);
            mine.filter(|answer| answer.purpose == Purpose::Encrypt)
                .any(|answer| answer.key.is_none())
        })
    }

    fn check_decrypted(&self, decrypted: &[Payload]) {
        let keys = self.checked.script.keys();
        let expected = match open_all(&keys, self.given.clone()) {
            Ok(expected) => expected,
            Err(error) => {
                return self
                    .note(Kind::Accepted, &format!("no error, although one is due: {error}"));
            }
        };
        if !self.count_is_right(decrypted) {
            return;
        }
        for (nth, (expected, decrypted)) in (1..).zip(expected.iter().zip(decrypted)) {
            if expected == decrypted {
                continue;
            }
            let which = self.which(nth);
            let says = match self.given.get(nth - 1) == Some(decrypted) {
                true => format!("{which} came back still encrypted"),
                false => format!("{which} came back changed, or in another order"),
            };
            self.note(Kind::Changed, &says);
        }
        for id in key_ids(&self.given) {
            let last = self.checked.script.answers(|answers| {
                let given = |answer: &&Answered| answer.key.as_deref() == Some(id.as_str());
                answers.iter().rfind(given).map(|last| last.at)
            });
            if let Some(at) = last {
                self.check_age(at, &id, "a payload", "decrypted");
            }
        }
    }
}

/// The message of a panic.
pub fn panic_words(panicked: &(dyn Any + Send)) -> String {
    let text = panicked.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panicked.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many calls that block for a moment each are no task of the codec's.
    #[test]
    fn what_blocked_the_thread_is_a_task_only_if_no_poll_did() {
        let fault = |in_polls| {
            let evidence = Evidence::default();
            evidence.note_blocked(Duration::from_millis(112), Duration::from_millis(in_polls));
            let faults = evidence.faults();
            assert_eq!(faults.len(), 1);
            (faults[0].kind, faults[0].says.clone())
        };
        let of_task = "a task that the codec started blocked the thread for 112 ms";
        assert_eq!(fault(0), (Kind::Blocked, of_task.to_owned()));
        let of_polls = "polls, one right after the other, blocked the thread for 112 ms";
        assert_eq!(fault(110), (Kind::BlockedInTurn, of_polls.to_owned()));
    }
}
