//! Rows under a heading, each column as wide as its widest cell.

use unicode_width::UnicodeWidthStr as _;

use crate::escape::{clean, fit, shorten};

/// Widest cell, but for the last of a row.
const WIDEST: usize = 48;

/// Rows of text from anywhere under a heading of our own; what is too long is cut, but for the last cell of a row.
#[must_use]
pub fn columns<'a, const N: usize>(
    head: &[&str; N],
    rows: impl Iterator<Item = [&'a str; N]>,
) -> String {
    let cell = |(at, text): (usize, &str)| match at + 1 == N {
        true => clean(text),
        false => shorten(&clean(text), WIDEST),
    };
    let rows = rows.map(|row| row.iter().copied().enumerate().map(cell).collect::<Vec<_>>());
    let head = head.iter().map(|name| name.to_uppercase()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].width()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(widths).map(|(cell, width)| fit(cell, width));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_whatever_is_in_them() {
        let long = "x".repeat(60);
        let rows = [["a", "日本", "the end"], [&long, "\x1b[31m", &long]];
        let text = columns(&["name", "place", "why"], rows.into_iter());
        let cut = format!("{}…{}", "x".repeat(24), "x".repeat(23));
        let wanted = format!(
            "{:<48}  PLACE     WHY\n{:<48}  日本      the end\n{cut}  \\x1b[31m  {long}\n",
            "NAME", "a"
        );
        assert_eq!(text, wanted);
    }
}
