//! The table of all mutants, and the survivors with what they change.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context;
use cli_kit::outln;
use serde::Deserialize;

use crate::{mutant::Mutant, run::Verdict};

/// Where the list is kept.
const LIST: &str = "docs/evidence/equivalent-mutants.toml";

/// The survivors that do what the reference codec does, and why: kept by hand.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equivalent {
    #[serde(default)]
    equivalent: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    reason: String,
    /// The digest of the source of each, by id: a codec that has changed is looked at again.
    mutants: BTreeMap<String, String>,
}

impl Equivalent {
    /// Reads the list.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let file = root.join(LIST);
        let text =
            fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not right", file.display()))
    }

    fn lists(&self, mutant: &Mutant) -> bool {
        let digest = |entry: &Entry| entry.mutants.get(&mutant.id) == Some(&mutant.digest);
        self.equivalent.iter().any(digest)
    }
}

#[derive(Clone, Copy, Default)]
struct Counts {
    mutants: usize,
    rejected: usize,
    survived: usize,
}

impl Counts {
    fn count(&mut self, verdict: &Verdict) {
        self.mutants += 1;
        match verdict {
            Verdict::Rejected(..) => self.rejected += 1,
            Verdict::Survived(_) => self.survived += 1,
        }
    }
}

/// What a run came to.
pub struct Summary {
    /// Survivors that have not been shown to be equivalent, and reference codecs that were rejected.
    pub unexplained: usize,
    /// Mutants without a verdict: the machine was too busy.
    pub undecided: usize,
}

/// Prints the report.
pub fn print(
    judged: &[(Mutant, Option<Verdict>)],
    equivalent: &Equivalent,
    whole: bool,
) -> Summary {
    let decided: Vec<_> =
        judged.iter().filter_map(|(mutant, verdict)| Some((mutant, verdict.as_ref()?))).collect();
    let (originals, mutants): (Vec<_>, Vec<_>) =
        decided.iter().partition(|(mutant, _)| mutant.is_original());
    print_table(&mutants);

    let mut summary = Summary { unexplained: 0, undecided: judged.len() - decided.len() };
    for (mutant, verdict) in originals {
        if let Verdict::Rejected(check, seen) = verdict {
            summary.unexplained += 1;
            outln!("\nThe reference codec of step {} was rejected: {check}: {seen}", mutant.step);
        }
    }
    let survivors: Vec<_> = mutants
        .iter()
        .filter_map(|(mutant, verdict)| match verdict {
            Verdict::Survived(costs) => Some((*mutant, costs)),
            Verdict::Rejected(..) => None,
        })
        .collect();
    let listed = |mutant: &Mutant| -> bool {
        // Two changes at different places that each change nothing change nothing together.
        let of_single = |id: &String| {
            mutants.iter().any(|(single, _)| single.id == *id && equivalent.lists(single))
        };
        let singles = mutant.singles();
        equivalent.lists(mutant) || (singles.len() > 1 && singles.iter().all(of_single))
    };
    let (explained, unexplained): (Vec<_>, Vec<_>) =
        survivors.iter().partition(|(mutant, _)| listed(mutant));
    summary.unexplained += unexplained.len();
    // With two changes that survive by themselves, a double mutant shows nothing new.
    let survives = |id: &String| survivors.iter().any(|(mutant, _)| mutant.id == *id);
    let is_known = |mutant: &Mutant| {
        let singles = mutant.singles();
        singles.len() > 1 && singles.iter().all(survives)
    };
    let (known, new): (Vec<_>, Vec<_>) =
        unexplained.into_iter().partition(|(mutant, _)| is_known(mutant));
    if !new.is_empty() {
        outln!("\n{} mutants survived:", new.len());
    }
    for (mutant, costs) in new {
        outln!("\n{}  (digest {})\n  {}", mutant.id, mutant.digest, mutant.says());
        for line in mutant.diff.lines() {
            outln!("    {line}");
        }
        let costs = if costs.is_empty() { "accepted".to_owned() } else { costs.join("; ") };
        outln!("  verify: {costs}");
    }
    if !known.is_empty() {
        outln!("\n{} double mutants of two survivors survived as well:", known.len());
        known.iter().for_each(|(mutant, _)| outln!("  {}", mutant.id));
    }
    if !explained.is_empty() {
        outln!("\n{} more survived that {LIST} explains.", explained.len());
    }
    // If only some mutants ran, the others' entries can't be judged.
    for Entry { reason, mutants } in equivalent.equivalent.iter().filter(|_| whole) {
        for (id, digest) in mutants {
            let survived =
                |(mutant, _): &(&Mutant, _)| mutant.id == *id && mutant.digest == *digest;
            if !survivors.iter().any(survived) {
                outln!("\nStale in {LIST}, no survivor any more: {id} {digest}\n  {reason}");
            }
        }
    }
    if summary.undecided > 0 {
        outln!("\n{} have no verdict: the machine is too busy. Run it again.", summary.undecided);
    }
    summary
}

fn print_table(mutants: &[&(&Mutant, &Verdict)]) {
    let mut rows: BTreeMap<(u8, &str), Counts> = BTreeMap::new();
    let mut steps: BTreeMap<u8, Counts> = BTreeMap::new();
    let mut checks: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    for (mutant, verdict) in mutants {
        rows.entry((mutant.step, mutant.operator())).or_default().count(verdict);
        steps.entry(mutant.step).or_default().count(verdict);
        if let Verdict::Rejected(check, _) = verdict {
            *checks.entry((mutant.step, check)).or_default() += 1;
        }
    }
    let line = |step: String, operator: &str, counts: Counts| {
        let Counts { mutants, rejected, survived } = counts;
        outln!("{step:<5} {operator:<26} {mutants:>7} {rejected:>8} {survived:>8}");
    };
    outln!("step  operator                   mutants rejected survived");
    for ((step, operator), counts) in rows {
        line(step.to_string(), operator, counts);
    }
    outln!();
    let mut all = Counts::default();
    for (step, counts) in steps {
        line(step.to_string(), "all", counts);
        all.mutants += counts.mutants;
        all.rejected += counts.rejected;
        all.survived += counts.survived;
    }
    line("all".to_owned(), "", all);
    outln!("\nstep  rejected by                mutants");
    for ((step, check), count) in checks {
        outln!("{step:<5} {check:<26} {count:>7}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let list = Equivalent::read(root).unwrap();
        assert!(list.equivalent.iter().all(|entry| !entry.reason.is_empty()));
    }
}
