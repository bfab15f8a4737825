//! What goes wrong, how often, and for which calls.

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::operations::Operation;

/// No stall is longer: what is to wait for ever is [`Faults::hang_rate`].
const LONGEST_STALL: Duration = Duration::from_secs(3600);

/// What a caller wants a key for, as its `User-Agent` has it in parentheses: codec-kit's clients write
/// `codec-kit/0.1.0 (encrypt)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// To encrypt payloads.
    Encrypt,
    /// To decrypt payloads.
    Decrypt,
}

impl Purpose {
    /// As in a `User-Agent`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        }
    }

    pub(crate) fn of_user_agent(text: &str) -> Option<Self> {
        let named = |purpose: &Self| text.contains(&format!("({})", purpose.name()));
        [Self::Encrypt, Self::Decrypt].into_iter().find(named)
    }
}

/// A share of calls that take longer.
///
/// As text, `Decrypt:encrypt=0.1@400ms`: one call in ten of the operation `Decrypt` that wants a key to
/// encrypt with takes 400 ms. `Decrypt=0.1@400ms` means calls of that operation for any purpose, `0.1@400ms`
/// all calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Stall {
    /// Calls of this operation, or of all.
    pub operation: Option<Operation>,
    /// Calls for this purpose, or for any.
    pub purpose: Option<Purpose>,
    /// How many of them stall, 0 to 1.
    pub share: f64,
    /// How long such a call takes.
    pub length: Duration,
}

impl Stall {
    fn concerns(&self, operation: Operation, purpose: Option<Purpose>) -> bool {
        self.operation.is_none_or(|named| named == operation)
            && self.purpose.is_none_or(|named| Some(named) == purpose)
    }
}

impl FromStr for Stall {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a stall: write it as 0.1@400ms, Decrypt=0.1@400ms or Decrypt:encrypt=0.1@400ms"
            )
        };
        let (calls, rest) = match text.split_once('=') {
            Some((calls, rest)) => (Some(calls), rest),
            None => (None, text),
        };
        let (operation, purpose) =
            match calls.map(|calls| calls.split_once(':').unwrap_or((calls, ""))) {
                None => (None, None),
                Some((operation, purpose)) => {
                    let operation = Operation::from_name(operation).ok_or_else(wrong)?;
                    let purpose = match purpose {
                        "" => None,
                        "encrypt" => Some(Purpose::Encrypt),
                        "decrypt" => Some(Purpose::Decrypt),
                        _ => return Err(wrong()),
                    };
                    (Some(operation), purpose)
                }
            };
        let (share, length) = rest.split_once('@').ok_or_else(wrong)?;
        let (digits, milliseconds) = match length.strip_suffix("ms") {
            Some(digits) => (digits, 1),
            None => (length.strip_suffix('s').ok_or_else(wrong)?, 1000),
        };
        let length: u64 = digits.parse().map_err(|_| wrong())?;
        let length = length.checked_mul(milliseconds).ok_or_else(wrong)?;
        let share = share.parse().map_err(|_| wrong())?;
        Ok(Self { operation, purpose, share, length: Duration::from_millis(length) })
    }
}

impl TryFrom<String> for Stall {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(operation) = self.operation {
            f.write_str(operation.name())?;
            if let Some(purpose) = self.purpose {
                write!(f, ":{}", purpose.name())?;
            }
            f.write_str("=")?;
        }
        write!(f, "{}@{}ms", self.share, self.length.as_millis())
    }
}

impl From<Stall> for String {
    fn from(stall: Stall) -> Self {
        stall.to_string()
    }
}

/// What goes wrong. The default is nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The same seed deals the same faults to each kind of call, in the order of the calls.
    pub seed: u64,
    /// Which calls take longer. The first that concerns a call counts.
    pub stalls: Vec<Stall>,
    /// The share of calls that fail with `KMSInternalException`, 0 to 1, after their stall if they have one.
    pub failure_rate: f64,
    /// The calls a second that are answered; the others get a `ThrottlingException` at once. As many are
    /// saved up as one second has.
    pub throttle_per_second: Option<u32>,
    /// The share of calls whose connection is reset in the middle of the answer, 0 to 1.
    pub reset_rate: f64,
    /// The share of calls that are never answered, 0 to 1.
    pub hang_rate: f64,
    /// Whether connections are refused, and those that are open closed: an outage.
    pub refuse: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 1,
            stalls: Vec::new(),
            failure_rate: 0.0,
            throttle_per_second: None,
            reset_rate: 0.0,
            hang_rate: 0.0,
            refuse: false,
        }
    }
}

