//! Every query of the dashboards has an answer.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::prometheus::Prometheus;
use crate::bpf;

/// What dashboards leave to Grafana, and what it would make of it in a lab that is scraped every second.
const VARIABLES: [(&str, &str); 3] =
    [("$__rate_interval", "30s"), ("$__range", "30s"), ("$__interval", "5s")];

/// The queries that have no answer, or none that is a number.
pub(super) fn check(prometheus: &Prometheus) -> Result<Vec<String>> {
    let directory = bpf::root().join("deploy/grafana");
    let mut wrong = Vec::new();
    let mut asked = 0;
    for file in
        fs::read_dir(&directory).with_context(|| format!("reading {}", directory.display()))?
    {
        let path = file?.path();
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let dashboard: Value = serde_json::from_slice(&text)
            .with_context(|| format!("understanding {}", path.display()))?;
        let mut queries = Vec::new();
        collect(&dashboard, &mut queries);
        for query in queries {
            asked += 1;
            let filled = fill(&query);
            let answer = prometheus.query(&filled);
            let why = match &answer {
                Ok(series) if series.iter().any(has_number) => continue,
                Ok(series) => format!("{} series, none with a number", series.len()),
                Err(error) => format!("{error:#}"),
            };
            wrong.push(format!("{}: {query}: {why}", path.display()));
        }
    }
    ensure!(asked > 10, "only {asked} queries were found in {}", directory.display());
    Ok(wrong)
}

/// Every `expr` of a dashboard's targets.
fn collect(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            queries.extend(fields.get("expr").and_then(Value::as_str).map(String::from));
            fields.values().for_each(|field| collect(field, queries));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, queries)),
        _ => {}
    }
}

/// Puts in what Grafana would: any value where the reader may choose one.
fn fill(query: &str) -> String {
    let known = |query: String, (name, value): &(&str, &str)| query.replace(name, value);
    let filled = VARIABLES.iter().fold(query.to_owned(), known);
    let mut parts = filled.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        out.push_str(".*");
        out.push_str(part.trim_start_matches(is_name));
    }
    out
}

/// A number, or a whole histogram.
fn has_number(series: &Value) -> bool {
    if series["histogram"].is_array() {
        return true;
    }
    let text = series["value"][1].as_str();
    text.and_then(|text| text.parse::<f64>().ok()).is_some_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let query =
            r#"sum(rate(x{near_cloud=~"$near",far_cloud=~"$far_cloud"}[$__rate_interval]))"#;
        assert_eq!(fill(query), r#"sum(rate(x{near_cloud=~".*",far_cloud=~".*"}[30s]))"#);
    }
}
