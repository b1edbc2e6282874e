//! What is in force: as a file that would give the same, and as a line of the log.

use super::{
    keys::Form,
    settings::{Origin, Setting, Settings},
};

/// What is shown of a secret.
const HIDDEN: &str = "(hidden)";

/// As a file that says where each value is from. Read as a file it gives the same, but for secrets.
pub(super) fn yaml(settings: &Settings) -> String {
    let mut out = String::new();
    if let Some(path) = &settings.path {
        out += &format!("# {}\n", path.display().to_string().escape_debug());
    }
    out += &format!("{}:\n", settings.section.name());
    for setting in &settings.values {
        let (name, origin) = (&setting.key.name, &setting.origin);
        let line = if setting.texts.is_empty() {
            format!("  # {name}: not given")
        } else if setting.key.secret && *origin != Origin::Default {
            format!("  # {name}: {HIDDEN}  # {origin}")
        } else {
            format!("  {name}: {}  # {origin}", value(setting))
        };
        out += &line;
        out.push('\n');
    }
    out
}

/// As a line: values that somebody gave with where they are from, all others as they are.
pub(super) fn line(settings: &Settings) -> String {
    let given = settings.values.iter().filter(|setting| !setting.texts.is_empty());
    let told = given.map(|setting| match &setting.origin {
        Origin::Default => format!("{}={}", setting.key.name, shown(setting)),
        origin => format!("{}={} ({origin})", setting.key.name, shown(setting)),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The value for people, never a secret.
pub(super) fn shown(setting: &Setting) -> String {
    if setting.key.secret && setting.origin != Origin::Default {
        return HIDDEN.into();
    }
    if setting.texts.is_empty() { "(nothing)".into() } else { value(setting) }
}

fn value(setting: &Setting) -> String {
    let texts: Vec<_> = setting.texts.iter().map(|text| scalar(text)).collect();
    match setting.key.form {
        Form::Many => format!("[{}]", texts.join(", ")),
        _ => texts.join(" "),
    }
}

/// A scalar of YAML that means this text.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:@+-".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/' || c == '.');
    if begins
        && !text.ends_with(':')
        && text.chars().all(plain)
        && !text.eq_ignore_ascii_case("null")
    {
        return text.into();
    }
    // What JSON quotes, YAML reads.
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{
            Section,
            keys::keys,
            yaml::{Value, parse},
        },
        *,
    };

    #[test]
    fn a_secret_is_shown_to_nobody() {
        let mut key = keys(Section::Agent).remove(0);
        key.secret = true;
        let setting = Setting { key, texts: vec!["hunter2".into()], origin: Origin::Flag };
        assert_eq!(shown(&setting), HIDDEN);
        let mut settings = Settings::alone(Section::Agent, "a.yaml".as_ref());
        settings.values.push(setting);
        for text in [yaml(&settings), line(&settings)] {
            assert!(text.contains(HIDDEN) && !text.contains("hunter2"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_read_as_it_was_shown(text in "[ -~]{0,20}|\\PC{0,20}") {
            let tree = parse(&format!("a: [{}]  # b\nc: {}\n", scalar(&text), scalar(&text)));
            let Value::Map(map) = tree.expect("sound").value else { panic!("a mapping") };
            let Value::List(list) = &map[0].node.value else { panic!("a list") };
            for node in [&list[0], &map[1].node] {
                let Value::Text { text: read, .. } = &node.value else { panic!("{node:?}") };
                prop_assert_eq!(read, &text);
            }
        }
    }
}