/// Faults that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongFaults(String);

impl Faults {
    pub(crate) fn check(&self) -> Result<(), WrongFaults> {
        let shares = [
            ("failure_rate", self.failure_rate),
            ("reset_rate", self.reset_rate),
            ("hang_rate", self.hang_rate),
        ];
        let stalls = self.stalls.iter().map(|stall| ("a stall's share", stall.share));
        for (name, share) in shares.into_iter().chain(stalls) {
            if !(0.0..=1.0).contains(&share) {
                return Err(WrongFaults(format!("{name} is {share}, and must be 0 to 1")));
            }
        }
        if self.throttle_per_second == Some(0) {
            let reason =
                "throttle_per_second is 0, and must be at least 1: to refuse all calls, set refuse";
            return Err(WrongFaults(reason.to_owned()));
        }
        match self.stalls.iter().find(|stall| stall.length > LONGEST_STALL) {
            Some(stall) => Err(WrongFaults(format!("the stall {stall} is longer than an hour"))),
            None => Ok(()),
        }
    }
}

/// What is decided about a call when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deal {
    pub stall: Option<Duration>,
    pub outcome: Outcome,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answer,
    Throttle,
    Fail,
    Reset,
    Hang,
}

/// The dealer of faults, which can be changed while the service runs.
#[derive(Debug)]
pub(crate) struct Dealer {
    // A std mutex is right: it is held for a few random numbers, and never across an await.
    state: Mutex<State>,
    refuse: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    /// One for each kind of call, so that calls of one kind do not change the faults of another.
    dice: HashMap<(Operation, Option<Purpose>), fastrand::Rng>,
    /// How many calls may be answered at once.
    allowance: f64,
    counted: Instant,
}

impl Dealer {
    pub fn new(faults: Faults) -> Self {
        let refuse = watch::Sender::new(faults.refuse);
        Self { state: Mutex::new(State::new(faults)), refuse }
    }

    pub fn faults(&self) -> Faults {
        self.state().faults.clone()
    }

    /// Replaces the faults and starts the dice again.
    pub fn set(&self, faults: Faults) {
        // Sent while the state is locked, or two that set at the same time could leave the halves of both.
        let mut state = self.state();
        self.refuse.send_replace(faults.refuse);
        *state = State::new(faults);
    }

    /// Whether connections are refused, now and later.
    pub fn refuse(&self) -> watch::Receiver<bool> {
        self.refuse.subscribe()
    }

