//! Reads a page of metrics: Prometheus' text format and OpenMetrics, as far as a worker's metrics need them.
//!
//! The parser keeps only series that Temporal's SDKs export, so a page with a million other series costs
//! no memory. It reads what `/federate` writes as well: no types, timestamps, and buckets in any order.

use std::{borrow::Cow, collections::BTreeMap};

use crate::metric::{self, Name};

/// A page longer than this is not read to its end.
pub const LONGEST_PAGE: usize = 32 * 1024 * 1024;
/// No worker has so many series of the SDK on one page.
const MOST_SAMPLES: usize = 60_000;
/// Longer label names and values are cut.
const LONGEST_LABEL: usize = 256;
/// Longer lines are not read: a worker writes none.
const LONGEST_LINE: usize = 64 * 1024;

/// Why a page is not a page of metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMetrics {
    /// It is empty.
    #[error("the page is empty")]
    Empty,
    /// It is HTML.
    #[error("the page is HTML, not metrics")]
    Html,
    /// It is JSON.
    #[error("the page is JSON, not metrics")]
    Json,
    /// It has no line that is a metric.
    #[error("the page has no metrics in Prometheus' text format")]
    NoSamples,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What the name says.
    pub name: Name,
    /// The prefix of the name, such as `temporal_`.
    pub prefix: String,
    /// The labels, by name.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty if it is absent, or says `none`, as Go's and Java's SDKs do.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str).trim_matches('\0').none_is_empty()
    }
}

trait NoneIsEmpty {
    fn none_is_empty(&self) -> &str;
}

impl NoneIsEmpty for str {
    fn none_is_empty(&self) -> &str {
        if self == "none" { "" } else { self }
    }
}

/// A page of metrics: the samples whose names end as those of an SDK do.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The samples.
    pub samples: Vec<Sample>,
    /// How many lines were metrics of any kind.
    pub lines: usize,
    /// How many lines could not be read.
    pub unread: usize,
    /// Whether samples were left out because there were too many.
    pub cut: bool,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// When it is not a page of metrics.
    pub fn parse(body: &[u8]) -> Result<Self, NotMetrics> {
        let body = &body[..body.len().min(LONGEST_PAGE)];
        let text = String::from_utf8_lossy(body);
        let start = text.trim_start_matches('\u{feff}').trim_start();
        match start.as_bytes() {
            [] => return Err(NotMetrics::Empty),
            [b'<', ..] => return Err(NotMetrics::Html),
            [b'[', ..] => return Err(NotMetrics::Json),
            [b'{', rest @ ..] if looks_like_json(rest) => return Err(NotMetrics::Json),
            _ => {}
        }
        let mut page = Self::default();
        for line in start.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.len() > LONGEST_LINE {
                page.unread += 1;
                continue;
            }
            match read_line(line) {
                Some(Line::Ours(sample)) => {
                    page.lines += 1;
                    if page.samples.len() < MOST_SAMPLES {
                        page.samples.push(sample);
                    } else {
                        page.cut = true;
                    }
                }
                Some(Line::Other) => page.lines += 1,
                None => page.unread += 1,
            }
        }
        if page.lines == 0 { Err(NotMetrics::NoSamples) } else { Ok(page) }
    }

    /// A page from samples that were read elsewhere, such as from Prometheus' API.
    pub fn of(samples: Vec<Sample>) -> Self {
        Self { lines: samples.len(), samples, unread: 0, cut: false }
    }
}

fn looks_like_json(rest: &[u8]) -> bool {
    // `{"name", label="x"} 1` is a metric too, with a quoted name.
    let rest = String::from_utf8_lossy(&rest[..rest.len().min(200)]);
    let rest = rest.trim_start();
    rest.starts_with('}')
        || rest
            .split_once('"')
            .and_then(|(_, key)| key.split_once('"'))
            .is_some_and(|(_, after)| after.trim_start().starts_with(':'))
}

enum Line {
    Ours(Sample),
    Other,
}

