//! The keys of the file, from the definitions of the flags.

use std::{
    any::TypeId,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::{Arg, ArgAction, CommandFactory as _, builder::Resettable};

use super::Section;
use crate::cli::{Address, Cli};

/// What is no key: it says where the file is, or asks for something else than to run.
const NO_KEYS: [&str; 3] = ["config", "help", "version"];
/// Words in the names of keys whose values are for nobody's eyes.
const SECRET: [&str; 5] = ["credential", "header", "password", "secret", "token"];

/// A key: a flag that may be given in the file.
#[derive(Clone, Debug)]
pub(super) struct Key {
    /// The flag's long name.
    pub(super) name: String,
    /// What clap calls it.
    pub(super) id: String,
    /// How it is written.
    pub(super) form: Form,
    /// What is written, for people.
    pub(super) what: String,
    /// Defaults, as they would be typed.
    pub(super) defaults: Vec<String>,
    /// The environment variable that says the same.
    pub(super) env: Option<String>,
    /// One sentence.
    pub(super) help: String,
    /// Takes effect without a restart.
    pub(super) hot: bool,
    /// Its value is never shown.
    pub(super) secret: bool,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `true` or `false`, for a flag without a value.
    Switch,
    /// One value.
    One,
    /// A list of values, for a flag that may be repeated.
    Many,
}

/// The command line's definition without the environment, which a file is checked against.
pub(super) fn definition() -> clap::Command {
    let plain = |arg: Arg| arg.env(Resettable::Reset);
    let root = Cli::command().mut_args(plain);
    Section::ALL.into_iter().fold(root, |root, section| {
        root.mut_subcommand(section.name(), |command| command.mut_args(plain))
    })
}

/// All keys of a section, by name.
pub(super) fn keys(section: Section) -> Vec<Key> {
    let mut root = Cli::command();
    root.build();
    let command = root.find_subcommand(section.name()).into_iter();
    let mut keys: Vec<Key> = command
        .flat_map(clap::Command::get_arguments)
        .filter_map(|arg| key(section, arg))
        .collect();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    keys
}

fn key(section: Section, arg: &Arg) -> Option<Key> {
    let name = arg.get_long().filter(|_| !arg.is_hide_set())?;
    if NO_KEYS.contains(&name) {
        return None;
    }
    let form = match arg.get_action() {
        ArgAction::SetTrue => Form::Switch,
        ArgAction::Append => Form::Many,
        ArgAction::Set => Form::One,
        // There is no such flag, and a test keeps it so.
        _ => return None,
    };
    let defaults = arg.get_default_values().iter().map(|value| value.to_string_lossy().into());
    Some(Key {
        name: name.into(),
        id: arg.get_id().to_string(),
        form,
        what: what(arg, form),
        defaults: if form == Form::Switch { vec!["false".into()] } else { defaults.collect() },
        env: arg.get_env().map(|name| name.to_string_lossy().into()),
        help: arg.get_help().map(|help| help.to_string()).unwrap_or_default(),
        hot: section.hot().contains(&name),
        // Where a file with secrets is may be known.
        secret: !name.ends_with("-file") && SECRET.iter().any(|word| name.contains(word)),
    })
}

/// The type of a value, for people.
fn what(arg: &Arg, form: Form) -> String {
    let parser = arg.get_value_parser();
    let is = |id: TypeId| parser.type_id() == id;
    let values: Vec<_> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    let numbers =
        [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>(), TypeId::of::<usize>()];
    let one = if form == Form::Switch || is(TypeId::of::<bool>()) {
        "`true` or `false`".to_owned()
    } else if !values.is_empty() {
        values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ")
    } else if is(TypeId::of::<Duration>()) {
        "time, as `10s` or `1h 30m`".into()
    } else if is(TypeId::of::<Address>()) {
        // Names are looked up to connect, not to listen.
        match arg.get_long() {
            Some("listen") => "`IP:PORT` or `unix:PATH`".into(),
            _ => "`HOST:PORT`, `https://HOST:PORT` or `unix:PATH`".into(),
        }
    } else if is(TypeId::of::<SocketAddr>()) {
        "`IP:PORT`".into()
    } else if is(TypeId::of::<IpAddr>()) {
        "IP address".into()
    } else if is(TypeId::of::<PathBuf>()) {
        "path".into()
    } else if numbers.into_iter().any(is) {
        "number".into()
    } else {
        "text".into()
    };
    if form == Form::Many { format!("list of: {one}") } else { one }
}

/// The key most like a word that is none, if one is like it: `maxPaths` and `max_paths` are meant for `max-paths`.
pub(super) fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
    };
    // What is longer than any key is no slip of the finger.
    let word = plain(word.get(..64).unwrap_or(word));
    let distance = |name: &str| strsim::osa_distance(&word, &plain(name));
    let best = names.map(|name| (distance(name), name)).min()?;
    (best.0 <= (word.len() / 3).clamp(1, 4)).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_flag_that_people_see_is_a_key_with_a_sentence() {
        for section in Section::ALL {
            let mut root = Cli::command();
            root.build();
            let command = root.find_subcommand(section.name()).expect("a command");
            let keys: BTreeSet<_> = keys(section).into_iter().map(|key| key.name).collect();
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let name = arg.get_long().expect("flags only: a file cannot give what has no name");
                assert!(
                    keys.contains(name) || NO_KEYS.contains(&name),
                    "--{name} of xcloud {}: its action {:?} cannot be written in a file; use Set, SetTrue or Append",
                    section.name(),
                    arg.get_action()
                );
                assert!(
                    arg.get_help().is_some(),
                    "--{name}: needs a doc sentence, which the reference shows"
                );
            }
        }
    }

    #[test]
    fn every_hot_key_is_a_key() {
        for section in Section::ALL {
            let keys = keys(section);
            for hot in section.hot() {
                assert!(
                    keys.iter().any(|key| key.name == *hot),
                    "Section::hot of config.rs names {hot}, but xcloud {} has no such flag",
                    section.name()
                );
            }
        }
    }

    #[test]
    fn keys_are_known_by_their_types() {
        let keys = keys(Section::Aggregator);
        let of = |name: &str| keys.iter().find(|key| key.name == name).expect(name);
        assert_eq!(
            (of("listen").form, of("listen").what.as_str()),
            (Form::Many, "list of: `IP:PORT` or `unix:PATH`")
        );
        assert_eq!(
            (of("retention").form, of("retention").defaults.as_slice()),
            (Form::One, &["1h".to_owned()][..])
        );
        assert_eq!(of("allow-load-tests").form, Form::Switch);
        assert_eq!(of("log-format").what, "`text`, `json`");
        assert_eq!(of("listen").env.as_deref(), Some("XCLOUD_LISTEN"));
        assert_eq!(of("health-listen").what, "`IP:PORT`");
        let of_agent = super::keys(Section::Agent);
        let aggregator = of_agent.iter().find(|key| key.name == "aggregator").expect("a key");
        assert_eq!(aggregator.what, "`HOST:PORT`, `https://HOST:PORT` or `unix:PATH`");
    }

    #[test]
    fn a_slip_of_the_finger_is_known_for_what_it_is() {
        let names = ["max-paths", "rate", "retention", "listen"];
        let near = |word| nearest(word, names.into_iter());
        assert_eq!(near("maxPaths"), Some("max-paths"));
        assert_eq!(near("max_paths"), Some("max-paths"));
        assert_eq!(near("retentoin"), Some("retention"));
        assert_eq!(near("rat"), Some("rate"));
        assert_eq!(near("colour"), None);
        assert_eq!(near(&"rate".repeat(10_000)), None);
    }
}
