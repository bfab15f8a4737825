//! The HTML report: one file that needs no network.

use askama::Template;

use crate::{
    plots::{Plot, plots},
    show::Answer,
};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    workers: Vec<Worker<'a>>,
    made: String,
}

struct Worker<'a> {
    answer: &'a Answer,
    title: String,
    pages: String,
    plots: Vec<Plot>,
}

/// The report on these workers. For a large fleet, it shows only those that something holds up.
///
/// # Errors
/// When the plotting library or the template engine fails.
pub fn html(answers: &[Answer]) -> anyhow::Result<String> {
    let mut shown: Vec<&Answer> = answers.iter().collect();
    shown.sort_by_key(|answer| answer.verdict().is_fine());
    shown.truncate(40);
    let worker = |answer: &'_ Answer| -> anyhow::Result<(String, String, Vec<Plot>)> {
        let title = answer.verdict().name().replace('_', " ");
        let dialect = answer.model.dialect.as_ref().map_or(String::new(), |d| format!("; {d}"));
        let pages =
            format!("{} pages over {:.0} s{dialect}", answer.model.pages, answer.model.seconds);
        Ok((title, pages, plots(&answer.model)?))
    };
    let mut workers = Vec::new();
    for answer in shown {
        let (title, pages, plots) = worker(answer)?;
        workers.push(Worker { answer, title, pages, plots });
    }
    let made = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    Ok(Page { workers, made }.render()?)
}
