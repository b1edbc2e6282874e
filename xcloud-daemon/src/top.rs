//! `xcloud top`: paths live on a terminal, the slowest first. [`state`] is what events change, [`frame`] what is seen of
//! it, both pure; [`ask`] asks the aggregator, [`live`] is the terminal.

mod ask;
pub mod draw;
pub mod frame;
pub mod inside;
pub mod keys;
pub mod list;
mod live;
mod plain;
pub mod question;
pub mod rows;
#[cfg(test)]
pub(crate) mod sample;
pub mod state;

use std::{env, io::IsTerminal as _, time::Duration};

use anyhow::{Context as _, Result};

use self::{draw::Look, question::Question, state::State};
use crate::{cli::top::TopArgs, query, report::style, usage::usage};

/// Shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(100);

/// Shows paths until somebody ends it, or once.
///
/// # Errors
/// An argument is wrong, there is no terminal, or nobody answers at the only look.
pub fn run(args: &TopArgs) -> Result<()> {
    if args.interval < SHORTEST {
        let wrong = humantime::format_duration(args.interval);
        return Err(usage(format!("--interval is {wrong}, less than 100ms")));
    }
    if args.window.is_zero() {
        return Err(usage("--window is 0"));
    }
    let filter = query::filter(&args.filter)?;
    let question = Question { filter, group: args.group_by, within: None };
    let address = args.server.aggregator.to_string();
    let state = State::new(address, args.window, args.interval, question);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let look = look(args);
    if args.once {
        return runtime.block_on(plain::once(args, state, look));
    }
    if !std::io::stdout().is_terminal() {
        return Err(usage("standard output is no terminal; --once prints one look as text"));
    }
    if env::var("TERM").is_ok_and(|term| term == "dumb") {
        return runtime.block_on(plain::again_and_again(args, state, look));
    }
    runtime.block_on(live::run(args, state, look))
}

fn look(args: &TopArgs) -> Look {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| env::var(name).ok());
    let locale = locale.into_iter().find(|value| !value.is_empty()).unwrap_or_default();
    Look { color: style::color() && !args.no_color, unicode: !args.ascii && is_utf8(&locale) }
}

/// Whether a locale's name says UTF-8, as in `en_US.UTF-8` or `C.utf8`.
fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_says_whether_it_is_utf8() {
        assert!(["en_US.UTF-8", "C.utf8", "de_DE.UTF-8@euro"].into_iter().all(is_utf8));
        assert!(!["", "C", "POSIX", "en_US.ISO-8859-1"].into_iter().any(is_utf8));
    }
}