    pub fn deal(&self, operation: Operation, purpose: Option<Purpose>) -> Deal {
        self.state().deal(operation, purpose, Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(faults: Faults) -> Self {
        let allowance = f64::from(faults.throttle_per_second.unwrap_or_default());
        Self { faults, dice: HashMap::new(), allowance, counted: Instant::now() }
    }

    fn deal(&mut self, operation: Operation, purpose: Option<Purpose>, now: Instant) -> Deal {
        let seed = self.faults.seed;
        let dice = self.dice.entry((operation, purpose)).or_insert_with(|| {
            let kind = operation as u64 * 3 + purpose.map_or(0, |purpose| purpose as u64 + 1);
            // Seeds that follow one another would deal alike.
            fastrand::Rng::with_seed(seed ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        });
        // All are drawn for every call, so that one fault does not change which calls have another.
        let [stall, fail, reset, hang] = std::array::from_fn(|_| dice.f64());
        if self.is_throttled(now) {
            return Deal { stall: None, outcome: Outcome::Throttle };
        }
        let faults = &self.faults;
        let rule = faults.stalls.iter().find(|rule| rule.concerns(operation, purpose));
        let stall = rule.filter(|rule| stall < rule.share).map(|rule| rule.length);
        let outcome = if hang < faults.hang_rate {
            Outcome::Hang
        } else if reset < faults.reset_rate {
            Outcome::Reset
        } else if fail < faults.failure_rate {
            Outcome::Fail
        } else {
            Outcome::Answer
        };
        Deal { stall, outcome }
    }

    fn is_throttled(&mut self, now: Instant) -> bool {
        let Some(rate) = self.faults.throttle_per_second.map(f64::from) else { return false };
        let passed = now.saturating_duration_since(self.counted).as_secs_f64();
        self.counted = now;
        self.allowance = (self.allowance + passed * rate).min(rate);
        let is_throttled = self.allowance < 1.0;
        if !is_throttled {
            self.allowance -= 1.0;
        }
        is_throttled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_written_and_read() {
        for text in ["0.1@400ms", "Decrypt=0.25@1500ms", "Decrypt:encrypt=1@0ms"] {
            assert_eq!(text.parse::<Stall>().unwrap().to_string(), text);
        }
        assert_eq!("1@2s".parse::<Stall>().unwrap().length, Duration::from_secs(2));
        for wrong in [
            "",
            "0.1",
            "0.1@400",
            "Open=0.1@1s",
            "Decrypt:wrap=0.1@1s",
            "x@1s",
            "1@99999999999999999999s",
        ] {
            assert!(wrong.parse::<Stall>().unwrap_err().contains("0.1@400ms"), "{wrong}");
        }
    }

    #[test]
    fn faults_that_cannot_be_are_named() {
        let none = Faults::default();
        assert_eq!(none.check(), Ok(()));
        let stall = |text: &str| Faults { stalls: vec![text.parse().unwrap()], ..none.clone() };
        for (wrong, says) in [
            (Faults { failure_rate: 1.5, ..none.clone() }, "failure_rate is 1.5"),
            (Faults { hang_rate: f64::NAN, ..none.clone() }, "hang_rate is NaN"),
            (Faults { reset_rate: -0.1, ..none.clone() }, "reset_rate is -0.1"),
            (Faults { throttle_per_second: Some(0), ..none.clone() }, "throttle_per_second is 0"),
            (stall("2@1s"), "a stall's share is 2"),
            (stall("1@3601s"), "longer than an hour"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn json_is_the_same_as_the_flags() {
        let faults: Faults =
            serde_json::from_str(r#"{"stalls": ["Decrypt:decrypt=0.5@2s"], "refuse": true}"#)
                .unwrap();
        assert!(
            faults.refuse && faults.seed == 1 && faults.stalls[0].purpose == Some(Purpose::Decrypt)
        );
        let json = serde_json::to_string(&faults).unwrap();
        assert_eq!(serde_json::from_str::<Faults>(&json).unwrap(), faults);
        assert!(serde_json::from_str::<Faults>(r#"{"refused": true}"#).is_err());
    }

    fn pattern(faults: &Faults, other_calls: usize) -> Vec<Deal> {
        let mut state = State::new(faults.clone());
        (0..200)
            .map(|_| {
                for _ in 0..other_calls {
                    state.deal(Operation::Decrypt, Some(Purpose::Decrypt), Instant::now());
                }
                state.deal(Operation::Decrypt, Some(Purpose::Encrypt), Instant::now())
            })
            .collect()
    }

    #[test]
    fn a_seed_deals_the_same_again() {
        let stalls = vec!["Decrypt=0.1@400ms".parse().unwrap()];
        let faults = Faults { stalls, failure_rate: 0.2, reset_rate: 0.2, ..Faults::default() };
        let dealt = pattern(&faults, 0);
        assert_eq!(dealt, pattern(&faults, 2), "calls of another kind must not matter");
        assert_ne!(dealt, pattern(&Faults { seed: 2, ..faults.clone() }, 0));
        let stalled =
            |deals: &[Deal]| deals.iter().map(|deal| deal.stall.is_some()).collect::<Vec<_>>();
        let without = pattern(&Faults { failure_rate: 0.0, ..faults }, 0);
        assert_eq!(stalled(&dealt), stalled(&without), "a failure rate must not deal other stalls");
        let count = stalled(&dealt).into_iter().filter(|stalled| *stalled).count();
        assert!((5..=40).contains(&count), "{count}");
    }

    #[test]
    fn a_rate_saves_up_one_second() {
        let mut state = State::new(Faults { throttle_per_second: Some(10), ..Faults::default() });
        let start = state.counted;
        let mut answered = |seconds: f64| {
            let now = start + Duration::from_secs_f64(seconds);
            let deals = std::iter::repeat_with(|| state.deal(Operation::Encrypt, None, now));
            deals.take(50).filter(|deal| deal.outcome == Outcome::Answer).count()
        };
        assert_eq!([answered(0.0), answered(0.5), answered(60.0)], [10, 5, 10]);
    }
}
