//! The codecs that are measured: the reference codecs, and the attendee's own.

use std::fmt;

use clap::ValueEnum;
use serde::{Serialize, Serializer};
use solutions::Step;

/// A codec, by the name that it has in tables, files and JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// The workshop's.
    Reference(Reference),
    /// The attendee's codec of that step.
    Mine(Step),
}

/// A reference codec, by the name that it has in flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Reference {
    /// Waits for its key on the worker's thread
    #[value(name = "blocking")]
    Blocking,
    /// Waits on a thread of tokio's blocking pool
    #[value(name = "spawn_blocking")]
    SpawnBlocking,
    /// Waits without a thread
    #[value(name = "async")]
    Async,
    /// Caches keys, and rarely waits
    #[value(name = "beyond_async")]
    BeyondAsync,
    /// The async codec with a key service that always answers at once: the best possible result
    #[value(name = "never_stalls")]
    NeverStalls,
}

impl Codec {
    /// The one that all others are compared with.
    pub const BASELINE: Self = Self::Reference(Reference::Async);

    /// Whether its key service stalls at all.
    pub fn stalls(self) -> bool {
        self != Self::Reference(Reference::NeverStalls)
    }

    /// As in a sentence: "async", "your exercise 1 codec".
    pub fn in_words(self) -> String {
        match self {
            Self::Reference(reference) => reference.to_string(),
            Self::Mine(step) => format!("your exercise {} codec", step.number()),
        }
    }

    /// The flag of `compare` that chooses it.
    pub fn flag(self) -> String {
        match self {
            Self::Reference(reference) => format!("--codec {reference}"),
            Self::Mine(step) => format!("--mine {}", step.number()),
        }
    }
}

impl Reference {
    /// The step whose reference codec it is.
    pub fn step(self) -> Step {
        match self {
            Self::Blocking => Step::Blocking,
            Self::SpawnBlocking => Step::SpawnBlocking,
            Self::Async | Self::NeverStalls => Step::Async,
            Self::BeyondAsync => Step::BeyondAsync,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Mine(step) => write!(f, "mine_{}", step.number()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = self.to_possible_value();
        f.write_str(flag.as_ref().map_or("", |flag| flag.get_name()))
    }
}

impl Serialize for Codec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let references = Reference::value_variants().iter().map(|known| Codec::Reference(*known));
        let mine = Step::EXERCISES.into_iter().map(Codec::Mine);
        let names: Vec<_> = references.chain(mine).map(|codec| codec.to_string()).collect();
        assert_eq!(
            names,
            [
                "blocking",
                "spawn_blocking",
                "async",
                "beyond_async",
                "never_stalls",
                "mine_1",
                "mine_2",
                "mine_3",
                "mine_4",
            ]
        );
        assert_eq!(serde_json::to_string(&Codec::Mine(Step::Async)).unwrap(), "\"mine_3\"");
        assert_eq!(Codec::Mine(Step::Async).in_words(), "your exercise 3 codec");
    }
}
