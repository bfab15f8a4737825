//! Long lines on a terminal.

use console::Term;
use textwrap::{Options, WordSeparator, WordSplitter};

/// Columns of a terminal, as a rule.
const USUAL: usize = 80;

/// Folds a line between words where the terminal ends, with each line after the first `indent` columns
/// in. Elsewhere it stays one line, for whoever searches it.
pub fn fold(line: &str, indent: usize) -> String {
    let terminal = Term::stdout();
    if !terminal.is_term() {
        return line.to_owned();
    }
    // Some terminals don't tell how large they are.
    let width = terminal.size_checked().map_or(USUAL, |(_, columns)| usize::from(columns));
    at(width, line, indent)
}

fn at(width: usize, line: &str, indent: usize) -> String {
    let indent = " ".repeat(indent);
    // A path, an address or a flag that is broken can't be pasted.
    let options = Options::new(width)
        .subsequent_indent(&indent)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false);
    textwrap::fill(line, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_folded_between_words() {
        assert_eq!(at(12, "Seen:  one two three", 7), "Seen:  one\n       two\n       three");
        assert_eq!(at(80, "Seen:  one two three", 7), "Seen:  one two three");
        let address = "https://docs.rs/process-compose";
        assert_eq!(at(12, &format!("get it: {address}"), 0), format!("get it:\n{address}"));
    }

    #[test]
    fn without_a_terminal_a_line_is_a_line() {
        let long = "word ".repeat(100);
        // Whoever runs the tests may have one.
        if !Term::stdout().is_term() {
            assert_eq!(fold(&long, 4), long);
        }
    }
}
