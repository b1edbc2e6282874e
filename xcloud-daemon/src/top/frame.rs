//! A state and a size to a picture: a head, what is looked at, a foot. No I/O.

use ratatui::text::{Line, Span, Text};
use unicode_width::UnicodeWidthStr as _;

use super::{
    draw::{BOLD, DIM, Look, count, wrapped},
    inside::inside,
    keys::KEYS,
    list::{Layout, list},
    question::group_name,
    state::State,
};
use crate::{
    escape::clean,
    report::style::{grouped, place},
};

/// The smallest terminal that shows anything.
pub const SMALLEST: (u16, u16) = (60, 15);
/// Lines of the foot.
const FOOT: usize = 2;

/// The whole picture.
#[must_use]
pub fn frame(state: &State, (width, height): (u16, u16), look: Look) -> Text<'static> {
    if width < SMALLEST.0 || height < SMALLEST.1 {
        let (least_width, least_height) = SMALLEST;
        let said = format!(
            "xcloud top needs a terminal of {least_width}x{least_height}; this is one of {width}x{height}"
        );
        return wrapped(&said, usize::from(width).max(1)).into_iter().map(Line::raw).collect();
    }
    let (width, height) = (usize::from(width), usize::from(height));
    let mut lines = head(state, width, look);
    let room = height - FOOT - lines.len();
    let (body, told) = if state.help {
        (help(), String::new())
    } else if state.screen().open.is_some() {
        (inside(state, width, room, look), String::new())
    } else {
        list(state, &Layout::new(width), room, look)
    };
    let stale = state.stale() && !state.help;
    lines.extend(body.into_iter().map(|line| if stale { line.patch_style(DIM) } else { line }));
    lines.resize(height - FOOT, Line::default());
    lines.push(Line::from(look.legend()));
    lines.push(foot(state, &told, width, look));
    Text::from(lines)
}

/// Who is asked what, and how it stands.
#[must_use]
pub fn head(state: &State, width: usize, look: Look) -> Vec<Line<'static>> {
    let asked = format!(
        "{}  by {}, last {}, every {}",
        state.address,
        group_name(state.screen().question.group),
        humantime::format_duration(state.window),
        humantime::format_duration(state.interval)
    );
    let how = standing(state);
    let room = width.saturating_sub("xcloud top  ".width() + how.width() + 2);
    let asked = look.cut(&clean(&asked), room);
    let gap = width.saturating_sub("xcloud top  ".width() + asked.width() + how.width());
    let mut lines = vec![Line::from(vec![
        Span::styled("xcloud top  ", BOLD),
        Span::raw(asked),
        Span::raw(" ".repeat(gap)),
        Span::styled(how, BOLD),
    ])];
    lines.push(match &state.gone {
        Some(why) => {
            let why = format!("{}; trying again", clean(why));
            Line::styled(look.cut(&why, width), BOLD)
        }
        None => Line::raw(look.cut(&nodes(state), width)),
    });
    lines.push(Line::raw(look.cut(&losses(state), width)));
    let trail: Vec<_> = state.trail().map(|within| within.label.as_str()).collect();
    if !trail.is_empty() {
        let trail = format!("in {}", trail.join(", in "));
        lines.push(Line::styled(look.cut(&trail, width), BOLD));
    }
    lines
}

/// One word, and how old what is shown is if that matters.
fn standing(state: &State) -> String {
    let age = state.screen().answered.map(|at| state.now.saturating_sub(at).as_secs());
    match (&state.gone, age) {
        (Some(_), Some(age)) => format!("STALE for {age} s"),
        (Some(_), None) => "NO ANSWER".into(),
        (None, None) => "asking".into(),
        (None, Some(age)) if state.paused => format!("PAUSED for {age} s"),
        (None, Some(_)) => "live".into(),
    }
}

fn nodes(state: &State) -> String {
    let away: Vec<_> = state.nodes.iter().filter(|node| !node.connected).collect();
    let known = state.nodes.len();
    let mut text = format!("nodes: {known}, {} connected", known - away.len());
    if !away.is_empty() {
        let names: Vec<_> = away.iter().map(|node| place(&node.site)).collect();
        text += &format!("; away: {}", names.join(", "));
    }
    text
}

fn losses(state: &State) -> String {
    let lost = &state.loss.lost;
    let mut text =
        format!("lost: {} of {} observations", grouped(lost.sum()), grouped(state.loss.emitted));
    if let Some(lately) = state.lost_lately {
        text += &format!(", {} since the last look", grouped(lately));
    }
    let reasons = lost.reasons().into_iter().filter(|(_, number)| *number > 0);
    let reasons: Vec<_> =
        reasons.map(|(name, number)| format!("{} {name}", count(number))).collect();
    if reasons.is_empty() { text } else { text + " (" + &reasons.join(", ") + ")" }
}

fn help() -> Vec<Line<'static>> {
    let key = |(keys, what): &(&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!("  {keys:<14}  "), BOLD), Span::raw(*what)])
    };
    KEYS.iter().map(key).collect()
}

/// What the keys of the moment are, and what was told of the rows.
fn foot(state: &State, told: &str, width: usize, look: Look) -> Line<'static> {
    if let Some(text) = &state.typing {
        return Line::from(vec![Span::styled(format!("/{}_", clean(text)), BOLD)]);
    }
    let keys = if state.help {
        "any key: back"
    } else if state.screen().open.is_some() {
        "Enter parts  Esc back  ? keys  q end"
    } else {
        "Enter in  / filter  s sort  ? keys  q end"
    };
    // What is told comes first; `?` tells of all keys.
    let keys = if told.width() + keys.width() < width { keys } else { "? keys" };
    let told = look.cut(told, width.saturating_sub(keys.width() + 1));
    let gap = width.saturating_sub(told.width() + keys.width());
    Line::from(vec![Span::raw(told), Span::raw(" ".repeat(gap)), Span::styled(keys, DIM)])
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
