//! One path by itself: every segment, what the tail is made of, and what is known against it. No I/O.

use ratatui::text::{Line, Span};

use super::{
    draw::{BOLD, DIM, Look, wrapped},
    question::{finer, group_name},
    rows::{PARTS, Row, parts},
    state::State,
};
use crate::report::{
    Path, Place, Pod,
    style::{signed_time, time},
    table,
};

/// Columns before the bar of a segment.
const FIGURES: usize = 2 + 17 + 4 * 10;

/// As many lines as there is room for.
#[must_use]
pub fn inside(state: &State, width: usize, room: usize, look: Look) -> Vec<Line<'static>> {
    let Some(row) = state.screen().opened() else {
        return vec![Line::raw("  no exchanges on this path in this window; Esc goes back")];
    };
    let lines = lines(state, row, width, look);
    let above = state.screen().scroll.min(lines.len().saturating_sub(room));
    lines.into_iter().skip(above).take(room).collect()
}

fn lines(state: &State, row: &Row, width: usize, look: Look) -> Vec<Line<'static>> {
    let path = &row.path;
    let text = |text: &str, style| {
        wrapped(text, width - 2)
            .into_iter()
            .map(move |line| Line::styled(format!("  {line}"), style))
    };
    let heading = wrapped(&table::heading(path), width);
    let mut lines: Vec<_> = heading.into_iter().map(|line| Line::styled(line, BOLD)).collect();
    if path.total.count == 0 {
        lines.push(Line::raw("  none was joined"));
        return lines;
    }
    lines.extend(segments(path, width, look));
    if let Some(tail) = &path.tail {
        lines.extend(text(&table::make_up(tail), BOLD));
        let bar = look.bar(&parts(tail), width - 2);
        lines.push([Span::raw("  ")].into_iter().chain(bar).collect());
    }
    lines.push(so_far(state, row, width, look));
    if let Some(group) = finer(state.screen().question.group) {
        lines.extend(text(&format!("Enter shows its parts by {}", group_name(group)), DIM));
    }
    for note in notes(state, path) {
        lines.extend(text(&note, DIM));
    }
    lines
}

/// A line for the total and one for each segment.
fn segments(path: &Path, width: usize, look: Look) -> Vec<Line<'static>> {
    let names = ["p50", "p90", "p99", "tail"].map(|name| format!("{name:>10}")).concat();
    let mut lines = vec![Line::styled(format!("  {:<17}{names}", ""), DIM)];
    let tail = path.tail.as_ref();
    let figures = |name: &str, times: &crate::report::Times, tail: String| {
        let times = [times.p50_ns, times.p90_ns, times.p99_ns].map(time);
        let [p50, p90, p99] = times;
        format!("  {name:<17}{p50:>10}{p90:>10}{p99:>10}{tail:>10}")
    };
    let whole = tail.map_or(0, |tail| tail.total_ns);
    let total = figures("total", &path.total, tail.map_or_else(String::new, |_| time(whole)));
    lines.push(Line::styled(total, BOLD));
    for (name, times) in &path.segments {
        let shares = tail.into_iter().flat_map(|tail| &tail.segments);
        let share = shares.into_iter().find(|(one, _)| one == name).map(|(_, ns)| *ns);
        let shown = share.map_or_else(|| "-".into(), signed_time);
        let mut spans = vec![Span::raw(figures(&table::words(name), times, shown))];
        let room = width.saturating_sub(FIGURES + 1);
        let mut alone = [0; PARTS.len()];
        let ns = share.and_then(|ns| u64::try_from(ns).ok()).unwrap_or(0).min(whole);
        let part = part(name);
        alone[part] = ns;
        let cells = usize::try_from(u128::from(ns) * room as u128 / u128::from(whole.max(1)));
        spans.push(Span::raw(" "));
        spans.extend(look.bar(&alone, cells.unwrap_or(0)));
        lines.push(Line::from(spans));
    }
    lines
}

/// The part of the tail that a segment belongs to.
fn part(segment: &str) -> usize {
    match segment {
        "near_queue" | "far_queue" => 1,
        "wan" => 2,
        "far_pod" => 3,
        "beyond_uplink" => 4,
        _ => 0,
    }
}

fn so_far(state: &State, row: &Row, width: usize, look: Look) -> Line<'static> {
    let history = state.screen().history.get(&row.key);
    let values: Vec<u64> = history.into_iter().flatten().copied().collect();
    let range = match (values.iter().min(), values.iter().max()) {
        (Some(least), Some(most)) => format!("  {} to {}", time(*least), time(*most)),
        _ => String::new(),
    };
    let columns = width.saturating_sub("  p99 so far ".len() + range.len()).min(values.len());
    Line::raw(format!("  p99 so far {}{range}", look.spark(&values, columns)))
}

/// What is known against the figures, and pods at either end that are not seen at their interface.
fn notes(state: &State, path: &Path) -> Vec<String> {
    let mut notes = Vec::new();
    if path.far.is_some() {
        notes.push(table::doubt(path));
        if path.unjoined != Default::default() {
            notes.push(table::unjoined(&path.unjoined));
        }
    }
    let at_an_end = |pod: &&Pod| pod.site == path.near || Some(&pod.site) == path.far.as_ref();
    let pods = state.screen().pods.iter().filter(at_an_end);
    // What is hidden is worth most.
    let (hidden, others): (Vec<_>, Vec<_>) = pods.partition(|pod| pod.place == Place::Hidden);
    notes.extend(hidden.into_iter().chain(others).map(table::elsewhere));
    notes
}
