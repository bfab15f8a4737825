//! Mutants: a codec with one mutation, or with two at different places.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Context;
use ring::digest::{self, SHA256};
use solutions::Step;

use crate::{
    edit::{apply, diff, overlap},
    operators::{Mutation, mutations},
};

/// The first 16 digits of the SHA-256 of these texts.
pub fn digest(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut context = digest::Context::new(&SHA256);
    for text in texts {
        context.update(text.as_ref());
        context.update(b"\0");
    }
    context.finish().as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A codec that differs from the reference codec of its step.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// The step, and what is changed where. The same in each run.
    pub id: String,
    /// The step whose codec it was.
    pub step: u8,
    /// One mutation, or two. None: the reference codec itself.
    pub mutations: Vec<Mutation>,
    /// The whole codec.
    pub source: String,
    /// Of its source.
    pub digest: String,
    /// The lines that differ.
    pub diff: String,
}

impl Mutant {
    fn new(step: u8, original: &str, mutations: Vec<Mutation>) -> Self {
        let names: Vec<_> = mutations.iter().map(Mutation::name).collect();
        let name = if names.is_empty() { ORIGINAL.to_owned() } else { names.join("+") };
        let edits: Vec<_> = mutations.iter().flat_map(|one| one.edits.clone()).collect();
        let source = apply(original, &edits);
        Self {
            id: format!("{step}-{name}"),
            step,
            mutations,
            digest: digest([&source]),
            diff: diff(original, &source),
            source,
        }
    }

    /// Whether it is the reference codec itself. The judge must accept it.
    pub fn is_original(&self) -> bool {
        self.mutations.is_empty()
    }

    /// Its operator. A double mutant has two.
    pub fn operator(&self) -> &str {
        match &self.mutations[..] {
            [] => ORIGINAL,
            [one] => &one.operator,
            _ => DOUBLE,
        }
    }

    /// The ids of the single mutants that it is made of.
    pub fn singles(&self) -> Vec<String> {
        self.mutations.iter().map(|one| format!("{}-{}", self.step, one.name())).collect()
    }

    /// What it does, in plain words.
    pub fn says(&self) -> String {
        let says: Vec<_> = self.mutations.iter().map(|one| one.says.as_str()).collect();
        says.join("; and ")
    }

    /// The name of its module in the generated program.
    pub fn module(&self) -> String {
        format!("m{}", self.id.replace(['-', '+'], "_"))
    }
}

/// What stands in place of an operator.
const ORIGINAL: &str = "original";
const DOUBLE: &str = "(double)";

impl Mutation {
    fn name(&self) -> String {
        format!("{}-{}", self.operator, self.place)
    }
}

/// The reference codec of a step.
pub struct Original {
    step: u8,
    source: String,
}

impl Original {
    /// Reads it.
    pub fn read(root: &Path, step: Step) -> anyhow::Result<Self> {
        let file = root.join("solutions").join(step.folder()).join("codec.rs");
        let source =
            fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
        Ok(Self { step: step.number(), source })
    }

    /// Itself, and all single mutants of it. Two that are the same text are one.
    pub fn singles(&self) -> anyhow::Result<Vec<Mutant>> {
        let mut all = vec![Mutant::new(self.step, &self.source, Vec::new())];
        let mut seen = BTreeSet::from([self.source.clone()]);
        for mutation in mutations(&self.source)? {
            let mutant = Mutant::new(self.step, &self.source, vec![mutation]);
            if seen.insert(mutant.source.clone()) {
                all.push(mutant);
            }
        }
        Ok(all)
    }

    /// So many double mutants, made of these single ones and dealt by the seed; fewer where there are
    /// not so many.
    pub fn doubles(&self, singles: &[Mutant], count: usize, seed: u64) -> Vec<Mutant> {
        let singles: Vec<_> = singles.iter().flat_map(|single| &single.mutations).collect();
        let mut random = fastrand::Rng::with_seed(seed ^ u64::from(self.step));
        let mut doubles: Vec<Mutant> = Vec::new();
        if singles.len() < 2 {
            return doubles;
        }
        for _ in 0..count * TRIES {
            if doubles.len() == count {
                break;
            }
            let mut pair = random.choose_multiple(0..singles.len(), 2);
            pair.sort_unstable();
            let pair: Vec<_> = pair.into_iter().map(|number| singles[number].clone()).collect();
            if overlap(&pair[0].edits, &pair[1].edits) {
                continue;
            }
            let double = Mutant::new(self.step, &self.source, pair);
            if doubles.iter().all(|other| other.source != double.source) {
                doubles.push(double);
            }
        }
        doubles
    }
}

/// How many pairs are dealt for each double mutant: of some, both halves change the same place.
const TRIES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn original() -> Original {
        let source = "fn encode() {\n    first(1, 2)?;\n    second().await;\n}\n";
        Original { step: 3, source: source.to_owned() }
    }

    #[test]
    fn an_id_names_step_operator_and_place() {
        let singles = original().singles().unwrap();
        assert_eq!(singles[0].id, "3-original");
        let panics = singles.iter().find(|one| one.operator() == "error-panics").unwrap();
        assert_eq!(panics.id, "3-error-panics-encode-1");
        assert_eq!(panics.module(), "m3_error_panics_encode_1");
        assert_eq!(panics.diff, "-    first(1, 2)?;\n+    first(1, 2).unwrap();\n");
        assert_eq!(panics.says(), "encode: an error is a panic");
    }

    #[test]
    fn the_same_seed_deals_the_same_doubles() {
        let original = original();
        let singles = original.singles().unwrap();
        let ids = |seed| -> Vec<_> {
            original.doubles(&singles, 10, seed).into_iter().map(|one| one.id).collect()
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        assert_eq!(ids(1).len(), 10);
    }

    #[test]
    fn a_double_mutant_has_both_changes() {
        let original = original();
        let singles = original.singles().unwrap();
        for double in original.doubles(&singles, 20, 1) {
            let [one, other] = &double.mutations[..] else { panic!("two mutations") };
            assert!(!overlap(&one.edits, &other.edits), "{}", double.id);
            assert_eq!(double.singles().len(), 2);
            assert!(singles.iter().all(|single| single.source != double.source), "{}", double.id);
        }
    }
}
