//! The HTML report: one file, no network, light and dark, and paper.

use askama::Template;

use super::{
    contender::mine,
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
    let codecs = all.runs.iter().map(|run| match mine(&run.codec) {
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::compare::{CompareArgs, Scenario, ScenarioName};

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: CompareArgs,
    }

    #[test]
    fn the_command_of_a_report_puts_codecs_through_the_same() {
        let scenario = Scenario {
            workflows: 7,
            activities: 3,
            activity_seconds: 0.25,
            workflow_task_timeout_seconds: 2.5,
            stall_probability: 0.2,
            decode_stall_probability: 0.4,
            stall_seconds: 0.5,
            threads: 2,
            blocking_threads: 9,
            limit_seconds: 33.0,
            ..ScenarioName::Decode.scenario()
        };
        let runs = ["async", "mine_4"].map(|codec| Run { codec: codec.into(), ..Run::default() });
        let command = command(&Comparison::new(runs.into(), scenario.clone(), 5, None));
        let words = command.strip_prefix("cargo workshop ").unwrap().split(' ');
        let Typed { args } = Typed::try_parse_from(words).unwrap();
        assert_eq!(args.overrides.apply(args.scenario.scenario()), scenario);
        assert_eq!((args.seed, &args.mine[..], args.codec.len()), (5, &[4][..], 1));
    }
}
