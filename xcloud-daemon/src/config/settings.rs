//! What a process was started with: read once, shown, and read again while it runs.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::{
    ArgMatches, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};

use super::{
    Section,
    complaint::{Complaint, refused},
    file::{self, Entries},
    keys::{Form, Key, keys},
    yaml::Position,
};
use crate::{cli::Cli, logging, usage::usage};

/// The key that `RUST_LOG` gives, too.
const LOG_LEVEL: &str = "log-level";

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Typed.
    Flag,
    /// This variable.
    Environment(String),
    /// The file, where the value stands.
    File(Position),
    /// Nobody said otherwise.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(at) => write!(f, "file, line {}", at.line),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The value of a key that is in force.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Which.
    pub(super) key: Key,
    /// As it would be typed; nothing where there is no value.
    pub(super) texts: Vec<String>,
    /// Where it is from.
    pub(super) origin: Origin,
}

/// What a process was started with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) section: Section,
    /// The file, if there is one.
    pub(super) path: Option<PathBuf>,
    /// What is in force.
    pub(super) values: Vec<Setting>,
    /// What is in force of the file.
    pub(super) entries: Entries,
    keys: Vec<Key>,
    words: Vec<OsString>,
    /// Keys that flags or the environment give.
    given: BTreeMap<String, Origin>,
    define: fn() -> clap::Command,
}

/// Reads the command line, and the file it names. Like clap, it ends the process with help or with what is wrong on the
/// command line.
///
/// # Errors
/// The file cannot be read, or something is wrong with it.
pub fn start(words: Vec<OsString>) -> Result<(Cli, Option<Settings>)> {
    let parsed = Cli::command().try_get_matches_from(&words);
    let lenient;
    let matches = match &parsed {
        Ok(matches) => matches,
        // The file may have it.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            let command = Cli::command().ignore_errors(true);
            lenient = command.try_get_matches_from(&words).unwrap_or_else(|error| error.exit());
            &lenient
        }
        Err(error) => leave(error),
    };
    if let Some(mut settings) = Settings::of(matches, &words)
        && settings.path.is_some()
    {
        settings.entries = settings.read()?;
        let (cli, values) = settings.evaluate(&settings.entries)?;
        settings.values = values;
        return Ok((cli, Some(settings)));
    }
    let matches = parsed.unwrap_or_else(|error| error.exit());
    let settings = Settings::of(&matches, &words);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Ok((cli, settings))
}

fn leave(error: &clap::Error) -> ! {
    // There is nobody left to tell.
    let _ = error.print();
    std::process::exit(error.exit_code())
}

impl Settings {
    /// Of a command that takes a configuration.
    fn of(matches: &ArgMatches, words: &[OsString]) -> Option<Self> {
        let (section, matches) = deepest(matches)?;
        let path = matches.try_get_one::<PathBuf>("config").ok()?.cloned();
        let keys = keys(section);
        let given = keys.iter().filter_map(|key| Some((key.name.clone(), given(key, matches)?)));
        let mut settings = Self {
            section,
            path,
            given: given.collect(),
            words: words.to_vec(),
            ..Self::empty(section, keys, Cli::command)
        };
        settings.values = settings.values(matches, &Entries::new());
        Some(settings)
    }

    /// Of a file alone.
    pub(super) fn alone(section: Section, path: &Path) -> Self {
        Self {
            path: Some(path.into()),
            words: vec!["xcloud".into(), section.name().into()],
            ..Self::empty(section, keys(section), super::keys::definition)
        }
    }

    fn empty(section: Section, keys: Vec<Key>, define: fn() -> clap::Command) -> Self {
        Self {
            section,
            path: None,
            values: Vec::new(),
            entries: Entries::new(),
            keys,
            words: Vec::new(),
            given: BTreeMap::new(),
            define,
        }
    }

    /// What the file gives now.
    pub(super) fn read(&self) -> Result<Entries> {
        let Some(path) = &self.path else { return Ok(Entries::new()) };
        let text = file::read(path)?;
        file::section(&text, self.section).map_err(|complaints| refused(path, &complaints))
    }

    /// What would be in force with these entries of the file.
    pub(super) fn evaluate(&self, entries: &Entries) -> Result<(Cli, Vec<Setting>)> {
        let matches = self.parse(entries).map_err(|error| self.blame_clap(entries, &error))?;
        let cli =
            Cli::from_arg_matches(&matches).map_err(|error| self.blame_clap(entries, &error))?;
        self.section.check(&cli.command).map_err(|error| self.blame(entries, error))?;
        let values = deepest(&matches).map(|(_, matches)| self.values(matches, entries));
        Ok((cli, values.unwrap_or_default()))
    }

