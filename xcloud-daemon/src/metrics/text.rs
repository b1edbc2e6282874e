//! Metrics as text: Prometheus's own format 0.0.4, and OpenMetrics 1.0.

use std::{fmt::Write as _, mem};

use super::{
    Sample, Sink, Value, Written,
    family::{Family, Kind},
};
use crate::measure::exponential::Exponential;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `text/plain; version=0.0.4`.
    Prometheus,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

/// Text that is being written.
#[derive(Debug)]
pub struct Text {
    dialect: Dialect,
    family: Option<&'static Family>,
    text: String,
}

impl Text {
    /// Nothing yet.
    #[must_use]
    pub const fn new(dialect: Dialect) -> Self {
        Self { dialect, family: None, text: String::new() }
    }

    /// All of it.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.end();
        self.text
    }

    fn line(&mut self, suffix: &str, labels: &[&str], bound: Option<&str>, value: &str) {
        let Some(family) = self.family else { return };
        self.text.push_str(family.name);
        self.text.push_str(suffix);
        let pairs = family.labels.iter().zip(labels).filter(|(_, value)| !value.is_empty());
        let all = pairs.map(|(name, value)| (*name, *value)).chain(bound.map(|le| ("le", le)));
        let mut before = '{';
        for (name, value) in all {
            self.text.push(before);
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(&mut self.text, value);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        self.text.push_str(value);
        self.text.push('\n');
    }

    fn times(&mut self, labels: &[&str], times: &Exponential) {
        for (bound, count) in times.classic() {
            self.line("_bucket", labels, Some(&float(bound)), &count.to_string());
        }
        let count = times.count().to_string();
        self.line("_bucket", labels, Some("+Inf"), &count);
        self.line("_sum", labels, None, &float(times.sum()));
        self.line("_count", labels, None, &count);
    }
}

impl Written for Text {
    fn end(&mut self) {
        if self.dialect == Dialect::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
    }

    fn next(&mut self, least: usize) -> Option<Vec<u8>> {
        (self.text.len() > least).then(|| mem::take(&mut self.text).into_bytes())
    }
}

impl Sink for Text {
    fn family(&mut self, family: &'static Family) {
        self.family = Some(family);
        let (name, kind) = (family.name, family.kind.name());
        let name = match (self.dialect, family.kind) {
            (Dialect::OpenMetrics, Kind::Counter) => name.trim_end_matches("_total"),
            _ => name,
        };
        let mut help = String::new();
        escape(&mut help, family.help);
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        if self.dialect == Dialect::OpenMetrics && !family.unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {name} {}", family.unit);
        }
    }

    fn sample(&mut self, Sample { labels, value, .. }: Sample<'_>) {
        match value {
            Value::Count(count) => self.line("", labels, None, &count.to_string()),
            Value::Number(number) => self.line("", labels, None, &float(number)),
            Value::Times(times) => self.times(labels, times),
        }
    }
}

/// A number with a point, as OpenMetrics wants bounds.
fn float(number: f64) -> String {
    format!("{number:?}")
}

fn escape(text: &mut String, raw: &str) {
    for one in raw.chars() {
        match one {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::family, *};

    fn written(dialect: Dialect) -> String {
        let mut text = Text::new(dialect);
        super::super::write(
            &mut text,
            &family::LOST,
            &[(&["kernel", "ring"], Value::Count(3)), (&["", "a\"\\\nb"], Value::Count(u64::MAX))],
        );
        super::super::write(&mut text, &family::CPU, &[(&[], Value::Number(0.000_012_5))]);
        let mut times = Exponential::default();
        [0, 20_000_000, 20_000_000, 400_000_000_000].into_iter().for_each(|ns| times.record(ns));
        let mut labels = [""; family::EXCHANGE.labels.len()];
        for (at, value) in [(0, "aws"), (4, "a"), (9, "gcp"), (13, "b"), (18, "ack")] {
            labels[at] = value;
        }
        super::super::write(&mut text, &family::EXCHANGE, &[(&labels, Value::Times(&times))]);
        text.finish()
    }

    #[test]
    fn prometheus_text() {
        insta::assert_snapshot!(written(Dialect::Prometheus));
    }

    #[test]
    fn openmetrics_text() {
        let shown = written(Dialect::OpenMetrics);
        let meta: Vec<_> = shown.lines().filter(|line| line.starts_with('#')).collect();
        insta::assert_snapshot!(meta.join("\n"));
    }
}
