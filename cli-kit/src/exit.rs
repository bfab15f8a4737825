//! Exit codes, and errors that carry one.

use std::{fmt::Display, process::ExitCode};

use anyhow::anyhow;

use crate::term;

/// How a program of the workshop ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: done.
    Done = 0,
    /// 1: it ran, but the result is not what it should be: workflows failed, a run was cut off, an exercise
    /// is not solved.
    NotSolved = 1,
    /// 2: wrong usage: a flag, a number or a file that can't be right.
    Usage = 2,
    /// 3: the environment is broken: no server, a port taken, a program missing.
    Environment = 3,
    /// 130: interrupted from the keyboard or by a signal, before it was done.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error with its exit code. Its message says what was seen, what it means and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// Wrong usage.
    pub fn usage(message: impl Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// The environment is broken.
    pub fn environment(message: impl Display) -> Self {
        Self { exit: Exit::Environment, message: message.to_string() }
    }

    /// The environment is broken, in one way or in several. All are reported at once, so that they can be
    /// fixed at once.
    pub fn environments(message: &str, reasons: &[impl Display]) -> Self {
        match reasons {
            [reason] => Self::environment(format!("{message}: {reason}")),
            reasons => {
                let lines = reasons.iter().map(|reason| format!("\n  {reason}"));
                Self::environment(format!("{message}:{}", lines.collect::<String>()))
            }
        }
    }

    /// Interrupted.
    pub fn interrupted(message: impl Display) -> Self {
        Self { exit: Exit::Interrupted, message: message.to_string() }
    }
}

/// Ends a program: an error goes to stderr with its causes, and decides the exit code. An error that is no
/// [`Failure`] counts as a broken environment, which it usually is.
pub fn end(result: anyhow::Result<Exit>) -> ExitCode {
    let result = match term::unwritten() {
        Some(error) => result.and(Err(anyhow!("stdout can't be written: {error}"))),
        None => result,
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            term::note(format!("error: {error:#}"));
            let exit = error.chain().find_map(|cause| Some(cause.downcast_ref::<Failure>()?.exit));
            exit.unwrap_or(Exit::Environment).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn the_codes_are_the_documented_ones() {
        let codes = [
            (Exit::Done, 0),
            (Exit::NotSolved, 1),
            (Exit::Usage, 2),
            (Exit::Environment, 3),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in codes {
            assert_eq!(ExitCode::from(exit), ExitCode::from(code));
        }
    }

    #[test]
    fn a_failure_decides_the_code_through_any_context() {
        let failed = Err(Failure::usage("no such codec")).context("reading the flags");
        assert_eq!(end(failed), ExitCode::from(2));
        assert_eq!(end(Err(anyhow::anyhow!("something else"))), ExitCode::from(3));
    }
}