    /// Whether a file holds together by itself. What its flags require may come from elsewhere.
    pub(super) fn hold(&self, entries: &Entries) -> Result<()> {
        match self.parse(entries) {
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
            _ => self.evaluate(entries).map(drop),
        }
    }

    /// Reads the command line with what it does not give taken from the entries.
    fn parse(&self, entries: &Entries) -> Result<ArgMatches, clap::Error> {
        let flags = file::flags(entries, &self.keys, |key| !self.given.contains_key(&key.name));
        let mut words = self.words.clone();
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        words.splice(end..end, flags.into_iter().map(OsString::from));
        (self.define)().try_get_matches_from(words)
    }

    fn values(&self, matches: &ArgMatches, entries: &Entries) -> Vec<Setting> {
        let setting = |key: &Key| {
            let origin = self.given.get(&key.name).cloned();
            let from_file = || entries.get(&key.name).map(|given| Origin::File(given.at));
            let origin = origin.or_else(from_file).unwrap_or(Origin::Default);
            Setting { texts: texts(key, matches, &origin), key: key.clone(), origin }
        };
        self.keys.iter().map(setting).collect()
    }

    /// Where in the file a flag is given, if it is in force.
    fn place(&self, entries: &Entries, name: &str) -> Option<Position> {
        let given = entries.get(name).filter(|_| !self.given.contains_key(name))?;
        Some(given.at)
    }

    /// The error with the place in the file of the first flag it names, if that is where it is from.
    fn blame(&self, entries: &Entries, error: anyhow::Error) -> anyhow::Error {
        let why = format!("{error:#}");
        let placed = flags_in(&why).find_map(|name| Some((name, self.place(entries, name)?)));
        match (placed, &self.path) {
            (Some((name, at)), Some(path)) => {
                let key = format!("{}.{name}", self.section.name());
                refused(path, &[Complaint::new(at, key, why.clone())])
            }
            _ => error,
        }
    }

    fn blame_clap(&self, entries: &Entries, error: &clap::Error) -> anyhow::Error {
        let named = |kind| match error.get(kind) {
            Some(ContextValue::String(name)) => name.clone(),
            Some(ContextValue::Strings(names)) => names.join(", "),
            _ => String::new(),
        };
        let why = if error.kind() == ErrorKind::MissingRequiredArgument {
            format!("{} must be given, too", named(ContextKind::InvalidArg))
        } else {
            file::first_line(error)
        };
        let names = format!("{} {}", named(ContextKind::InvalidArg), named(ContextKind::PriorArg));
        let placed = flags_in(&names).find_map(|name| Some((name, self.place(entries, name)?)));
        match (placed, &self.path) {
            (Some((name, at)), Some(path)) => {
                let key = format!("{}.{name}", self.section.name());
                refused(path, &[Complaint::new(at, key, why)])
            }
            (None, Some(path)) => {
                usage(format!("with the configuration {}: {why}", path.display()))
            }
            (_, None) => usage(why),
        }
    }
}

/// The command that takes a configuration, and its arguments.
fn deepest(mut matches: &ArgMatches) -> Option<(Section, &ArgMatches)> {
    let mut section = None;
    while let Some((name, inner)) = matches.subcommand() {
        (section, matches) = (Section::named(name), inner);
    }
    Some((section?, matches))
}

/// Whether a key is given by a flag or the environment.
fn given(key: &Key, matches: &ArgMatches) -> Option<Origin> {
    match matches.value_source(&key.id) {
        Some(ValueSource::CommandLine) => Some(Origin::Flag),
        Some(ValueSource::EnvVariable) => Some(Origin::Environment(key.env.clone()?)),
        _ if key.name == LOG_LEVEL => {
            logging::rust_log().map(|_| Origin::Environment("RUST_LOG".into()))
        }
        _ => None,
    }
}

fn texts(key: &Key, matches: &ArgMatches, origin: &Origin) -> Vec<String> {
    if *origin == Origin::Environment("RUST_LOG".into()) {
        return logging::rust_log().into_iter().collect();
    }
    if key.form == Form::Switch {
        return vec![matches.get_flag(&key.id).to_string()];
    }
    let raw = matches.get_raw(&key.id).into_iter().flatten();
    raw.map(|value| value.to_string_lossy().into_owned()).collect()
}

/// Names of flags in a sentence.
fn flags_in(sentence: &str) -> impl Iterator<Item = &str> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    sentence.split(word).filter_map(|word| word.strip_prefix("--"))
}
