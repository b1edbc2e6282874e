//! The log for people: time, level, message, one line each.

use std::{
    fmt::{self, Write as _},
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Writes a line.
#[derive(Debug)]
pub(super) struct Text {
    /// Colours the level.
    pub(super) color: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = event.metadata().level();
        let time = humantime::format_rfc3339_seconds(SystemTime::now());
        let (on, off) = if self.color { (color(*level), "\x1b[0m") } else { ("", "") };
        let mut said =
            Said { ours: event.metadata().target().starts_with("xcloud"), text: String::new() };
        event.record(&mut said);
        write!(writer, "[{time} {on}{level:<5}{off}] ")?;
        escape(&said.text, &mut writer)?;
        writeln!(writer)
    }
}

/// The message. Fields of our own events repeat what it says, those of libraries do not.
struct Said {
    ours: bool,
    text: String,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => {
                let rest = std::mem::take(&mut self.text);
                write!(self.text, "{value:?}{rest}")
            }
            name if self.ours || name.starts_with("log.") => Ok(()),
            name => write!(self.text, " {name}={value:?}"),
        };
    }
}

const fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[36m",
    }
}

/// Writes text without what would begin a line, steer a terminal or turn text around: names of pods and interfaces are
/// others' doing.
fn escape(text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    text.chars().try_for_each(|c| match c {
        '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            write!(out, "{}", c.escape_unicode())
        }
        c if c.is_control() => write!(out, "{}", c.escape_default()),
        c => out.write_char(c),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape(text, &mut out).expect("a string");
        out
    }

    proptest! {
        #[test]
        fn nothing_that_is_said_begins_a_line_or_steers_a_terminal(text in "\\PC*[\\x00-\\x9f]*\\PC*") {
            prop_assert!(!escaped(&text).contains(char::is_control));
        }
    }

    #[test]
    fn what_people_read_stays_as_it_is() {
        assert_eq!(escaped("pod \"ä\" → 3 µs"), "pod \"ä\" → 3 µs");
        assert_eq!(escaped("a\n[INFO] forged\u{1b}[31m"), "a\\n[INFO] forged\\u{1b}[31m");
        assert_eq!(escaped("\u{202e}abc\u{9b}"), "\\u{202e}abc\\u{9b}");
    }
}
