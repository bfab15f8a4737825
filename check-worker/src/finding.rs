//! A finding: its verdict, its text, and how its numbers are written.

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// What holds the worker up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing.
    Healthy,
    /// The thread that runs the worker's code is blocked.
    Held,
    /// All slots are taken, by tasks that are no slower than others.
    TooFewSlots,
    /// Too few polls are in flight.
    TooFewPollers,
    /// Activities take so long that they use up the slots.
    SlowActivities,
    /// Workflows leave the sticky cache too early.
    StickyThrash,
    /// Tasks are slow, each by itself.
    SlowNotHeld,
    /// The server answers late, or refuses requests.
    ServerSlow,
    /// Workflow tasks fail, because of their size or because of replay.
    TooLargeOrNondeterminism,
    /// More polls than there is work for.
    Overprovisioned,
    /// Too few tasks were seen.
    NotEnoughData,
    /// The page is not a worker's.
    NoWorker,
    /// Several causes look alike.
    CannotTell,
}

impl Verdict {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Held => "held",
            Self::TooFewSlots => "too_few_slots",
            Self::TooFewPollers => "too_few_pollers",
            Self::SlowActivities => "slow_activities",
            Self::StickyThrash => "sticky_thrash",
            Self::SlowNotHeld => "slow_not_held",
            Self::ServerSlow => "server_slow",
            Self::TooLargeOrNondeterminism => "too_large_or_nondeterminism",
            Self::Overprovisioned => "overprovisioned",
            Self::NotEnoughData => "not_enough_data",
            Self::NoWorker => "no_worker",
            Self::CannotTell => "cannot_tell",
        }
    }

    /// Whether it names something that holds the worker up.
    pub fn is_accusation(self) -> bool {
        !matches!(
            self,
            Self::Healthy
                | Self::Overprovisioned
                | Self::NotEnoughData
                | Self::NoWorker
                | Self::CannotTell
        )
    }

    /// Whether it says that nothing holds the worker up.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Healthy | Self::Overprovisioned)
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sureness {
    /// Other causes look alike.
    Low,
    /// It fits, and few other causes do.
    Medium,
    /// No other known cause looks like this.
    High,
}

impl Sureness {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A number that made a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// In what.
    pub unit: &'static str,
}

/// A finding, with its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is.
    pub verdict: Verdict,
    /// One line: what holds the worker up.
    pub headline: String,
    /// The numbers, as a sentence.
    pub seen: String,
    /// The numbers, for programs.
    pub evidence: Vec<Evidence>,
    /// What they mean.
    pub meaning: String,
    /// What to do next.
    pub next: String,
    /// How sure it is.
    pub sureness: Sureness,
    /// What would make it certain.
    pub certainty: String,
    /// What these metrics do not show.
    pub blind_spot: String,
}

impl Finding {
    /// How sure it is, and what would make it certain. Empty where that says nothing.
    pub fn sure(&self) -> String {
        match self.verdict {
            Verdict::NoWorker | Verdict::NotEnoughData => String::new(),
            // "Cannot tell: sure" would be a riddle.
            Verdict::CannotTell if self.sureness == Sureness::High => String::new(),
            _ if self.certainty.is_empty() => self.sureness.name().to_owned(),
            _ => format!("{}. To be certain: {}", self.sureness.name(), self.certainty),
        }
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut finding = serializer.serialize_struct("Finding", 4)?;
        finding.serialize_field("verdict", &self.verdict)?;
        finding.serialize_field("evidence", &self.evidence)?;
        finding.serialize_field("sureness", &self.sureness)?;
        finding.serialize_field("next", &self.next)?;
        finding.end()
    }
}

/// A duration in words: `4.2 ms`, `900 ms`, `1.7 s`.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.01 => format!("{:.1} ms", s * 1000.0),
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 10.0 => format!("{s:.1} s"),
        s => format!("{s:.0} s"),
    }
}

/// A share in words: `83%`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// A number without meaningless digits.
pub(crate) fn evidence(name: &str, value: f64, unit: &'static str) -> Evidence {
    // Digits below a thousandth are meaningless.
    Evidence { name: name.to_owned(), value: (value * 1000.0).round() / 1000.0, unit }
}

/// Names in a sentence, at most three of them.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.into_iter().collect();
    match all.len() {
        0..=3 => all.join(", "),
        more => format!("{} and {} more", all[..3].join(", "), more - 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_two_digits_or_so() {
        assert_eq!([0.0042, 0.9, 1.72, 42.0].map(time), ["4.2 ms", "900 ms", "1.7 s", "42 s"]);
        assert_eq!(names(["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
    }

    #[test]
    fn a_name_in_json_is_the_name() {
        for verdict in [Verdict::Held, Verdict::TooLargeOrNondeterminism, Verdict::NoWorker] {
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("\"{}\"", verdict.name()));
        }
    }
}
