//! Text for people: wrapped at the width of the terminal, and written without a panic at a closed pipe.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::OnceLock,
};

use console::Term;
use textwrap::{Options, WordSeparator, WordSplitter};

/// The usual width of a terminal, in columns.
const USUAL: usize = 80;
/// The first error of writing to stdout.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();
/// How much of a log an error quotes.
const QUOTED_LINES: usize = 8;

/// Wraps a line between words at the width of the terminal, and indents each line after the first by `indent`
/// columns. Without a terminal it stays one line, which is easier to search.
pub fn wrap(line: &str, indent: usize) -> String {
    wrap_for(&Term::stdout(), line, indent)
}

fn wrap_for(terminal: &Term, line: &str, indent: usize) -> String {
    if !terminal.is_term() {
        return line.to_owned();
    }
    // Some terminals don't report their size.
    let width = terminal.size_checked().map_or(USUAL, |(_, columns)| usize::from(columns));
    at(width, line, indent)
}

fn at(width: usize, line: &str, indent: usize) -> String {
    let indent = " ".repeat(indent);
    // A path, an address or a flag broken across lines can't be pasted.
    let options = Options::new(width)
        .subsequent_indent(&indent)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::fill(line, options)
}

/// Puts a text of any origin on one line of at most that many characters: it may be long, and contain new
/// lines or escape sequences.
pub fn one_line(text: &str, most: usize) -> String {
    let mut line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(most)
        .collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}

/// Writes results to stdout. If the reader closes the pipe, that is no error. Any other failure is reported
/// once, at the [end](crate::exit::end) of the program, and makes the program fail.
pub fn print(text: impl AsRef<[u8]>) {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_ref()).and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        UNWRITTEN.set(error).ok();
    }
}

/// Why something could not be written to stdout, if it could not.
pub fn unwritten() -> Option<&'static io::Error> {
    UNWRITTEN.get()
}

/// Lines on stderr: progress, and notes beside the results. Each is wrapped at the width of the terminal. If
/// it can't be written, there is nowhere to report that.
pub fn note(text: impl AsRef<str>) {
    pass_on(wrap_for(&Term::stderr(), text.as_ref(), 0));
}

/// Lines of another program on stderr, as they are.
pub fn pass_on(text: impl AsRef<str>) {
    writeln!(io::stderr(), "{}", text.as_ref()).ok();
}

/// As `println!`, which panics at a closed pipe.
#[macro_export]
macro_rules! outln {
    () => { $crate::term::print("\n") };
    ($($text:tt)*) => { $crate::term::print(format!($($text)*) + "\n") };
}

/// As `eprintln!`, which panics where stderr can't be written.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::term::note(format!($($text)*)) };
}

/// The last lines of a log, for the end of an error message.
pub fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    match &lines[lines.len().saturating_sub(QUOTED_LINES)..] {
        [] => format!("; it printed nothing ({})", log.display()),
        last => format!("; the end of its log ({}):\n  {}", log.display(), last.join("\n  ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_origin_is_one_short_line() {
        assert_eq!(one_line("a panic\nin \u{1b}[31mred", 300), "a panic in  [31mred");
        let long = one_line(&"é".repeat(1 << 20), 300);
        assert_eq!((long.chars().count(), long.chars().last()), (301, Some('…')));
    }

    #[test]
    fn a_line_is_wrapped_between_words() {
        assert_eq!(at(12, "Seen:  one two three", 7), "Seen:  one\n       two\n       three");
        assert_eq!(at(80, "Seen:  one two three", 7), "Seen:  one two three");
        // A text of several lines keeps its lines and their indentation.
        assert_eq!(at(12, "one two three\n  log\n", 0), "one two\nthree\n  log\n");
        let address = "https://docs.rs/process-compose";
        assert_eq!(at(12, &format!("get it: {address}"), 0), format!("get it:\n{address}"));
    }

    #[test]
    fn without_a_terminal_a_line_is_a_line() {
        let long = "word ".repeat(100);
        // The tests may run in a terminal.
        if !Term::stdout().is_term() {
            assert_eq!(wrap(&long, 4), long);
        }
    }
}
