//! This process's own log: lines on standard error, for people or as JSON. What libraries say by the `log` crate, the
//! kernel programs' log among it, comes the same way.

use std::{
    io::{self, IsTerminal as _},
    sync::OnceLock,
};

use anyhow::{Context as _, Result};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, Registry, filter::Targets, fmt, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

use crate::cli::log::{LogArgs, LogFormat};

mod text;

/// The level where nothing says otherwise.
const LEVEL: &str = "info";
/// Libraries that at debug tell every frame: they stay at info unless they are named.
const TALKATIVE: [&str; 5] = ["h2", "hyper", "hyper_util", "tonic", "tower"];

static LEVELS: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Begins to log.
///
/// # Errors
/// Something logs already.
pub fn init(args: &LogArgs) -> Result<()> {
    let (levels, handle) = reload::Layer::new(levels(&wanted(args)));
    let lines = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let lines = match args.log_format {
        LogFormat::Text => lines.event_format(text::Text { color: color() }).boxed(),
        LogFormat::Json => {
            let json = lines.json().flatten_event(true);
            json.with_current_span(false).with_span_list(false).boxed()
        }
    };
    tracing_subscriber::registry()
        .with(levels)
        .with(lines)
        .try_init()
        .context("starting the log")?;
    // Set once, since a second start fails above.
    let _ = LEVELS.set(handle);
    Ok(())
}

/// Changes how much is logged, if anything is. The kernel programs keep what they were loaded with.
pub fn set_levels(args: &LogArgs) {
    if let Some(handle) = LEVELS.get()
        // An error means that the log is gone, as at the very end.
        && handle.reload(levels(&wanted(args))).is_ok()
    {
        log::set_max_level(match LevelFilter::current().into_level() {
            None => log::LevelFilter::Off,
            Some(tracing::Level::ERROR) => log::LevelFilter::Error,
            Some(tracing::Level::WARN) => log::LevelFilter::Warn,
            Some(tracing::Level::INFO) => log::LevelFilter::Info,
            Some(tracing::Level::DEBUG) => log::LevelFilter::Debug,
            Some(tracing::Level::TRACE) => log::LevelFilter::Trace,
        });
    }
}

/// Logs nothing from now on.
pub fn silence() {
    if let Some(handle) = LEVELS.get() {
        // An error means that the log is gone.
        let _ = handle.reload(Targets::new());
    }
}

/// What `RUST_LOG` says, where it says something.
#[must_use]
pub fn rust_log() -> Option<String> {
    std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty())
}

/// Checks a level, or levels by module.
///
/// # Errors
/// It is none.
pub fn level(text: &str) -> Result<String, String> {
    // A lone word that is no level would be taken for a module.
    let odd = text.split(',').find(|part| {
        part.is_empty() || !part.contains('=') && part.parse::<LevelFilter>().is_err()
    });
    let odd = odd.or_else(|| text.split(',').find(|part| part.parse::<Targets>().is_err()));
    match odd {
        None => Ok(text.into()),
        Some(odd) => Err(format!(
            "{odd:?} is neither off, error, warn, info, debug or trace nor MODULE=LEVEL, as in xcloud::wire=debug"
        )),
    }
}

/// Of the flag, else of `RUST_LOG`, else the usual.
fn wanted(args: &LogArgs) -> String {
    args.log_level.clone().or_else(rust_log).unwrap_or_else(|| LEVEL.into())
}

fn levels(text: &str) -> Targets {
    // RUST_LOG may be meant for another program.
    let wanted: Targets =
        text.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let most = wanted.default_level().unwrap_or(LevelFilter::OFF).min(LevelFilter::INFO);
    let named: Vec<String> = wanted.iter().map(|(target, _)| target.to_owned()).collect();
    let is_named = |library: &str| {
        named.iter().any(|target| target.split("::").next().is_some_and(|first| first == library))
    };
    let quiet = TALKATIVE.into_iter().filter(|library| !is_named(library));
    wanted.with_targets(quiet.map(|library| (library, most)))
}

fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_is_one_word_or_words_by_module() {
        for fine in ["off", "info", "DEBUG", "warn,xcloud::wire=trace", "xcloud=debug"] {
            assert_eq!(level(fine), Ok(fine.into()));
        }
        for wrong in ["", "loud", "info,", "xcloud::wire", "xcloud=loud", "info,h2"] {
            assert!(level(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn libraries_that_tell_every_frame_are_heard_when_they_are_named() {
        let debug = levels("debug");
        assert!(debug.would_enable("xcloud::wire::client", &Level::DEBUG));
        assert!(!debug.would_enable("h2::codec", &Level::DEBUG));
        assert!(debug.would_enable("h2::codec", &Level::INFO));
        assert!(levels("debug,h2=trace").would_enable("h2::codec", &Level::TRACE));
        assert!(!levels("error").would_enable("tonic", &Level::WARN));
        assert!(!levels("xcloud=debug").would_enable("tonic", &Level::ERROR));
    }

    #[test]
    fn what_is_meant_for_another_program_is_no_reason_to_be_silent() {
        assert!(levels("xcloud=loud").would_enable("xcloud", &Level::INFO));
    }
}
