//! The report's plots: one small SVG for each codec and plot, on equal axes.

use std::{error::Error, ops::Range};

use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::*,
};

use crate::experiment::{Run, Series};

/// Width and height of a plot; the page scales it.
const SIZE: (u32, u32) = (400, 230);

// Placeholders: the page's style sheet maps each of these to a colour of the theme, so that a plot suits
// light and dark pages and print.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const DATA: RGBColor = RGBColor(3, 3, 3);

/// Their colours without such a page: legible on white and on black.
const STANDALONE: [(&str, &str); 3] =
    [("#010101", "#7d8590"), ("#020202", "#7d859044"), ("#030303", "#e5534b")];

/// Every plot of every run, each as a file: its name, and what is in it.
///
/// # Errors
/// When the plotting library fails.
pub fn pictures(runs: &[Run]) -> anyhow::Result<Vec<(String, String)>> {
    let mut pictures = Vec::new();
    for plot in &PLOTS {
        let svgs = plot.svgs(runs).map_err(|error| anyhow::anyhow!("plotting failed: {error}"))?;
        for (run, mut svg) in runs.iter().zip(svgs) {
            for (stand_in, colour) in STANDALONE {
                svg = svg.replace(stand_in, colour);
            }
            let title = plot.title.to_lowercase().replace([' ', '\''], "-");
            pictures.push((format!("{title}.{}.svg", run.codec), svg));
        }
    }
    Ok(pictures)
}

/// A plot over time.
pub struct Plot {
    /// Its heading.
    pub title: &'static str,
    /// How to read it.
    pub caption: &'static str,
    y: &'static str,
    scale: Scale,
    points: fn(&Series) -> &Vec<(f64, f64)>,
}

#[derive(Clone, Copy)]
enum Scale {
    /// From seconds to minutes: a logarithmic axis from this value on, drawn as dots.
    LogDots(f64),
    /// The same as a line.
    LogLine(f64),
    /// A share, 0 to 1, as a line.
    Share,
}

/// The plots of the report.
pub const PLOTS: [Plot; 4] = [
    Plot {
        title: "End-to-end latency",
        caption: "Each dot is a workflow: when it was done, and how long after its start. Climbing dots are workflows waiting behind other workflows' stalls.",
        y: "seconds",
        scale: Scale::LogDots(0.1),
        points: |series| &series.end_to_end,
    },
    Plot {
        title: "Workflow task schedule-to-start latency",
        caption: "Each dot is a workflow task: when a worker took it, and how long it had waited on \
                  the server. A healthy worker takes it within milliseconds.",
        y: "seconds",
        scale: Scale::LogDots(0.001),
        points: |series| &series.workflow_task,
    },
    Plot {
        title: "Lag of the worker's task",
        caption: "How late a 10 ms timer fired inside the worker's main Tokio task. While the codec \
                  blocks the thread, no timer fires.",
        y: "seconds",
        scale: Scale::LogLine(0.001),
        points: |series| &series.lag,
    },
    Plot {
        title: "Time held in the codec's polls",
        caption: "The share of the time during which the codec held a thread in its longest polls. \
                  Waiting asynchronously holds none, however long it takes.",
        y: "share of the time",
        scale: Scale::Share,
        points: |series| &series.held,
    },
];

impl Plot {
    /// One SVG for each run, on the same axes.
    ///
    /// # Errors
    /// When the plotting library fails.
    pub fn svgs(&self, runs: &[Run]) -> Result<Vec<String>, Box<dyn Error>> {
        let points = |run: &Run| (self.points)(&run.series).clone();
        let all = || runs.iter().flat_map(points);
        let x = 0.0..runs.iter().map(|run| run.wall_seconds).fold(1.0, f64::max);
        let highest = all().map(|(_, y)| y).fold(0.0, f64::max);
        runs.iter().map(|run| self.svg(&points(run), x.clone(), highest)).collect()
    }

    fn svg(
        &self,
        points: &[(f64, f64)],
        x: Range<f64>,
        highest: f64,
    ) -> Result<String, Box<dyn Error>> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let mut builder = ChartBuilder::on(&area);
            builder.margin(6).margin_right(14).x_label_area_size(34).y_label_area_size(52);
            // Values below the start of the axis are drawn on it, not left out.
            let from = |lowest: f64| points.iter().map(move |(x, y)| (*x, y.max(lowest)));
            let log = |lowest: f64| (lowest..highest.max(lowest * 10.0) * 1.3).log_scale();
            match self.scale {
                Scale::LogDots(lowest) => {
                    let mut chart = builder.build_cartesian_2d(x, log(lowest))?;
                    self.mesh(&mut chart)?;
                    chart.draw_series(from(lowest).map(|at| Circle::new(at, 2, DATA.filled())))?;
                }
                Scale::LogLine(lowest) => {
                    let mut chart = builder.build_cartesian_2d(x, log(lowest))?;
                    self.mesh(&mut chart)?;
                    chart.draw_series(LineSeries::new(from(lowest), DATA.stroke_width(2)))?;
                }
                Scale::Share => {
                    let mut chart = builder.build_cartesian_2d(x, 0.0..highest.max(1.0) * 1.05)?;
                    self.mesh(&mut chart)?;
                    chart.draw_series(LineSeries::new(from(0.0), DATA.stroke_width(2)))?;
                }
            }
            area.present()?;
        }
        Ok(svg)
    }

    fn mesh<X, Y>(
        &self,
        chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    ) -> Result<(), Box<dyn Error>>
    where
        X: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Range<f64>: AsRangedCoord,
    {
        let label = ("sans-serif", 13).into_font().color(&INK);
        chart
            .configure_mesh()
            .x_desc("seconds since the start")
            .y_desc(self.y)
            .x_labels(6)
            .y_labels(6)
            .axis_style(INK)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(label)
            .draw()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use solutions::Step;

    use super::*;
    use crate::experiment::Codec;

    #[test]
    fn every_run_gets_a_plot_of_every_plot_even_without_data() {
        let mut busy = Run { wall_seconds: 60.0, ..Run::empty(Codec::BASELINE) };
        busy.series.end_to_end = vec![(1.0, 1.0), (60.0, 60.0)];
        let runs = [busy, Run::empty(Codec::BASELINE)];
        for plot in &PLOTS {
            let svgs = plot.svgs(&runs).unwrap();
            assert_eq!(svgs.len(), 2, "{}", plot.title);
            assert!(svgs.iter().all(|svg| svg.starts_with("<svg") && svg.ends_with("</svg>\n")));
        }
        let dots = PLOTS[0].svgs(&runs).unwrap().map_dots();
        assert_eq!(dots, [2, 0]);
    }

    #[test]
    fn a_picture_has_colours_of_its_own_and_a_name_of_its_own() {
        let runs = [Run::empty(Codec::BASELINE), Run::empty(Codec::Mine(Step::Async))];
        let pictures = pictures(&runs).unwrap();
        let names: std::collections::BTreeSet<_> = pictures.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 2 * PLOTS.len(), "{names:?}");
        assert!(names.contains(&"end-to-end-latency.async.svg".to_owned()), "{names:?}");
        assert!(pictures.iter().all(|(_, svg)| !svg.contains("#010101")));
    }

    trait Dots {
        fn map_dots(self) -> Vec<usize>;
    }

    impl Dots for Vec<String> {
        fn map_dots(self) -> Vec<usize> {
            self.iter().map(|svg| svg.matches("<circle").count()).collect()
        }
    }
}
