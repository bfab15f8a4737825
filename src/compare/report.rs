//! The HTML report: one file without network access, for light and dark screens and for print.

use askama::Template;
use greeting::args::to_flags;

use super::{
    front::{self, Bars, Headline, Strip},
    plots::PLOTS,
    results::Comparison,
    table::rows,
    verdict::verdict,
};
use crate::experiment::{Codec, Run};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    all: &'a Comparison,
    headline: Option<Headline>,
    bars: Bars,
    strips: Vec<Strip>,
    verdict: Vec<String>,
    plots: Vec<PlotRow>,
    rows: Vec<(&'static str, Vec<String>)>,
    command: String,
}

/// One plot of every codec.
struct PlotRow {
    title: &'static str,
    caption: &'static str,
    drawn: Vec<Drawn>,
}

struct Drawn {
    codec: Codec,
    svg: String,
}

/// The report.
///
/// # Errors
/// When the plotting library or the template engine fails.
pub fn html(all: &Comparison) -> anyhow::Result<String> {
    let plots = PLOTS.iter().map(|plot| {
        let svgs =
            plot.svgs(&all.runs).map_err(|error| anyhow::anyhow!("plotting failed: {error}"))?;
        let drawn = |(run, svg): (&Run, String)| Drawn { codec: run.codec, svg };
        anyhow::Ok(PlotRow {
            title: plot.title,
            caption: plot.caption,
            drawn: all.runs.iter().zip(svgs).map(drawn).collect(),
        })
    });
    let page = Page {
        all,
        headline: front::headline(all),
        bars: front::bars(all),
        strips: front::strips(all),
        verdict: verdict(all),
        plots: plots.collect::<Result<_, _>>()?,
        rows: rows(all),
        command: command(all),
    };
    Ok(page.render()?)
}

/// The command that repeats this run, with every number.
fn command(all: &Comparison) -> String {
    let codecs: String = all.runs.iter().map(|run| format!(" {}", run.codec.flag())).collect();
    let numbers = to_flags(&all.scenario).join(" ");
    format!("cargo workshop compare --scenario {}{codecs} {numbers}", all.scenario.name)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use solutions::Step;

    use super::*;
    use crate::{compare::CompareArgs, experiment::ScenarioName};

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: CompareArgs,
    }

    #[test]
    fn the_command_of_a_report_puts_codecs_through_the_same() {
        let mut scenario = ScenarioName::Decode.scenario();
        scenario.load.workflows = 7;
        scenario.keys.seed = 5;
        scenario.runtime.threads = 2;
        scenario.limit_seconds = 33.0;
        let runs = [Codec::BASELINE, Codec::Mine(Step::BeyondAsync)].map(Run::empty);
        let command = command(&Comparison::new(runs.into(), scenario.clone(), None));
        let words = command.strip_prefix("cargo workshop ").unwrap().split(' ');
        let Typed { args } = Typed::try_parse_from(words).unwrap();
        assert_eq!(args.numbers.over(args.scenario().scenario()).unwrap(), scenario);
        assert_eq!((&args.mine[..], args.codec.len()), (&[4][..], 1));
    }
}
