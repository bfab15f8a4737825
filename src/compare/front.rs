//! What the report begins with: one number, the latencies as bars, and two seconds of each thread.

use live_page::{Doing, Segment};

use super::{
    results::Comparison,
    table::{bound, seconds},
    verdict::{SLOWER, at_least},
};
use crate::experiment::{Codec, Run};

/// How much of a thread's timeline is shown, in seconds.
const SHOWN_SECONDS: f64 = 2.0;

/// The number in large type, and what it says.
pub struct Headline {
    pub number: String,
    pub says: String,
}

/// A codec's end-to-end latency as a bar on a logarithmic axis.
pub struct Bar {
    pub codec: Codec,
    pub value: String,
    /// Its length, in percent of the axis.
    pub percent: f64,
}

/// A value on the axis.
pub struct Tick {
    pub value: String,
    pub percent: f64,
}

/// The bars and their axis.
#[derive(Default)]
pub struct Bars {
    pub bars: Vec<Bar>,
    pub ticks: Vec<Tick>,
}

/// Two seconds of a worker's thread.
pub struct Strip {
    pub codec: Codec,
    /// Which seconds of the run.
    pub from: f64,
    pub to: f64,
    pub parts: Vec<Part>,
    /// The share for which the codec blocked the thread, in percent.
    pub blocked: f64,
}

/// A part of it in which the thread was not free.
pub struct Part {
    /// Whether the codec blocked it; else it ran something else.
    pub blocked: bool,
    /// In percent of the strip.
    pub left: f64,
    pub width: f64,
}

fn p95(run: &Run) -> Option<f64> {
    run.end_to_end_seconds.map(|latency| latency.p95)
}

/// The worst codec against the async one; `None` if nothing was measured.
pub fn headline(all: &Comparison) -> Option<Headline> {
    let ratio = |run: &&Run| all.ratios.get(&run.codec).and_then(|ratio| ratio.end_to_end_p95);
    let measured = || all.runs.iter().filter(|run| p95(run).is_some());
    let worst =
        measured().max_by(|a, b| f64::total_cmp(&p95(a).unwrap_or(0.0), &p95(b).unwrap_or(0.0)))?;
    let takes = |run: &Run| format!("{} with {}", seconds(p95(run).unwrap_or_default()), run.codec);
    let baseline = measured().find(|run| run.codec == Codec::BASELINE);
    Some(match (ratio(&worst), baseline) {
        (Some(times), Some(baseline)) if times >= SLOWER => Headline {
            number: format!("{}{times:.0} times", at_least(worst)),
            says: format!(
                "as long: the 95th percentile of end-to-end latency is {} and {}.",
                takes(worst),
                takes(baseline)
            ),
        },
        _ => Headline {
            number: seconds(p95(worst).unwrap_or_default()),
            says: format!(
                "is the highest 95th percentile of end-to-end latency, with {}.",
                worst.codec
            ),
        },
    })
}

/// The 95th percentile of each codec's end-to-end latency. The axis begins and ends at a power of ten.
pub fn bars(all: &Comparison) -> Bars {
    let values = || all.runs.iter().filter_map(|run| Some((run, p95(run)?.max(0.001))));
    let logs = || values().map(|(_, value)| value.log10());
    // Below the smallest: every bar has a length.
    let first = (logs().fold(f64::INFINITY, f64::min) - 1e-9).floor();
    let last = logs().fold(f64::NEG_INFINITY, f64::max).ceil();
    if !(first.is_finite() && last > first) {
        return Bars::default();
    }
    let percent = |log: f64| (log - first) / (last - first) * 100.0;
    Bars {
        bars: values()
            .map(|(run, value)| Bar {
                codec: run.codec,
                value: bound(run, p95(run)),
                percent: percent(value.log10()),
            })
            .collect(),
        ticks: (first as i32..=last as i32)
            .map(|power| Tick {
                value: match power {
                    0.. => format!("{} s", 10_f64.powi(power)),
                    _ => format!("{} ms", 10_f64.powi(power + 3)),
                },
                percent: percent(power.into()),
            })
            .collect(),
    }
}

/// Two seconds of each thread, a quarter into the run.
pub fn strips(all: &Comparison) -> Vec<Strip> {
    all.runs.iter().map(strip).collect()
}

