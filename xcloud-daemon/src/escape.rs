//! Text from elsewhere, made safe to show. Names, labels and messages come over the network and out of files; nothing in
//! them may steer a terminal, hide, turn text around, become a tag, or a formula. No I/O.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Stands for what was cut out of a name.
const ELLIPSIS: char = '…';

/// Text for one line of a terminal: what is no visible character is written out, as in `\n`, `\x1b`, `\u{202e}`. A
/// backslash stays as it is, so this is for eyes, not for reading back.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if is_harmful(c) && c.is_ascii() => safe += &format!("\\x{:02x}", u32::from(c)),
            c if is_harmful(c) => safe += &format!("\\u{{{:x}}}", u32::from(c)),
            c => safe.push(c),
        }
    }
    safe
}

/// The same for text of several lines that are ours, with something from elsewhere among them.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n")
}

/// Text for a cell of a CSV file: one line as [`clean`] has it, and a cell that a spreadsheet would take for a formula
/// begins with an apostrophe. Figures of our own are no such text.
#[must_use]
pub fn csv(text: &str) -> String {
    let text = clean(text);
    let formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula { format!("'{text}") } else { text }
}

/// JSON text in which even characters that JSON allows are written as `\u…` if a terminal should not have them. It reads
/// back as the same value.
#[must_use]
pub fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        // JSON escapes those below U+0020 itself; a line end here is one between values.
        if c == '\n' || !is_harmful(c) {
            safe.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| safe += &format!("\\u{unit:04x}"));
        }
    }
    safe
}

/// Text that can stand in an HTML element or in an attribute in double quotes.
#[must_use]
pub fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Text that cannot end a cell of a Markdown table or begin a tag, a link or code.
#[must_use]
pub fn markdown(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            '|' | '\\' | '`' | '*' | '[' | ']' | '#' => safe.extend(['\\', c]),
            c => safe.push(c),
        }
    }
    safe
}

/// Cut to so many bytes, at least three, between characters; what is cut shows that at its end.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.into();
    }
    let end = text.floor_char_boundary(bytes.saturating_sub(ELLIPSIS.len_utf8()));
    format!("{}{ELLIPSIS}", &text[..end])
}

/// Cut to so many columns of a terminal, in the middle: names of one pool of nodes differ at their ends. The text has to
/// be [`clean`].
#[must_use]
pub fn shorten(text: &str, columns: usize) -> String {
    shorten_with(text, columns, ELLIPSIS)
}

/// The same with another character, one column wide, for what is cut out.
#[must_use]
pub fn shorten_with(text: &str, columns: usize, ellipsis: char) -> String {
    if text.width() <= columns {
        return text.into();
    }
    let Some(left) = columns.checked_sub(1) else { return String::new() };
    let back = left / 2;
    let head = prefix(text.chars(), left - back);
    let tail: String = prefix(text.chars().rev(), back).chars().rev().collect();
    format!("{head}{ellipsis}{tail}")
}

/// As many characters as fit into so many columns.
fn prefix(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= columns
        })
        .collect()
}

/// Text filled up with spaces to so many columns of a terminal, or cut to them.
#[must_use]
pub fn fit(text: &str, columns: usize) -> String {
    let text = shorten(text, columns);
    let missing = columns - text.width().min(columns);
    text + &" ".repeat(missing)
}

/// Whether a character steers a terminal (C0, DEL, C1), ends a line, turns text around, or cannot be seen: controls, line
/// and paragraph separators, what Unicode calls default ignorable, and annotations.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_steers_hides_or_turns_around_is_written_out() {
        let shown = [
            "a\x1b]0;x\x07\x1b[31m",
            "a\n\r\tb",
            "\u{9b}31m\u{7f}",
            "a\u{202e}b\u{2066}c\u{2069}",
            "a\u{200b}b\u{feff}\u{2028}\u{e0041}",
            "plain, grün, 日本 \\ 'quoted'",
        ]
        .map(clean);
        let wanted = [
            "a\\x1b]0;x\\x07\\x1b[31m",
            "a\\n\\r\\tb",
            "\\u{9b}31m\\x7f",
            "a\\u{202e}b\\u{2066}c\\u{2069}",
            "a\\u{200b}b\\u{feff}\\u{2028}\\u{e0041}",
            "plain, grün, 日本 \\ 'quoted'",
        ];
        assert_eq!(shown, wanted);
        assert_eq!(clean_lines("ours:\ntheirs\r"), "ours:\ntheirs\\r");
    }

    #[test]
    fn a_cell_is_no_formula() {
        let shown = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "a=b", ""].map(csv);
        assert_eq!(shown, ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "\\t=1", "'＝1", "a=b", ""]);
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(html("<b a=\"'&"), "&lt;b a=&quot;&#39;&amp;");
        assert_eq!(markdown("|<a>[x](y)`*#"), "\\|&lt;a>\\[x\\](y)\\`\\*\\#");
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shorten("gke-pool-1a2b-xyz1", 9), "gke-…xyz1");
        assert_eq!(shorten("日本日本日本", 6), "日…本");
        assert_eq!(["", "a", "abc"].map(|text| shorten(text, 1)), ["", "a", "…"]);
        assert_eq!(shorten("abc", 0), "");
        assert_eq!(fit("日本", 5), "日本 ");
        assert_eq!(fit("abcdef", 3), "a…f");
    }

    #[test]
    fn what_is_cut_by_bytes_ends_between_characters() {
        assert_eq!(
            ["abcd", "abcde", "éé", "ééé"].map(|text| cut(text, 4)),
            ["abcd", "a…", "éé", "…"]
        );
        assert_eq!(cut("日本", 5), "…");
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_left(text: String) {
            for shown in [clean(&text), csv(&text), html(&text), markdown(&text)] {
                prop_assert!(!shown.chars().any(is_harmful), "{shown:?}");
            }
        }

        #[test]
        fn json_reads_back_as_it_was(text: String) {
            let shown = json(&serde_json::to_string_pretty(&[&text]).expect("text"));
            prop_assert!(!shown.chars().any(|c| c != '\n' && is_harmful(c)), "{shown:?}");
            let back: Vec<String> = serde_json::from_str(&shown).expect("JSON");
            prop_assert_eq!(&back[0], &text);
        }

        #[test]
        fn what_is_cut_fits(text: String, columns in 0usize..40) {
            let text = clean(&text);
            prop_assert!(shorten(&text, columns).width() <= columns);
            prop_assert_eq!(fit(&text, columns).width(), columns);
        }
    }
}
