//! The reference of all keys, from the definitions of the flags.

use std::fmt::Write as _;

use super::{
    Section,
    keys::{Form, Key, keys},
};

/// All keys, as Markdown.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::new();
    for section in Section::ALL {
        // Writing to a string does not fail.
        let _ = writeln!(out, "### `{}:`\n", section.name());
        out += "| key | value | default | environment | takes effect | meaning |\n";
        out += "|---|---|---|---|---|---|\n";
        keys(section).iter().for_each(|key| out += &row(key));
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn row(key: &Key) -> String {
    let default = match (key.form, &key.defaults[..]) {
        (_, []) => String::new(),
        (Form::Many, defaults) => format!("`[{}]`", defaults.join(", ")),
        (_, [only]) if only.is_empty() => "`\"\"`".into(),
        (_, defaults) => format!("`{}`", defaults.join(" ")),
    };
    let env = key.env.as_ref().map_or_else(String::new, |name| format!("`{name}`"));
    let hot = if key.hot { "at once" } else { "at restart" };
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    format!(
        "| `{}` | {} | {} | {env} | {hot} | {} |\n",
        key.name,
        cell(&key.what),
        cell(&default),
        cell(&key.help)
    )
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    const BEGIN: &str = "<!-- reference: begin -->\n";
    const END: &str = "<!-- reference: end -->\n";

    #[test]
    fn the_page_lists_the_keys_there_are() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
        let page = fs::read_to_string(&path).expect("docs/config.md");
        let (before, rest) = page.split_once(BEGIN).expect("where the reference begins");
        let (_, after) = rest.split_once(END).expect("where the reference ends");
        let fresh = format!("{before}{BEGIN}{}{END}{after}", markdown());
        if std::env::var_os("XCLOUD_BLESS").is_some() {
            fs::write(&path, fresh).expect("writable");
            return;
        }
        assert!(
            page == fresh,
            "docs/config.md is stale: flags were added or changed. Run `XCLOUD_BLESS=1 cargo test -p xcloud-daemon --lib \
             config::reference` and commit it; keys that take effect without a restart are named in Section::hot of \
             xcloud-daemon/src/config.rs"
        );
    }
}