fn strip(run: &Run) -> Strip {
    let from = (run.wall_seconds / 4.0).min(run.wall_seconds - SHOWN_SECONDS).max(0.0);
    let to = from + SHOWN_SECONDS;
    let within = |segment: &Segment| (segment.from.max(from), segment.to.min(to));
    let mut seen: Vec<&Segment> = run.series.thread.iter().collect();
    // A segment that went on when it was sampled is there again, longer, and covers what was there before. The
    // codec's come last, and cover the others.
    seen.sort_by(|a, b| {
        let order = |s: &Segment| (s.doing != Doing::Busy, s.from, s.to);
        order(a).partial_cmp(&order(b)).unwrap_or(std::cmp::Ordering::Equal)
    });
    let mut blocked = 0.0;
    let mut until = from;
    let mut parts = Vec::new();
    for segment in seen {
        let (begin, end) = within(segment);
        if begin >= end {
            continue;
        }
        let of_codec = segment.doing != Doing::Busy;
        if of_codec && end > until {
            blocked += end - begin.max(until);
            until = end;
        }
        let percent = |seconds: f64| seconds / SHOWN_SECONDS * 100.0;
        parts.push(Part {
            blocked: of_codec,
            left: percent(begin - from),
            width: percent(end - begin),
        });
    }
    Strip { codec: run.codec, from, to, parts, blocked: blocked / SHOWN_SECONDS * 100.0 }
}

#[cfg(test)]
mod tests {
    use greeting::quantiles::Quantiles;

    use super::*;
    use crate::experiment::{Reference, ScenarioName};

    const BLOCKING: Codec = Codec::Reference(Reference::Blocking);

    fn run(codec: Codec, p95: f64) -> Run {
        Run {
            end_to_end_seconds: Some(Quantiles { p95, ..Quantiles::default() }),
            wall_seconds: p95,
            ..Run::empty(codec)
        }
    }

    fn all(runs: Vec<Run>) -> Comparison {
        Comparison::new(runs, ScenarioName::Quick.scenario(), None)
    }

    #[test]
    fn the_number_is_how_much_slower_the_worst_codec_is() {
        let slow = headline(&all(vec![run(BLOCKING, 60.0), run(Codec::BASELINE, 2.4)])).unwrap();
        assert_eq!(slow.number, "25 times");
        assert!(slow.says.contains("60.0 s with blocking and 2.40 s with async"), "{}", slow.says);
        let alike = headline(&all(vec![run(BLOCKING, 2.5), run(Codec::BASELINE, 2.4)])).unwrap();
        assert_eq!(alike.number, "2.50 s");
        assert!(headline(&all(vec![Run::empty(BLOCKING)])).is_none());
    }

    #[test]
    fn bars_are_on_a_logarithmic_axis() {
        let Bars { bars, ticks } =
            bars(&all(vec![run(BLOCKING, 100.0), run(Codec::BASELINE, 1.0)]));
        let percent: Vec<_> = bars.iter().map(|bar| bar.percent.round()).collect();
        assert_eq!(percent, [100.0, 33.0]);
        let values: Vec<_> = ticks.iter().map(|tick| &tick.value[..]).collect();
        assert_eq!(values, ["100 ms", "1 s", "10 s", "100 s"]);
        assert!(super::bars(&all(vec![Run::empty(BLOCKING)])).bars.is_empty());
    }

    #[test]
    fn a_strip_shows_the_codec_above_the_rest_and_counts_no_time_twice() {
        let mut run = run(BLOCKING, 40.0);
        let segment = |doing, from, to| Segment { from, to, doing };
        run.series.thread = vec![
            segment(Doing::Encode, 9.0, 9.9),
            segment(Doing::Encode, 10.0, 10.2),
            segment(Doing::Encode, 10.0, 10.5),
            segment(Doing::Busy, 10.0, 11.0),
            segment(Doing::Decode, 11.5, 12.5),
        ];
        let strip = strip(&run);
        assert_eq!((strip.from, strip.to, strip.blocked), (10.0, 12.0, 50.0));
        let parts: Vec<_> =
            strip.parts.iter().map(|p| (p.blocked, p.left.round(), p.width.round())).collect();
        assert_eq!(
            parts,
            [(false, 0.0, 50.0), (true, 0.0, 10.0), (true, 0.0, 25.0), (true, 75.0, 25.0)]
        );
    }
}
