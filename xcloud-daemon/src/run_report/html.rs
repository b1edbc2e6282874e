//! One page that needs nothing else: no network, no script. Everything that comes from a file is escaped.

use std::fmt::Write as _;

use super::{
    chart::{bars, curves::curves, timeline::timeline},
    facts::{Path, Report},
    figure::figure,
    matrix::{self, Block, matrix},
};
use crate::{escape::html as escape, report::style::percent};

/// How the figures came about, in every form for people.
pub const METHOD: [&str; 6] = [
    "A trial is one test on one pair of ends; a figure is the median of its trials, with the lowest and the highest.",
    "Percentiles are of all trials' values together, never means of percentiles; the range is that of the trials' own.",
    "A percentile is shown where at least ten values lie beyond it; >= marks one among requests that had not ended.",
    "Bars are made of mean times, since percentiles of parts do not add up to a percentile of the whole.",
    "The floor is light in fibre along the great circle, there and back; real cables are about 1.4 times as long.",
    "Prices are list prices before tax and discounts; xcloud cost shows their sources.",
];

/// The runs' names.
#[must_use]
pub fn title(report: &Report) -> String {
    let labels: Vec<_> = report.runs.iter().map(|run| &*run.label).collect();
    labels.join(" beside ")
}

/// The report as a page.
#[must_use]
pub fn html(report: &Report) -> String {
    let title = escape(&title(report));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
        include_str!("html/style.css")
    );
    runs(&mut page, report);
    page.push_str("</header>\n<main>\n");
    notes(&mut page, report);
    section(&mut page, "Matrix", |page| tables(page, report));
    for path in &report.paths {
        section(&mut page, &path.name(), |page| pictures(page, report, path));
    }
    section(&mut page, "Environment", |page| environment(page, report));
    if !report.verdict_doubts.is_empty() {
        let doubts = |page: &mut String| list(page, "plain", &report.verdict_doubts);
        section(&mut page, "Doubts about the differences", doubts);
    }
    section(&mut page, "Method", |page| list(page, "plain", &METHOD.map(String::from)));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn section(page: &mut String, title: &str, fill: impl FnOnce(&mut String)) {
    let _ = writeln!(page, "<section>\n<h2>{}</h2>", escape(title));
    fill(page);
    page.push_str("</section>\n");
}

fn runs(page: &mut String, report: &Report) {
    page.push_str("<ul class=\"runs\">\n");
    for (at, run) in report.runs.iter().enumerate() {
        let started = run.started.as_deref().unwrap_or("no trial");
        let _ = writeln!(
            page,
            "<li><span class=\"key r{at}\"></span><b>{}</b> {} trial{}, {}, {}</li>",
            escape(&run.label),
            run.trials,
            if run.trials == 1 { "" } else { "s" },
            escape(started),
            escape(&run.tool)
        );
    }
    page.push_str("</ul>\n");
}

fn notes(page: &mut String, report: &Report) {
    let mut note = |class: &str, title: &str, items: &[String]| {
        if !items.is_empty() {
            let _ = writeln!(page, "<aside class=\"{class}\"><h2>{}</h2>", escape(title));
            list(page, "plain", items);
            page.push_str("</aside>\n");
        }
    };
    note("wrong", "Cannot be right", &report.doubts);
    for run in &report.runs {
        note("doubt", &format!("Warnings of {}", run.label), &run.warnings);
    }
    note("doubt", "Missing", &report.missing);
}

fn list(page: &mut String, class: &str, items: &[String]) {
    let _ = writeln!(page, "<ul class=\"{class}\">");
    for item in items {
        let _ = writeln!(page, "<li>{}</li>", escape(item));
    }
    page.push_str("</ul>\n");
}

fn tables(page: &mut String, report: &Report) {
    let blocks = matrix(report);
    let verdicts = blocks.iter().flat_map(|block| &block.lines).any(|line| line.verdict.is_some());
    page.push_str("<div class=\"wide\"><table class=\"matrix\">\n<thead><tr><th></th>");
    for run in &report.runs {
        let _ = write!(page, "<th class=\"label\">{}</th>", escape(&run.label));
    }
    page.push_str(if verdicts {
        "<th class=\"says\">difference</th></tr></thead>\n"
    } else {
        "</tr></thead>\n"
    });
    let columns = 1 + report.runs.len() + usize::from(verdicts);
    for block in &blocks {
        body(page, block, columns, verdicts);
    }
    page.push_str("</table></div>\n");
}

