//! Looks as plain text, for scripts and for terminals that can only print.

use std::time::Duration;

use anyhow::Result;
use ratatui::text::{Line, Text};

use super::{
    ask::{self, Asker},
    draw::Look,
    frame::head,
    list::{Layout, whole},
    state::{Event, State},
};
use crate::{cli::top::TopArgs, report::style};

/// Width where the terminal has none.
const WIDTH: u16 = 120;
/// Narrowest text.
const NARROWEST: usize = 60;

/// Prints one look.
///
/// # Errors
/// Nobody answers.
pub(super) async fn once(args: &TopArgs, mut state: State, look: Look) -> Result<()> {
    let mut asker = Asker::connect(&args.server.aggregator, args.window).await?;
    let answer = asker.ask(&state.screen().question).await?;
    state.on(Event::Answer(Box::new(answer)), Duration::ZERO);
    style::print(&picture(&state, width(), look)).map(drop)
}

/// Prints a look after another until nobody reads.
pub(super) async fn again_and_again(args: &TopArgs, mut state: State, look: Look) -> Result<()> {
    let (events, mut coming) = tokio::sync::mpsc::channel(1);
    let (_asked, questions) = tokio::sync::watch::channel(state.question().cloned());
    let address = args.server.aggregator.clone();
    let times = (args.window, args.interval);
    tokio::spawn(async move { ask::again_and_again(&address, times, questions, events).await });
    let start = std::time::Instant::now();
    while let Some(event) = coming.recv().await {
        state.on(event, start.elapsed());
        let read_on = style::print(&(picture(&state, width(), look) + "\n"))?;
        if !read_on {
            break;
        }
    }
    Ok(())
}

fn width() -> usize {
    let columns = ratatui::crossterm::terminal::size().map_or(WIDTH, |(columns, _)| columns);
    usize::from(columns).max(NARROWEST)
}

/// All rows as text, without any style.
fn picture(state: &State, width: usize, look: Look) -> String {
    let look = Look { color: false, ..look };
    let mut lines = head(state, width, look);
    lines.extend(whole(state, &Layout::new(width), look));
    lines.push(Line::from(look.legend()));
    let text = Text::from(lines);
    text.lines.iter().map(|line| line.to_string().trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::GroupArg,
        top::{
            question::Question,
            sample::{path, report},
            state::Answer,
        },
    };

    #[test]
    fn a_look_is_plain_text_with_every_path() {
        let question = Question { filter: Default::default(), group: GroupArg::Node, within: None };
        let seconds = Duration::from_secs;
        let mut state = State::new("unix:/run/x".into(), seconds(60), seconds(2), question.clone());
        let paths = (0..30).map(|ms| path("aws", "gcp", (ms + 1) * 1_000_000)).collect();
        let answer = Answer { question, report: report(paths), nodes: Vec::new() };
        state.on(Event::Answer(Box::new(answer)), seconds(1));
        let text = picture(&state, 80, Look { color: true, unicode: false });
        assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
        assert_eq!(text.matches("aws us-east-1b node-a -> gcp").count(), 30);
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    }
}
