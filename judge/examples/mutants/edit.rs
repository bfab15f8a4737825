//! Changes to a text: applied, and shown as the lines that they change.

use std::ops::Range;

use similar::{ChangeTag, TextDiff};

/// Replaces a range of bytes. An empty range inserts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub at: Range<usize>,
    pub text: String,
}

/// The source with all edits made. They must not overlap. Insertions at one place keep their order.
pub fn apply(source: &str, edits: &[Edit]) -> String {
    let mut edits: Vec<_> = edits.iter().collect();
    edits.sort_by_key(|edit| (edit.at.start, edit.at.end));
    let mut result = String::new();
    let mut copied = 0;
    for Edit { at, text } in edits {
        result.push_str(&source[copied..at.start]);
        result.push_str(text);
        copied = at.end;
    }
    result + &source[copied..]
}

/// Whether edits of both change the same place. Neighbours count: which comes first would matter.
pub fn overlap(some: &[Edit], others: &[Edit]) -> bool {
    let touch = |a: &Range<usize>, b: &Range<usize>| a.start <= b.end && b.start <= a.end;
    some.iter().any(|one| others.iter().any(|other| touch(&one.at, &other.at)))
}

/// The lines that differ, with `-` and `+` before them.
pub fn diff(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut lines = String::new();
    for change in diff.iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => continue,
        };
        lines.push(sign);
        lines.push_str(change.value().trim_end());
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(at: Range<usize>, text: &str) -> Edit {
        Edit { at, text: text.to_owned() }
    }

    #[test]
    fn edits_are_applied_in_any_order() {
        let edits = [edit(6..11, "you"), edit(0..0, ">"), edit(11..11, "!")];
        assert_eq!(apply("hello world", &edits), ">hello you!");
    }

    #[test]
    fn neighbours_overlap_and_others_do_not() {
        assert!(overlap(&[edit(0..2, "")], &[edit(2..3, "")]));
        assert!(overlap(&[edit(2..2, "")], &[edit(2..2, "")]));
        assert!(!overlap(&[edit(0..0, ""), edit(9..9, "")], &[edit(3..5, "")]));
    }

    #[test]
    fn a_diff_has_only_the_lines_that_differ() {
        assert_eq!(diff("a\nb\nc\n", "a\nx\nc\n"), "-b\n+x\n");
    }
}
