//! `workshop puzzle N`: a codec that looks right, a question, and the answer in three parts.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use cli_kit::{
    exit::{Exit, Failure},
    outln, root,
};

use crate::course::{PUZZLES, Puzzle, PuzzleError};

/// The flags of `workshop puzzle`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  cargo workshop puzzle 1          # waits for Enter before each answer
  cargo workshop puzzle 1 | less   # all of it")]
pub struct PuzzleArgs {
    /// Which one, 1 to 8
    #[arg(value_name = "N", default_value_t = 1, value_parser = number)]
    number: u8,
}

/// As it is typed. Whether there is a puzzle of that number is asked later.
fn number(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("a puzzle is a number from 1 to {PUZZLES}"))
}

/// Prints the puzzle. On a terminal, each part of the answer waits for Enter.
///
/// # Errors
/// When there is no such puzzle, or its file can't be read.
pub fn run(args: &PuzzleArgs) -> anyhow::Result<Exit> {
    let root = root::require()?;
    let puzzle = Puzzle::read(args.number, &root).map_err(|error| match error {
        PuzzleError::NoSuch(_) => Failure::usage(error),
        PuzzleError::Unreadable(..) | PuzzleError::Incomplete(..) => Failure::environment(error),
    })?;
    let waits = io::stdin().is_terminal() && io::stdout().is_terminal();
    outln!("{}\n\n{}", puzzle.title, puzzle.question);
    let parts = ["what verify reports", "where to look", "the explanation and the fix"];
    for (part, answer) in parts.into_iter().zip(&puzzle.answers) {
        // Ctrl-D ends it, as Ctrl-C does.
        if waits && !enter(part)? {
            outln!();
            return Ok(Exit::Done);
        }
        outln!("\n{answer}");
    }
    outln!("\nThe whole codec: exercises/find-the-fault/{}.rs", args.number);
    match args.number {
        PUZZLES => outln!("That was the last one. Now your own worker: docs/recipes.md"),
        number => outln!("The next one: cargo workshop puzzle {}", number + 1),
    }
    Ok(Exit::Done)
}

/// Waits for Enter; false at the end of the input.
fn enter(part: &str) -> io::Result<bool> {
    let mut output = io::stderr();
    write!(output, "\nEnter: {part} ")?;
    output.flush()?;
    Ok(io::stdin().lock().read_line(&mut String::new())? > 0)
}
