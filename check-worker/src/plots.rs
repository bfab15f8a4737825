//! The plots of the report, as SVG.

use std::error::Error;

use plotters::prelude::*;

use crate::{
    close_up::{CLOSE_MS, Instant},
    model::{Model, Point},
};

/// Width and height of a plot; the page scales it.
const SIZE: (u32, u32) = (460, 240);

// Stand-ins: the page's style sheet maps each of these to a colour of the theme.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const LINES: [RGBColor; 2] = [RGBColor(3, 3, 3), RGBColor(4, 4, 4)];

/// A plot with what to make of it.
#[derive(Debug)]
pub struct Plot {
    /// Its heading.
    pub title: &'static str,
    /// How to read it.
    pub caption: &'static str,
    /// The picture.
    pub svg: String,
}

type Line = (&'static str, Vec<(f64, f64)>);

/// The plots of a worker: those for which there are at least three points.
///
/// # Errors
/// When the plotting library fails.
pub fn plots(model: &Model) -> anyhow::Result<Vec<Plot>> {
    let mut plots = Vec::new();
    for (title, caption, lines) in lines(model) {
        if lines.iter().any(|(_, points)| points.len() >= 3) {
            let svg = svg(&lines).map_err(|error| anyhow::anyhow!("plotting failed: {error}"))?;
            plots.push(Plot { title, caption, svg });
        }
    }
    Ok(plots)
}

fn lines(model: &Model) -> Vec<(&'static str, &'static str, Vec<Line>)> {
    // Pages of a close-up are too close to each other for a mean.
    let mut points = Vec::new();
    for point in &model.points {
        let first = points.last().is_none_or(|last: &&Point| point.at_ms - last.at_ms >= 500);
        if first {
            points.push(point);
        }
    }
    let start = points.first().map_or(0, |point| point.at_ms);
    let at = |at_ms: i64| (at_ms - start) as f64 / 1000.0;
    let mean = |part: fn(&Point) -> (f64, f64)| -> Vec<(f64, f64)> {
        let step = |pair: &[&Point]| {
            let ((n0, s0), (n1, s1)) = (part(pair[0]), part(pair[1]));
            (n1 > n0).then(|| (at(pair[1].at_ms), ((s1 - s0) / (n1 - n0)).max(0.0)))
        };
        points.windows(2).filter_map(step).collect()
    };
    let gauge = |part: fn(&Point) -> Option<f64>| -> Vec<(f64, f64)> {
        points.iter().filter_map(|point| Some((at(point.at_ms), part(point)?))).collect()
    };
    let close: Vec<_> = model
        .instants
        .windows(2)
        .filter(|pair| pair[1].at_ms - pair[0].at_ms <= CLOSE_MS)
        .map(|pair| pair[1])
        .collect();
    let base = close.first().copied().unwrap_or_default();
    let seconds = |at_ms: i64| (at_ms - base.at_ms) as f64 / 1000.0;
    // Workflow tasks and activities, as they are completed.
    let arrived = |instant: &Instant| instant.arrived + instant.received;
    vec![
        (
            "In the worker (seconds)",
            "How long a task took in the worker, on average between two pages.",
            vec![
                ("workflow tasks", mean(|point| point.tasks)),
                ("activities", mean(|point| point.activities)),
            ],
        ),
        (
            "On the server (seconds)",
            "How long a workflow task waited on the server, and how long the server took for a \
             request.",
            vec![
                ("schedule-to-start", mean(|point| point.waits)),
                ("requests", mean(|point| point.requests)),
            ],
        ),
        (
            "Free slots",
            "At zero, tasks wait on the server.",
            vec![
                ("workflow tasks", gauge(|point| point.workflow_slots_free)),
                ("activities", gauge(|point| point.activity_slots_free)),
            ],
        ),
        (
            "Polls in flight",
            "They fall to zero when no slot is free.",
            vec![("polls", gauge(|point| point.pollers))],
        ),
        (
            "Close-up",
            "Tasks that arrived and tasks that completed, a page every 20 ms. A line of completions that is \
             flat while tasks arrive, then jumps: the worker's thread is blocked.",
            vec![
                (
                    "completed",
                    close
                        .iter()
                        .map(|i| (seconds(i.at_ms), i.completed - base.completed))
                        .collect(),
                ),
                (
                    "arrived",
                    close.iter().map(|i| (seconds(i.at_ms), arrived(i) - arrived(&base))).collect(),
                ),
            ],
        ),
    ]
}

fn svg(lines: &[Line]) -> Result<String, Box<dyn Error>> {
    let all = || lines.iter().flat_map(|(_, points)| points.iter());
    let right = all().map(|(x, _)| *x).fold(1.0, f64::max);
    // The upper third is for the legend.
    let top = all().map(|(_, y)| *y).fold(0.0, f64::max) * 1.5;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .x_label_area_size(38)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..right, 0.0..top.max(0.001))?;
        chart
            .configure_mesh()
            .disable_mesh()
            .axis_style(GRID)
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .x_labels(6)
            .y_labels(5)
            .x_desc("seconds")
            .draw()?;
        for ((name, points), colour) in lines.iter().zip(LINES) {
            if points.is_empty() {
                continue;
            }
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            chart.draw_series(line)?.label(*name).legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 14, y)], colour.stroke_width(2))
            });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font(("sans-serif", 12).into_font().color(&INK))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_up_counts_what_arrives_as_what_completes() {
        let instant = |at_ms, tasks, activities| Instant {
            at_ms,
            arrived: tasks,
            received: activities,
            completed: tasks + activities,
            ..Instant::default()
        };
        let instants = vec![instant(0, 5.0, 2.0), instant(20, 5.0, 2.0), instant(40, 8.0, 4.0)];
        let model = Model { instants, ..Model::default() };
        let plots = lines(&model);
        let (.., close_up) = plots.last().unwrap();
        let last = |at: usize| close_up[at].1.last().copied();
        assert_eq!(last(0), Some((0.02, 5.0)));
        assert_eq!(last(0), last(1));
    }
}
