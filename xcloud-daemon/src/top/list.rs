//! Paths as rows of a terminal: one line each where it is wide, two where it is not. No I/O.

use ratatui::{
    style::Modifier,
    text::{Line, Span},
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    draw::{BOLD, DIM, Look, count},
    rows::{PARTS, Row, parts},
    state::State,
};
use crate::{
    escape::clean,
    report::style::{percent, time},
};

/// From here on a path takes one line.
const WIDE: usize = 120;
/// Columns of the figures, with the spaces between them.
const FIGURES: usize = 34;
/// Columns of what marks the selected row.
const MARK: usize = 2;

/// How a line is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    label: usize,
    bar: usize,
    spark: usize,
    one_line: bool,
}

impl Layout {
    /// For a terminal of so many columns.
    #[must_use]
    pub fn new(width: usize) -> Self {
        let one_line = width >= WIDE;
        let label = if one_line { (width - MARK) * 2 / 5 } else { width - MARK };
        let before = if one_line { MARK + label + 1 } else { MARK };
        let rest = width - before - FIGURES;
        let spark = (rest / 3).clamp(6, 30);
        Self { label, bar: rest.saturating_sub(spark + 2), spark, one_line }
    }

    const fn lines(self) -> usize {
        if self.one_line { 1 } else { 2 }
    }
}

/// As many rows as there is room for, the selected one among them, and a word about them.
#[must_use]
pub fn list(
    state: &State,
    layout: &Layout,
    room: usize,
    look: Look,
) -> (Vec<Line<'static>>, String) {
    let rows = state.rows();
    let mut lines = vec![columns(layout)];
    if rows.is_empty() {
        lines.push(Line::raw(nothing(state)));
        return (lines, String::new());
    }
    let fit = room.saturating_sub(1) / layout.lines();
    let selected = state.screen().position(&rows);
    let first = selected.saturating_sub(fit / 2).min(rows.len().saturating_sub(fit));
    let shown = rows.iter().enumerate().skip(first).take(fit);
    lines.extend(
        shown.flat_map(|(at, row)| row_lines(state, row, layout, look, Some(at == selected))),
    );
    let last = (first + fit).min(rows.len());
    let filter = &state.screen().filter;
    let filtered =
        if filter.is_empty() { String::new() } else { format!(" with {}", clean(filter)) };
    let told =
        format!("{}-{last} of {}{filtered}, by {}", first + 1, rows.len(), state.sort.name());
    (lines, told)
}

/// All rows, none of them selected.
#[must_use]
pub fn whole(state: &State, layout: &Layout, look: Look) -> Vec<Line<'static>> {
    let rows = state.rows();
    let mut lines = vec![columns(layout)];
    if rows.is_empty() {
        lines.push(Line::raw(nothing(state)));
    }
    lines.extend(rows.iter().flat_map(|row| row_lines(state, row, layout, look, None)));
    lines
}

fn nothing(state: &State) -> &'static str {
    let screen = state.screen();
    if screen.answered.is_none() {
        "  no answer yet"
    } else if screen.filter.is_empty() {
        "  no exchanges in this window"
    } else {
        "  no path has these words; Esc drops them"
    }
}

/// The heading of the figures.
fn columns(layout: &Layout) -> Line<'static> {
    let before = if layout.one_line { MARK + layout.label + 1 } else { MARK };
    let name = if layout.one_line { "path" } else { "" };
    let bar = "tail's parts";
    let head = format!(
        "  {name:<width$}{:>8} {:>7} {:>6} {:>8}  {bar:<bar_width$}  {:<spark$}",
        "p99",
        "WAN",
        "exch.",
        "unjoined",
        "history",
        width = before - MARK,
        bar_width = layout.bar,
        spark = layout.spark
    );
    let columns = before + FIGURES + layout.bar + 2 + layout.spark;
    Line::styled(head.chars().take(columns).collect::<String>(), DIM)
}

fn row_lines(
    state: &State,
    row: &Row,
    layout: &Layout,
    look: Look,
    selected: Option<bool>,
) -> Vec<Line<'static>> {
    let selected = selected == Some(true);
    let label = label(row, layout.label, look);
    let emphasis = if selected { BOLD.add_modifier(Modifier::REVERSED) } else { BOLD };
    let mark = if selected { "> " } else { "  " };
    let head = [Span::raw(mark), Span::styled(label, emphasis)];
    let figures = figures(state, row, layout, look);
    if layout.one_line {
        let spans = head.into_iter().chain([Span::raw(" ")]).chain(figures);
        vec![spans.collect()]
    } else {
        let below = std::iter::once(Span::raw("  ")).chain(figures);
        vec![head.into_iter().collect(), below.collect()]
    }
}

/// Both ends and the kind in so many columns; if there is too little room, each end gets its part.
fn label(row: &Row, columns: usize, look: Look) -> String {
    let [near, far] = row.ends();
    let kind = row.path.kind;
    let room = columns.saturating_sub(" -> ".len() + 1 + kind.len());
    let (long, half) = (near.width() + far.width() > room, room / 2);
    let [near, far] = if long {
        let near_room = half.max(room.saturating_sub(far.width()));
        let near = look.shorten(&near, near_room);
        let far = look.shorten(&far, room.saturating_sub(near.width()));
        [near, far]
    } else {
        [near, far]
    };
    let text = format!("{near} -> {far} {kind}");
    let missing = columns.saturating_sub(text.width());
    text + &" ".repeat(missing)
}

fn figures(state: &State, row: &Row, layout: &Layout, look: Look) -> Vec<Span<'static>> {
    let share = |share: Option<f64>| share.map_or_else(|| "-".into(), percent);
    let p99 = row.p99_ns().map_or_else(|| "-".into(), time);
    let figures = format!(
        "{p99:>8} {:>7} {:>6} {:>8}  ",
        share(row.wan_share()),
        count(row.path.exchanges),
        share(row.unjoined())
    );
    let parts = row.path.tail.as_ref().map_or([0; PARTS.len()], parts);
    let history = state.screen().history.get(&row.key);
    let values: Vec<u64> = history.into_iter().flatten().copied().collect();
    let spark = format!("  {}", look.spark(&values, layout.spark));
    [Span::raw(figures)]
        .into_iter()
        .chain(look.bar(&parts, layout.bar))
        .chain([Span::raw(spark)])
        .collect()
}
