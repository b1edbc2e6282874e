//! Kernels across, features down.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    features::{Feature, Shown},
    series::Series,
};

/// One kernel's answers.
#[derive(Debug, Serialize)]
pub(super) struct Column {
    /// As people name it.
    pub(super) series: String,
    /// What `uname -r` says.
    release: String,
    /// By feature.
    pub(super) cells: BTreeMap<String, Cell>,
    /// Instructions the verifier looked at, by program.
    pub(super) verifier: BTreeMap<String, u64>,
    /// Panics of the kernel, each at a feature and with what it gave as the reason; it was booted again after each.
    panics: Vec<(String, String)>,
}

/// A kernel's answer about a feature.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cell {
    /// Shown.
    Ok,
    /// The kernel is older than the one that brought it.
    Older(String),
    /// What was wrong.
    Failed(Vec<String>),
}

impl Cell {
    pub(super) fn failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    fn text(&self) -> String {
        match self {
            Self::Ok => "ok".into(),
            Self::Older(since) => format!("from {since} on"),
            Self::Failed(_) => "FAILED".into(),
        }
    }
}

impl Column {
    pub(super) fn new(series: Series, release: &str) -> Self {
        Self {
            series: series.to_string(),
            release: release.into(),
            cells: BTreeMap::new(),
            verifier: BTreeMap::new(),
            panics: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, feature: &str, cell: Cell) {
        self.cells.insert(feature.into(), cell);
    }

    /// Notes a panic; returns how often there was one at that feature.
    pub(super) fn panicked(&mut self, feature: &str, why: String) -> usize {
        self.panics.push((feature.into(), why));
        self.panics.iter().filter(|(at, _)| at == feature).count()
    }

    pub(super) fn take(&mut self, shown: Shown) {
        let cell = if shown.wrong.is_empty() { Cell::Ok } else { Cell::Failed(shown.wrong) };
        self.put(&shown.feature, cell);
        self.verifier.extend(shown.verifier);
    }
}

/// The table, as Markdown so that it can be kept.
pub(super) fn text(features: &[Feature], columns: &[Column]) -> String {
    let mut text = String::from("| feature |");
    columns.iter().for_each(|column| text += &format!(" {} |", column.release));
    text += &format!("\n|---|{}\n", "---|".repeat(columns.len()));
    for feature in features {
        text += &format!("| {}: {} |", feature.name, feature.about);
        for column in columns {
            let cell = column.cells.get(&feature.name).map_or_else(|| "not run".into(), Cell::text);
            text += &format!(" {cell} |");
        }
        text += "\n";
    }
    for column in columns {
        for (feature, why) in &column.panics {
            text += &format!(
                "\n{} panicked during {feature} and was booted again: {why}\n",
                column.release
            );
        }
    }
    text
}
