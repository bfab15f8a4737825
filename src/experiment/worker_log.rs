//! Why workflows did not complete, as a worker's log has it.

use std::{collections::HashMap, fmt, fs, path::Path};

use cli_kit::term::one_line;
use serde::Serialize;

/// Characters of a message that are quoted.
const QUOTED: usize = 200;

/// What went wrong in a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It panicked: where, and the message.
    Panicked { place: String, message: String },
    /// It logged this error more often than any other.
    Logged { error: String, times: usize },
}

impl Trouble {
    /// The trouble in this log. A panic comes before errors: they may follow from it.
    pub fn read(log: &Path) -> Option<Self> {
        Self::of(&String::from_utf8_lossy(&fs::read(log).unwrap_or_default()))
    }

    fn of(log: &str) -> Option<Self> {
        panicked(log).or_else(|| logged(log, " ERROR ")).or_else(|| logged(log, " WARN "))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked { place, message } => {
                write!(f, "the worker panicked at {place}: {message}")
            }
            Self::Logged { error, times: 1 } => write!(f, "the worker logged an error: {error}"),
            Self::Logged { error, times } => {
                write!(f, "the worker logged this error {times} times: {error}")
            }
        }
    }
}

fn panicked(log: &str) -> Option<Trouble> {
    let mut lines = log.lines();
    let (_, place) = lines.find_map(|line| {
        line.split_once("' panicked at ").or_else(|| {
            // Newer compilers name the thread's number as well.
            line.starts_with("thread '").then(|| line.split_once(" panicked at ")).flatten()
        })
    })?;
    let message = lines.next().unwrap_or_default();
    Some(Trouble::Panicked {
        place: place.trim_end_matches(':').to_owned(),
        message: quoted(message),
    })
}

/// The error that is logged most at this level. The numbers in it may be different each time.
fn logged(log: &str, level: &str) -> Option<Trouble> {
    let mut times: HashMap<String, (usize, &str)> = HashMap::new();
    let lines = log.lines().filter_map(|line| Some(line.split_once(level)?.1));
    for error in lines.map(cause) {
        let alike = error.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        times.entry(alike).or_insert((0, error)).0 += 1;
    }
    let (times, error) = times.into_values().max_by_key(|(times, _)| *times)?;
    Some(Trouble::Logged { error: quoted(error), times })
}

/// Where a line names the error, that, without what the SDK says of each.
fn cause(line: &str) -> &str {
    let error = line.rsplit_once(" error=").or_else(|| line.rsplit_once("}: "));
    let error = error.or_else(|| line.split_once(": ")).map_or(line, |(_, error)| error);
    error.trim_start_matches("Encoding error: ")
}

/// As it is quoted in a sentence.
fn quoted(message: &str) -> String {
    one_line(message.trim().trim_end_matches('.'), QUOTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_reason_whatever_else_is_logged() {
        let log = "2026-11-25T17:57:08Z ERROR temporalio_sdk: Failed error=Encoding error: no key\n\n\
                   thread 'main' (27519) panicked at exercises/03-async-codec/codec.rs:20:13:\n\
                   enough of this\nstack backtrace:\n";
        assert_eq!(
            Trouble::of(log).unwrap().to_string(),
            "the worker panicked at exercises/03-async-codec/codec.rs:20:13: enough of this"
        );
        let older = "thread 'main' panicked at codec.rs:1:2:\nenough.\n";
        assert_eq!(
            Trouble::of(older).unwrap().to_string(),
            "the worker panicked at codec.rs:1:2: enough"
        );
    }

    #[test]
    fn otherwise_it_is_the_error_that_is_logged_most() {
        let failed = |call| {
            format!(
                "2026-11-25T17:57:08Z ERROR temporalio_sdk: Failed encoding run_id=\"01\" \
                 error=Encoding error: the key service failed (call {call})\n"
            )
        };
        let unknown = "2026-11-25T17:57:08Z ERROR temporalio_sdk: Failed decoding error=Encoding \
                       error: the payload is encrypted with key id \"starter\"\n";
        let log = |parts: &[&str]| Trouble::of(&parts.concat()).map(|trouble| trouble.to_string());
        assert_eq!(
            log(&[&failed(1), unknown, &failed(20)]).unwrap(),
            "the worker logged this error 2 times: the key service failed (call 1)"
        );
        assert_eq!(
            log(&[unknown]).unwrap(),
            "the worker logged an error: the payload is encrypted with key id \"starter\""
        );
        let warning =
            "2026-11-25T17:57:08Z  WARN complete{run_id: 01}: Failed to create workflow\n";
        assert_eq!(
            log(&[warning]).unwrap(),
            "the worker logged an error: Failed to create workflow"
        );
        assert_eq!(log(&["2026-11-25T17:57:08Z  INFO greeting::worker: worker polls\n"]), None);
        let long = "word ".repeat(QUOTED);
        assert_eq!(quoted(&long).chars().count(), QUOTED + 1);
    }
}