/// Reads `name{labels} value [timestamp] [# exemplar]`.
fn read_line(line: &str) -> Option<Line> {
    let end = line.find(|c: char| c == '{' || c.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(end);
    if !is_name(name) {
        return None;
    }
    let known = metric::recognise(name);
    let rest = rest.trim_start();
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    let value = value(rest.split_ascii_whitespace().next()?)?;
    Some(match known {
        Some((prefix, name)) => {
            Line::Ours(Sample { name, prefix: prefix.to_owned(), labels, value })
        }
        None => Line::Other,
    })
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// The labels, and what follows the closing brace.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start().trim_start_matches(',').trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start().strip_prefix('"')?;
        let (value, after) = quoted(after)?;
        let name = name.trim().trim_matches('"');
        if name.is_empty() || name.len() > LONGEST_LABEL {
            return None;
        }
        labels.insert(name.to_owned(), cut(&value).to_owned());
        rest = after;
    }
}

fn cut(value: &str) -> &str {
    match value.char_indices().nth(LONGEST_LABEL) {
        Some((end, _)) => &value[..end],
        None => value,
    }
}

/// A quoted value with its escapes undone, and what follows the closing quote.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text.as_bytes()[end] == b'"' {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// A number, as Prometheus writes it.
pub fn value(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" | "Nan" => Some(f64::NAN),
        number => {
            // Rust reads "infinity" and "nan" too, which no page may say.
            let plain = number.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            number.parse().ok().filter(|_| plain)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric, Part};

    fn only(page: &str) -> Sample {
        let page = Page::parse(page.as_bytes()).unwrap();
        assert_eq!(page.samples.len(), 1, "{page:?}");
        page.samples.into_iter().next().unwrap()
    }

    #[test]
    fn a_line_is_read_in_every_form() {
        for line in [
            "temporal_num_pollers{poller_type=\"a\"} 5",
            "temporal_num_pollers{poller_type=\"a\",} 5 1795836592828",
            "temporal_num_pollers { poller_type = \"a\" } 5.0",
            "# HELP x y\n# TYPE x untyped\ntemporal_num_pollers{poller_type=\"a\"} 5 # {trace=\"1\"} 0.2 12",
            "\u{feff}temporal_num_pollers{\"poller_type\"=\"a\"} 5e0\n# EOF",
        ] {
            let sample = only(line);
            assert_eq!((sample.name.metric, sample.value), (Metric::Pollers, 5.0), "{line}");
            assert_eq!((sample.prefix.as_str(), sample.label("poller_type")), ("temporal_", "a"));
        }
    }

    #[test]
    fn escapes_are_undone_and_none_is_no_value() {
        let sample = only(r#"temporal_request{operation="a\"b\\c\nd",task_queue="none"} 1"#);
        assert_eq!((sample.label("operation"), sample.label("task_queue")), ("a\"b\\c\nd", ""));
        assert_eq!(sample.name.part, Part::Value);
    }

    #[test]
    fn other_series_are_counted_and_not_kept() {
        let page = Page::parse(b"go_goroutines 5\nup{job=\"x\"} 1\n").unwrap();
        assert_eq!((page.lines, page.samples.len()), (2, 0));
    }

    #[test]
    fn what_is_no_page_of_metrics_is_named() {
        for (body, error) in [
            ("", NotMetrics::Empty),
            ("  \n", NotMetrics::Empty),
            ("<!DOCTYPE html><html>", NotMetrics::Html),
            ("{\"status\": \"up\"}", NotMetrics::Json),
            ("{}", NotMetrics::Json),
            ("[1, 2]", NotMetrics::Json),
            ("Not found", NotMetrics::NoSamples),
            ("# HELP only comments", NotMetrics::NoSamples),
        ] {
            assert_eq!(Page::parse(body.as_bytes()).unwrap_err(), error, "{body}");
        }
    }

    #[test]
    fn a_line_that_ends_early_is_left_out() {
        let page = Page::parse(
            b"up 1\ntemporal_request{operation=\"x\ntemporal_request{a=\"b\"}\ntemporal_req",
        )
        .unwrap();
        assert_eq!((page.lines, page.unread, page.samples.len()), (1, 3, 0));
    }
}
