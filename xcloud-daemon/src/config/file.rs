//! From a file to what would be typed, checked key by key with the flags' own parsers.

use std::{collections::BTreeMap, error::Error as _, fs::File, io::Read as _, path::Path};

use anyhow::{Context as _, Result};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{
    Section,
    complaint::{Complaint, refused},
    keys::{Form, Key, definition, keys, nearest},
    yaml::{self, Entry, Node, Position, Value},
};

/// Largest file; a sample with every key in it is a tenth of that.
const MAX_BYTES: u64 = 256 << 10;

/// What a file gives for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// As it would be typed.
    pub(super) texts: Vec<String>,
    /// Where the value stands.
    pub(super) at: Position,
}

/// What a file gives for a section, by key.
pub(super) type Entries = BTreeMap<String, Given>;

/// Reads a file, which is UTF-8 and of a bounded size.
pub(super) fn read(path: &Path) -> Result<String> {
    let reading = || format!("reading the configuration {}", path.display());
    let file = File::open(path).with_context(reading)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(reading)?;
    let whole =
        |why: String| refused(path, &[Complaint::new(Position { line: 1, column: 1 }, "", why)]);
    if bytes.len() as u64 > MAX_BYTES {
        return Err(whole(format!("the file is larger than {} KiB", MAX_BYTES >> 10)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let before = error.utf8_error().valid_up_to();
        whole(format!("the file is not UTF-8: byte {} is none", before + 1))
    })
}

/// What the text gives for a section.
///
/// # Errors
/// Everything that is wrong with the section, or with the file as a whole.
pub(super) fn section(text: &str, section: Section) -> Result<Entries, Vec<Complaint>> {
    let tree = yaml::parse(text).map_err(|wrong| vec![wrong.into()])?;
    let Some(node) = find(tree, section)? else { return Ok(Entries::new()) };
    let map = match node.value {
        Value::Null => return Ok(Entries::new()),
        Value::Map(map) => map,
        other => {
            let why = format!("is {}, not a mapping of keys to values", other.kind());
            return Err(vec![Complaint::new(node.at, section.name(), why)]);
        }
    };
    let keys = keys(section);
    let (mut entries, mut complaints) = (Entries::new(), Vec::new());
    for entry in map {
        match take(section, &keys, &entry) {
            Ok(given) => {
                entries.insert(entry.key, given);
            }
            Err(complaint) => complaints.push(complaint),
        }
    }
    if complaints.is_empty() { Ok(entries) } else { Err(complaints) }
}

/// A section of the whole file; there is nothing beside the sections.
fn find(tree: Node, section: Section) -> Result<Option<Node>, Vec<Complaint>> {
    let map = match tree.value {
        Value::Null => return Ok(None),
        Value::Map(map) => map,
        other => {
            let why =
                format!("the file is {}, not a mapping with agent: and aggregator:", other.kind());
            return Err(vec![Complaint::new(tree.at, "", why)]);
        }
    };
    let strange = map.iter().filter(|entry| Section::named(&entry.key).is_none());
    let complaints: Vec<_> = strange.map(unknown_section).collect();
    if complaints.is_empty() {
        Ok(map.into_iter().find(|entry| entry.key == section.name()).map(|entry| entry.node))
    } else {
        Err(complaints)
    }
}

fn unknown_section(entry: &Entry) -> Complaint {
    let named = nearest(&entry.key, Section::ALL.iter().map(|section| section.name()));
    let home =
        Section::ALL.iter().find(|section| keys(**section).iter().any(|key| key.name == entry.key));
    let hint = match (named, home) {
        (Some(name), _) => format!("; is {name} meant?"),
        (None, Some(section)) => format!("; it is a key of the section {}:", section.name()),
        (None, None) => String::new(),
    };
    let why = format!("{:?} is no section, as agent and aggregator are{hint}", entry.key);
    Complaint::new(entry.at, "", why)
}

/// One key with its value, checked.
fn take(section: Section, keys: &[Key], entry: &Entry) -> Result<Given, Complaint> {
    let path = format!("{}.{}", section.name(), entry.key.escape_debug());
    let Some(key) = keys.iter().find(|key| key.name == entry.key) else {
        return Err(Complaint::new(entry.at, path, unknown(section, keys, &entry.key)));
    };
    let complain = |at, why: String| Complaint::new(at, path.clone(), why);
    let texts = texts(key, &entry.node).map_err(|(at, why)| complain(at, why))?;
    for (text, at) in &texts {
        if key.form != Form::Switch {
            check(section, key, text).map_err(|why| complain(*at, why))?;
        }
    }
    let texts = texts.into_iter().map(|(text, _)| text).collect();
    Ok(Given { texts, at: entry.node.at })
}

fn unknown(section: Section, keys: &[Key], name: &str) -> String {
    let mut others = Section::ALL.into_iter().filter(|other| *other != section);
    let elsewhere = others.find(|other| self::keys(*other).iter().any(|key| key.name == name));
    match (elsewhere, nearest(name, keys.iter().map(|key| key.name.as_str()))) {
        (Some(other), _) => format!("there is no such key here; it is one of {}:", other.name()),
        (None, Some(near)) => format!("there is no such key; is {near} meant?"),
        (None, None) => "there is no such key; `xcloud config reference` lists them".into(),
    }
}

/// The values of a key as they would be typed, and where each stands.
fn texts(key: &Key, node: &Node) -> Result<Vec<(String, Position)>, (Position, String)> {
    let wrong =
        |node: &Node, wanted: &str| (node.at, format!("is {}, not {wanted}", node.value.kind()));
    match (key.form, &node.value) {
        (_, Value::Null) => {
            Err((node.at, "has no value; leave the key out for its default".into()))
        }
        (Form::Switch, Value::Text { text, plain: true })
            if matches!(&text[..], "true" | "false") =>
        {
            Ok(vec![(text.clone(), node.at)])
        }
        (Form::Switch, Value::Text { .. }) => {
            Err((node.at, "is neither true nor false, without quotes".into()))
        }
        (Form::Switch, _) => Err(wrong(node, "true or false")),
        (Form::One, Value::Text { text, .. }) => Ok(vec![(text.clone(), node.at)]),
        (Form::One, _) => Err(wrong(node, "a single value")),
        (Form::Many, Value::List(list)) if list.is_empty() && !key.defaults.is_empty() => {
            Err((node.at, "is an empty list; leave the key out for its default".into()))
        }
        (Form::Many, Value::List(list)) => list
            .iter()
            .map(|item| match &item.value {
                Value::Text { text, .. } => Ok((text.clone(), item.at)),
                _ => Err(wrong(item, "a single value")),
            })
            .collect(),
        (Form::Many, _) => Err(wrong(node, "a list, as [a, b] or a line `- a` each")),
    }
}

/// Whether the flag's own parser takes the value.
fn check(section: Section, key: &Key, text: &str) -> Result<(), String> {
    let shown = if key.secret { String::new() } else { format!("{text:?}: ") };
    if text.chars().any(char::is_control) {
        return Err(format!("{shown}holds a control character"));
    }
    let words = ["xcloud".into(), section.name().into(), format!("--{}={text}", key.name)];
    match definition().try_get_matches_from(words) {
        Ok(_) => Ok(()),
        // What it requires may come from elsewhere.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
        Err(_) if key.secret => Err("is not what this key takes".into()),
        Err(error) => Err(reason(&error, text)),
    }
}

/// Why clap refuses a value, without what only makes sense on a command line.
pub(super) fn reason(error: &clap::Error, text: &str) -> String {
    if let Some(source) = error.source() {
        let why = source.to_string();
        // Many parsers name the value themselves.
        return if why.contains(text) && !text.is_empty() {
            why
        } else {
            format!("{text:?}: {why}")
        };
    }
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue) {
        return format!("{text:?} is none of {}", values.join(", "));
    }
    first_line(error)
}

/// The first line of what clap says.
pub(super) fn first_line(error: &clap::Error) -> String {
    let said = error.to_string();
    said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// What would be typed for the entries of the keys wanted.
pub(super) fn flags(entries: &Entries, keys: &[Key], wanted: impl Fn(&Key) -> bool) -> Vec<String> {
    let mut flags = Vec::new();
    for key in keys.iter().filter(|key| wanted(key)) {
        let texts = entries.get(&key.name).map_or(&[][..], |given| &given.texts);
        flags.extend(texts.iter().filter_map(|text| match (key.form, &text[..]) {
            (Form::Switch, "true") => Some(format!("--{}", key.name)),
            (Form::Switch, _) => None,
            _ => Some(format!("--{}={text}", key.name)),
        }));
    }
    flags
}

#[cfg(test)]
mod tests;