fn body(page: &mut String, block: &Block, columns: usize, verdicts: bool) {
    let title = escape(&block.title);
    let _ =
        writeln!(page, "<tbody><tr><th class=\"block\" colspan=\"{columns}\">{title}</th></tr>");
    for line in &block.lines {
        let _ = write!(page, "<tr><th>{}</th>", escape(&line.name));
        for one in &line.cells {
            let _ = write!(page, "<td>{}</td>", cell(one));
        }
        if verdicts {
            let verdict = line.verdict.as_deref().unwrap_or_default();
            let _ = write!(page, "<td class=\"says\">{}</td>", escape(verdict));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n");
}

/// A figure, and its range on a line of its own.
fn cell(text: &str) -> String {
    match text.split_once(" (") {
        Some((figure, range)) => {
            format!("{} <small>({}</small>", escape(figure), escape(range))
        }
        None => escape(text),
    }
}

fn pictures(page: &mut String, report: &Report, path: &Path) {
    let labels: Vec<_> = report.runs.iter().map(|run| &*run.label).collect();
    if let Some(bars) = bars::bars(path, &labels) {
        let _ = writeln!(
            page,
            "<h3>Where the mean time goes</h3>\n<figure class=\"bars\">{bars}</figure>"
        );
        split(page, report, path);
    }
    let mut figures = String::new();
    let mut add = |title: String, picture: Option<String>| {
        if let Some(picture) = picture {
            let title = escape(&title);
            let _ = writeln!(figures, "<figure><figcaption>{title}</figcaption>{picture}</figure>");
        }
    };
    for name in matrix::distributions(path) {
        add(format!("{name}, by percentile"), curves(path, name));
    }
    for name in matrix::series(path) {
        add(format!("{name}, over time"), timeline(path, name));
    }
    if figures.is_empty() {
        page.push_str("<p>There is nothing to draw: neither distributions nor figures second by second.</p>\n");
        return;
    }
    let keys = report.runs.iter().enumerate().map(|(at, run)| {
        format!("<span><span class=\"key r{at}\"></span>{}</span>\n", escape(&run.label))
    });
    let keys: String = keys.collect();
    let _ = writeln!(
        page,
        "<p class=\"legend\">{keys}<span>line: all trials together, or their median; band: from the lowest trial to the highest</span></p>"
    );
    let _ = writeln!(page, "<div class=\"grid\">\n{figures}</div>");
}

/// What the bars' colours mean, with the figures.
fn split(page: &mut String, report: &Report, path: &Path) {
    let runs: Vec<_> = path
        .measured
        .iter()
        .map(|measured| measured.as_ref().map(bars::parts).unwrap_or_default())
        .collect();
    let mut names: Vec<_> = runs.iter().flatten().map(|(place, name, _)| (*place, *name)).collect();
    names.sort_unstable();
    names.dedup();
    page.push_str("<div class=\"wide\"><table>\n<thead><tr><th>mean</th>");
    for run in &report.runs {
        let _ = write!(page, "<th class=\"label\">{}</th>", escape(&run.label));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for (place, name) in names {
        let words = escape(&bars::words(name));
        let _ = write!(page, "<tr><th><span class=\"key s{place}\"></span>{words}</th>");
        for parts in &runs {
            let whole: f64 = parts.iter().map(|(.., ns)| ns).sum();
            let mine = parts.iter().find(|part| part.1 == name);
            let share = |ns: f64| match ns / whole {
                ..0.001 => "less than 0.1 %".into(),
                share => percent(share),
            };
            let cell = mine.map_or_else(
                || "-".into(),
                |(.., ns)| format!("{} <small>({})</small>", figure(*ns, "ns"), share(*ns)),
            );
            let _ = write!(page, "<td>{cell}</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n");
}

fn environment(page: &mut String, report: &Report) {
    for run in &report.runs {
        let _ = writeln!(page, "<h3>{}</h3>\n<dl>", escape(&run.label));
        for (name, value) in &run.environment {
            let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        page.push_str("</dl>\n");
    }
    for path in &report.paths {
        for (run, measured) in report.runs.iter().zip(&path.measured) {
            let Some(measured) = measured.as_ref().filter(|one| !one.settings.is_empty()) else {
                continue;
            };
            let name = escape(&format!("{}, {}", run.label, path.name()));
            let _ = writeln!(page, "<h3>Settings of {name}</h3>\n<dl>");
            for (name, value) in &measured.settings {
                let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
            }
            page.push_str("</dl>\n");
        }
    }
}
