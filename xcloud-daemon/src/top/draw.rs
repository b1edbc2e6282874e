//! Bars, sparklines and short numbers, and what a terminal can show of them. No I/O.

use ratatui::{
    style::{Color, Modifier, Style},
    text::Span,
};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::rows::PARTS;
use crate::escape::shorten_with;

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Colours, of the terminal's own palette.
    pub color: bool,
    /// More characters than ASCII.
    pub unicode: bool,
}

const COLORS: [Color; PARTS.len()] =
    [Color::Cyan, Color::Yellow, Color::Magenta, Color::Green, Color::Blue, Color::Reset];

impl Look {
    /// The character a bar has for a part.
    #[must_use]
    pub const fn glyph(self, part: usize) -> char {
        match (self.unicode, self.color) {
            (true, true) => ['█', '█', '█', '█', '█', '░'][part],
            (true, false) => ['█', '▓', '░', '▒', '=', '?'][part],
            (false, _) => ['C', 'q', 'W', 'p', 'b', '?'][part],
        }
    }

    /// How a part looks.
    #[must_use]
    pub fn style(self, part: usize) -> Style {
        if self.color { Style::new().fg(COLORS[part]) } else { Style::new() }
    }

    /// Text cut to so many columns.
    #[must_use]
    pub fn shorten(self, text: &str, columns: usize) -> String {
        shorten_with(text, columns, if self.unicode { '…' } else { '~' })
    }

    /// A sentence cut to so many columns, at its end.
    #[must_use]
    pub fn cut(self, text: &str, columns: usize) -> String {
        if text.width() <= columns {
            return text.into();
        }
        let mut used = 1;
        let fits = |c: &char| {
            used += c.width().unwrap_or(0);
            used <= columns
        };
        let mut cut: String = text.chars().take_while(fits).collect();
        cut.push(if self.unicode { '…' } else { '~' });
        cut
    }

    /// Values as heights above zero, the last at the right; only as many as there is room for.
    #[must_use]
    pub fn spark(self, values: &[u64], columns: usize) -> String {
        const UNICODE: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];
        let glyphs = if self.unicode { UNICODE } else { ASCII };
        let shown = &values[values.len().saturating_sub(columns)..];
        let most = shown.iter().copied().max().unwrap_or(0).max(1);
        let glyph = |value: &u64| {
            let eighth = u128::from(*value) * 8 / u128::from(most);
            glyphs[usize::try_from(eighth).unwrap_or(7).min(7)]
        };
        let line: String = shown.iter().map(glyph).collect();
        format!("{line:>columns$}")
    }

    /// Parts of a whole as a bar.
    #[must_use]
    pub fn bar(self, parts: &[u64; PARTS.len()], columns: usize) -> Vec<Span<'static>> {
        let cells = cells(parts, columns);
        let missing = columns - cells.iter().sum::<usize>();
        let pieces = (0..).zip(cells).filter(|(_, count)| *count > 0);
        let mut spans: Vec<_> = pieces
            .map(|(part, count)| {
                Span::styled(self.glyph(part).to_string().repeat(count), self.style(part))
            })
            .collect();
        spans.push(Span::raw(" ".repeat(missing)));
        spans
    }

    /// What bars show, in words.
    #[must_use]
    pub fn legend(self) -> Vec<Span<'static>> {
        let word = |(part, name): (usize, &&str)| {
            [
                Span::styled(self.glyph(part).to_string(), self.style(part)),
                Span::styled(format!(" {name}  "), DIM),
            ]
        };
        PARTS.iter().enumerate().flat_map(word).collect()
    }
}

/// Text that steps back.
pub const DIM: Style = Style::new().add_modifier(Modifier::DIM);
/// Text that stands out.
pub const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// How many cells of a bar each part takes: all of them together, each within one of its share; none if all are zero.
fn cells(parts: &[u64], columns: usize) -> Vec<usize> {
    let whole: u128 = parts.iter().map(|part| u128::from(*part)).sum();
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let mut before = 0u128;
    let mut ends = parts.iter().map(|part| {
        before += u128::from(*part);
        // To the nearest cell.
        usize::try_from((2 * before * columns as u128 + whole) / (2 * whole)).unwrap_or(columns)
    });
    let mut last = 0;
    parts
        .iter()
        .map(|_| ends.next().map_or(0, |end| end - std::mem::replace(&mut last, end)))
        .collect()
}

/// A count in at most five characters.
#[must_use]
pub fn count(number: u64) -> String {
    let (scaled, unit) = match number {
        0..10_000 => return number.to_string(),
        10_000..999_500 => (number as f64 / 1e3, 'k'),
        999_500..999_500_000 => (number as f64 / 1e6, 'M'),
        999_500_000..999_500_000_000 => (number as f64 / 1e9, 'G'),
        _ => (number as f64 / 1e12, 'T'),
    };
    let decimals = if scaled < 9.995 { 2 } else { usize::from(scaled < 99.95) };
    format!("{scaled:.decimals$}{unit}")
}

/// Text on lines of at most so many columns, broken at spaces where there are any.
#[must_use]
pub fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= columns => {
                *line += &format!(" {word}")
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn counts_are_short() {
        let shown = [0, 9_999, 10_000, 999_499, 999_500, 12_345_678, u64::MAX].map(count);
        assert_eq!(shown, ["0", "9999", "10.0k", "999k", "1.00M", "12.3M", "18446744T"]);
    }

    #[test]
    fn a_sparkline_stands_on_zero_and_ends_now() {
        let look = Look { color: false, unicode: true };
        assert_eq!(look.spark(&[5, 10, 20, 40], 6), "  ▂▃▅█");
        assert_eq!(look.spark(&[5, 10, 20, 40], 2), "▅█");
        assert_eq!(Look { unicode: false, ..look }.spark(&[0, 40], 3), " _#");
        assert_eq!(look.spark(&[], 2), "  ");
    }

    #[test]
    fn a_sentence_is_cut_at_its_end() {
        let look = Look { color: false, unicode: true };
        assert_eq!(
            ["short", "a sentence", "日本日本日本"].map(|text| look.cut(text, 6)),
            ["short", "a sen…", "日本…"]
        );
    }

    #[test]
    fn words_are_wrapped() {
        assert_eq!(wrapped("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrapped("", 6), [""]);
    }

    proptest! {
        #[test]
        fn a_bar_is_full_and_each_part_right(parts in vec(0u64..1 << 50, 6), columns in 0usize..200) {
            let cells = cells(&parts, columns);
            let whole: u64 = parts.iter().sum();
            prop_assert_eq!(cells.iter().sum::<usize>(), if whole == 0 { 0 } else { columns });
            for (cell, part) in cells.iter().zip(&parts) {
                let share = *part as f64 / whole.max(1) as f64 * columns as f64;
                prop_assert!((*cell as f64 - share).abs() <= 1.0 + 1e-6, "{cell} for {share}");
            }
        }
    }
}
