//! The table of the chart's values, made from the comments in `values.yaml`. Pure.

use anyhow::{Context as _, Result, ensure};

const BEGIN: &str = "<!-- values: begin, made by `cargo xtask chart` -->\n";
const END: &str = "<!-- values: end -->\n";
/// What begins an explanation.
const MARK: &str = "# -- ";

/// A value that users may set.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    key: String,
    default: String,
    /// Lines that the default takes below the key.
    lines: usize,
    about: String,
}

/// Puts the table where the README has a place for it.
pub(super) fn into_readme(readme: &str, table: &str) -> Result<String> {
    let (before, rest) = readme.split_once(BEGIN).context("the chart's README has no table")?;
    let (_, after) = rest.split_once(END).context("the table of the chart's README has no end")?;
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

/// The table, in Markdown.
pub(super) fn table(values: &str) -> Result<String> {
    let mut out = "| value | default | what it does |\n|---|---|---|\n".to_owned();
    for one in described(values)? {
        let about = one.about.replace('|', "\\|");
        let default = if one.lines > 1 { "see values.yaml" } else { &one.default };
        out += &format!("| `{}` | `{default}` | {about} |\n", one.key);
    }
    Ok(out)
}

/// Every value that is explained, in the file's order. What is below an explained value belongs to its default.
fn described(values: &str) -> Result<Vec<Described>> {
    let mut out: Vec<Described> = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut about: Option<String> = None;
    // Indentation of the explained value whose default is read.
    let mut inside: Option<usize> = None;
    for (number, line) in values.lines().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if text.is_empty() {
            continue;
        }
        if let Some(comment) = text.strip_prefix(MARK) {
            about = Some(comment.to_owned());
            continue;
        }
        if let Some(comment) = text.strip_prefix('#') {
            if let Some(about) = &mut about {
                *about += &format!(" {}", comment.trim());
            }
            continue;
        }
        if inside.is_some_and(|level| indent > level) {
            if let Some(last) = out.last_mut() {
                last.default += text;
                last.lines += 1;
            }
            continue;
        }
        inside = None;
        let (key, default) =
            text.split_once(':').with_context(|| format!("line {}", number + 1))?;
        path.retain(|(level, _)| *level < indent);
        path.push((indent, key.to_owned()));
        let key = path.iter().map(|(_, key)| &key[..]).collect::<Vec<_>>().join(".");
        match about.take() {
            Some(about) => {
                out.push(Described { key, default: default.trim().to_owned(), lines: 0, about });
                inside = Some(indent);
            }
            None => ensure!(default.is_empty(), "values.yaml does not say what {key} does"),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "\
# About the file.
a:
  # -- First,
  # in two lines
  b: 1
  # -- A table
  c:
    d: e
# -- Last | not least
f: []
";

    #[test]
    fn every_explained_value_is_a_row_and_its_default_is_whole() {
        let rows = described(VALUES).expect("understood");
        let row = |key: &str, default: &str, lines, about: &str| Described {
            key: key.into(),
            default: default.into(),
            lines,
            about: about.into(),
        };
        let wanted = [
            row("a.b", "1", 0, "First, in two lines"),
            row("a.c", "d: e", 1, "A table"),
            row("f", "[]", 0, "Last | not least"),
        ];
        assert_eq!(rows, wanted);
        assert!(table(VALUES).expect("made").contains("Last \\| not least"));
    }

    #[test]
    fn a_value_that_nothing_explains_is_refused() {
        let refused = table("a:\n  b: 1\n").expect_err("not explained").to_string();
        assert!(refused.contains("a.b"), "{refused}");
    }

    #[test]
    fn the_table_replaces_the_one_before_it_and_nothing_else() {
        let readme = format!("before\n{BEGIN}old\n{END}after\n");
        let new = into_readme(&readme, "new\n").expect("has a place");
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert!(into_readme("no place", "new\n").is_err());
    }
}
