//! Mutates the reference codecs, runs the checks on each mutant, and reports those that pass. A mutant that
//! survives either behaves like the reference codec, or shows what the checks miss.
//!
//! ```text
//! cargo run -p judge --example mutants                  all of them: about half an hour
//! cargo run -p judge --example mutants -- --step 3      those of one step
//! cargo run -p judge --example mutants -- --list        their ids and what they do
//! cargo run -p judge --example mutants -- --only ID     those whose id contains this
//! ```
//!
//! You can stop it with Ctrl-C; the next run continues from there. Its results are in
//! `.workshop/mutants/results.jsonl`. If the checks have changed, all mutants are judged again.
//!
//! Survivors that are explained in `docs/evidence/equivalent-mutants.toml` are accepted. Any other makes
//! the program exit with 1.
//!
//! | module | what it does |
//! | --- | --- |
//! | `templates` | what the operators write in place of a piece of a codec: add operators here |
//! | `operators` | finds the places for them in the syntax tree |
//! | `edit` | applies changes to a text, and shows them |
//! | `mutant` | a codec with one change or two, and its id |
//! | `build` | writes all mutants into one generated package, and builds those that compile |
//! | `judging` | judges one mutant: part of the generated program |
//! | `run` | starts a process for each, and keeps the results |
//! | `report` | the table, and the survivors |

mod build;
mod edit;
#[expect(dead_code, reason = "most of it is called by the generated program only")]
mod judging;
mod mutant;
mod operators;
mod report;
mod run;
mod templates;

use std::{fs, process::ExitCode};

use clap::Parser;
use cli_kit::{
    exit::{self, Exit, Failure},
    outln, root,
};
use solutions::Step;

use crate::{
    build::Package,
    mutant::Original,
    report::{Equivalent, Summary},
    run::Results,
};

/// Judges mutants of the reference codecs, and reports those that are not rejected.
#[derive(Parser)]
#[command(name = "mutants")]
struct Arguments {
    /// Mutates the codec of this step only, 1 to 4.
    #[arg(long)]
    step: Option<u8>,
    /// Double mutants of each step.
    #[arg(long, default_value_t = 40)]
    doubles: usize,
    /// Seed for choosing the double mutants, and for the checks
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Mutants that are judged at a time.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Judges only mutants whose id contains this.
    #[arg(long, value_name = "ID")]
    only: Option<String>,
    /// Lists the single mutants, whether they compile or not, and judges none.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    exit::end(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<Exit> {
    let root = root::require()?;
    let steps = match arguments.step {
        Some(step) => vec![Step::exercise(step).map_err(Failure::usage)?],
        None => Step::EXERCISES.to_vec(),
    };
    if arguments.list {
        for step in steps {
            for mutant in Original::read(&root, step)?.singles()? {
                outln!("{}  {}", mutant.id, mutant.says());
            }
        }
        return Ok(Exit::Done);
    }

    let equivalent = Equivalent::read(&root)?;
    let folder = root.join(root::OURS).join("mutants");
    fs::create_dir_all(&folder)?;
    let judge = build::digest_of_judge(&root)?;
    let mut package = Package::new(&root, &folder, &judge)?;
    let results = Results::read(&folder, &judge, arguments.seed);

    let mut programs = Vec::new();
    for step in steps {
        let original = Original::read(&root, step)?;
        let mut mutants = package.that_compile(step.number(), original.singles()?)?;
        let doubles = original.doubles(&mutants, arguments.doubles, arguments.seed);
        let both = mutants.iter().cloned().chain(doubles).collect();
        mutants = package.that_compile(step.number(), both)?;
        let only = arguments.only.as_deref().unwrap_or_default();
        let asked: Vec<_> = mutants.iter().filter(|one| one.id.contains(only)).cloned().collect();
        // All of them, so that the program is the same whichever mutant is asked for.
        let program = match asked.iter().all(|mutant| results.of(mutant).is_some()) {
            true => None,
            false => Some(package.build(step.number(), &mutants)?),
        };
        programs.push((program, asked));
    }
    let mut judged = Vec::new();
    for (program, mutants) in programs {
        if let Some(program) = program {
            results.judge(&program, &mutants, arguments.jobs.into())?;
        }
        judged.extend(mutants.into_iter().map(|mutant| {
            let verdict = results.of(&mutant);
            (mutant, verdict)
        }));
    }
    if judged.is_empty() {
        return Err(Failure::usage("no mutant that compiles has such an id: see --list").into());
    }
    let whole = arguments.step.is_none() && arguments.only.is_none();
    let Summary { unexplained, undecided } = report::print(&judged, &equivalent, whole);
    Ok(match (unexplained, undecided) {
        (0, 0) => Exit::Done,
        (0, _) => Exit::Environment,
        _ => Exit::NotSolved,
    })
}
