//! The HTML report: one file, no network, light and dark, and paper.

use askama::Template;

use super::{
    plots::FIGURES,
    results::{Comparison, Run},
    table::{ROWS, ratio},
    verdict::verdict,
};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    all: &'a Comparison,
    verdict: Vec<String>,
    figures: Vec<FigureRow>,
    rows: Vec<TableRow>,
    command: String,
}

struct TableRow {
    name: &'static str,
    cells: Vec<String>,
}

struct FigureRow {
    title: &'static str,
    caption: &'static str,
    plots: Vec<Plot>,
}

struct Plot {
    codec: String,
    svg: String,
}

/// The report.
///
/// # Errors
/// When the plotting library or the template engine gives up.
pub fn html(all: &Comparison) -> anyhow::Result<String> {
    let figures = FIGURES.iter().map(|figure| {
        let svgs =
            figure.svgs(&all.runs).map_err(|error| anyhow::anyhow!("plotting failed: {error}"))?;
        let plot = |(run, svg): (&Run, String)| Plot { codec: run.codec.clone(), svg };
        anyhow::Ok(FigureRow {
            title: figure.title,
            caption: figure.caption,
            plots: all.runs.iter().zip(svgs).map(plot).collect(),
        })
    });
    let mut rows: Vec<_> = ROWS
        .iter()
        .map(|(name, figure)| TableRow { name, cells: all.runs.iter().map(figure).collect() })
        .collect();
    if !all.ratios.is_empty() {
        let cells = all.runs.iter().map(|run| ratio(all, run)).collect();
        rows.push(TableRow { name: "end to end, p95 / async", cells });
    }
    let page = Page {
        all,
        verdict: verdict(all),
        figures: figures.collect::<Result<_, _>>()?,
        rows,
        command: command(all),
    };
    Ok(page.render()?)
}

/// The command that does it again, every number in it.
fn command(all: &Comparison) -> String {
    let scenario = &all.scenario;
    let codecs = all.runs.iter().map(|run| match run.codec.strip_prefix("mine_") {
        Some(number) => format!(" --mine {number}"),
        None => format!(" --codec {}", run.codec),
    });
    format!(
        "cargo workshop compare --scenario {}{} --seed {} --workflows {} --activities {} \
         --activity-seconds {} --workflow-task-timeout {} --stall-probability {} \
         --decode-stall-probability {} --stall-seconds {} --threads {} --blocking-threads {} --limit {}",
        scenario.name,
        codecs.collect::<String>(),
        all.seed,
        scenario.workflows,
        scenario.activities,
        scenario.activity_seconds,
        scenario.workflow_task_timeout_seconds,
        scenario.stall_probability,
        scenario.decode_stall_probability,
        scenario.stall_seconds,
        scenario.threads,
        scenario.blocking_threads,
        scenario.limit_seconds,
    )
}
