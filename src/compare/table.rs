//! The table on stdout, and its rows for the report.

use std::{iter, ops::Range};

use comfy_table::{CellAlignment, Table, presets};
use console::measure_text_width;
use greeting::quantiles::Quantiles;
use textwrap::{Options, WordSeparator, WordSplitter};

use super::results::Comparison;
use crate::experiment::Run;

/// The usual width of a terminal, in columns.
const WIDTH: usize = 80;
/// The width of a column besides its text.
const BORDERS: usize = 3;
/// The minimum width of the figures' names when they are folded. Their longest word is shorter.
const NAMES: usize = 24;

/// A figure of the table: its name, and how to get it from a run.
type Row = (&'static str, fn(&Run) -> String);

/// The figures, in the order of the table and of the report.
const ROWS: [Row; 13] = [
    ("workflows done", |run| format!("{} of {}", run.workflows.completed, run.workflows.started)),
    ("end to end, p50", |run| end_to_end(run, |q| q.p50)),
    ("end to end, p95", |run| end_to_end(run, |q| q.p95)),
    ("end to end, max", |run| end_to_end(run, |q| q.max)),
    ("workflow task schedule-to-start, p95", |run| {
        bound(run, run.workflow_task_schedule_to_start_seconds.map(|q| q.p95))
    }),
    ("activity schedule-to-start, p95", |run| {
        bound(run, run.activity_schedule_to_start_seconds.map(|q| q.p95))
    }),
    ("\"Workflow task not found\"", |run| count(run, run.workflow_task_not_found)),
    ("workflow task timeouts", |run| count(run, run.workflow_task_timeouts)),
    ("longest poll of the codec", |run| match run.longest_poll_seconds {
        None => "not observed".to_owned(),
        Some(poll) => seconds(poll),
    }),
    ("lag of the worker's main task", |run| seconds(run.lag_seconds.worker)),
    ("lag of a separate task", |run| seconds(run.lag_seconds.beside)),
    ("peak threads", |run| number(run.peak_threads.map(|threads| threads.to_string()))),
    ("peak memory", |run| {
        number(run.peak_memory_bytes.map(|bytes| format!("{:.0} MiB", bytes as f64 / 1048576.0)))
    }),
];

/// The rows: a name, and a cell for each run. The last one has the ratios, where there are any.
pub fn rows(all: &Comparison) -> Vec<(&'static str, Vec<String>)> {
    let row = |(name, figure): &Row| (*name, all.runs.iter().map(figure).collect());
    let mut rows: Vec<_> = ROWS.iter().map(row).collect();
    if !all.ratios.is_empty() {
        let ratios = all.runs.iter().map(|run| ratio(all, run)).collect();
        rows.push(("end to end, p95 / async", ratios));
    }
    rows
}

/// The table, one column a codec. Where it would be wider than [`WIDTH`], the figures' names are on several
/// lines; where that is not enough, there are several tables.
pub fn tables(all: &Comparison) -> Vec<Table> {
    let codecs: Vec<_> = all.runs.iter().map(|run| run.codec.to_string()).collect();
    let rows = rows(all);
    let width_of = |at: usize| {
        let cells = rows.iter().map(|(_, cells)| measure_text_width(&cells[at]));
        cells.chain([codecs[at].len()]).max().unwrap_or(0) + BORDERS
    };
    // How much of the width the codecs of a table take.
    let mut groups: Vec<(Range<usize>, usize)> = Vec::new();
    for at in 0..codecs.len() {
        let width = width_of(at);
        match groups.last_mut() {
            Some((group, taken)) if *taken + width + NAMES + BORDERS < WIDTH => {
                group.end = at + 1;
                *taken += width;
            }
            _ => groups.push((at..at + 1, width)),
        }
    }
    let table = |(group, taken): (Range<usize>, usize)| {
        // One border more than there are columns.
        let names = WIDTH.saturating_sub(taken + BORDERS + 1).max(NAMES);
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(iter::once("").chain(codecs[group.clone()].iter().map(String::as_str)));
        for (name, cells) in &rows {
            let name = textwrap::fill(name, between_words(names));
            table.add_row(iter::once(name).chain(cells[group.clone()].iter().cloned()));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    };
    groups.into_iter().map(table).collect()
}

fn between_words(width: usize) -> Options<'static> {
    Options::new(width)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation)
        .break_words(false)
}

/// A run's end-to-end p95 against that of async.
fn ratio(all: &Comparison, run: &Run) -> String {
    match all.ratios.get(&run.codec) {
        None => "1".to_owned(),
        Some(ratio) => {
            let sign = if ratio.lower_bound { "≥ " } else { "" };
            // Two digits, also for a codec that is faster.
            let digits = |ratio: f64| if ratio < 1.0 { 2 } else { 1 };
            number(ratio.end_to_end_p95.map(|p95| format!("{sign}{p95:.0$}", digits(p95))))
        }
    }
}

fn end_to_end(run: &Run, of: fn(Quantiles) -> f64) -> String {
    bound(run, run.end_to_end_seconds.map(of))
}

/// A figure of a run that was cut off is a lower bound.
pub fn bound(run: &Run, figure: Option<f64>) -> String {
    let sign = if run.cut_off && figure.is_some() { "≥ " } else { "" };
    format!("{sign}{}", number(figure.map(seconds)))
}

fn count(run: &Run, count: u64) -> String {
    format!("{}{count}", if run.cut_off { "≥ " } else { "" })
}

/// Seconds as people read them: three digits, and milliseconds below one second.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.001 => format!("{:.0} ms", s * 1e3),
        _ => "< 1 ms".to_owned(),
    }
}

fn number(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;
    use solutions::Step;

    use super::*;
    use crate::experiment::{Codec, Reference, ScenarioName};

    #[test]
    fn no_table_is_wider_than_a_terminal() {
        let references = Reference::value_variants().iter().map(|known| Codec::Reference(*known));
        let all: Vec<_> = references
            .chain(Step::EXERCISES.into_iter().map(Codec::Mine))
            .map(Run::empty)
            .collect();
        for count in 1..=all.len() {
            for runs in all.windows(count) {
                let all = Comparison::new(runs.to_vec(), ScenarioName::Quick.scenario(), None);
                let tables = tables(&all);
                let text: String = tables.iter().map(|table| format!("{table}\n")).collect();
                assert!(text.lines().all(|line| measure_text_width(line) <= WIDTH), "{text}");
                for run in runs {
                    assert_eq!(text.matches(&format!(" {} |", run.codec)).count(), 1, "{text}");
                }
                // A table that fits is not split, and each figure is on one line if there is room.
                assert!(count > 3 || tables.len() == 1, "{text}");
                assert!(!text.contains("- |\n| start"), "{text}");
                assert!(count > 2 || text.contains("| workflow task schedule-to-start, p95 "));
            }
        }
    }
}
