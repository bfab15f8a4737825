//! Long lines on a terminal.

use console::Term;
use textwrap::Options;

/// Folds a line between words where the terminal ends, with each line after the first `indent` columns
/// in. Elsewhere it stays one line, for whoever searches it.
pub fn fold(line: &str, indent: usize) -> String {
    let width = Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    width.map_or_else(|| line.to_owned(), |width| at(width, line, indent))
}

fn at(width: usize, line: &str, indent: usize) -> String {
    let indent = " ".repeat(indent);
    textwrap::fill(line, Options::new(width).subsequent_indent(&indent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_folded_between_words() {
        assert_eq!(at(12, "Seen:  one two three", 7), "Seen:  one\n       two\n       three");
        assert_eq!(at(80, "Seen:  one two three", 7), "Seen:  one two three");
    }

    #[test]
    fn without_a_terminal_a_line_is_a_line() {
        let long = "word ".repeat(100);
        // Whoever runs the tests may have one.
        if Term::stdout().size_checked().is_none() {
            assert_eq!(fold(&long, 4), long);
        }
    }
}
