//! What is shown and asked: a state that events change. No clock, no terminal, no network.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use ratatui::crossterm::event::KeyEvent;

use super::{
    question::{Question, Within},
    rows::{Key, Row, Sort, arranged},
};
use crate::report::{Loss, Pod, Report, nodes::Node};

/// Most values a sparkline is drawn from.
const HISTORY: usize = 120;

/// An answer of the aggregator.
#[derive(Clone, Debug)]
pub struct Answer {
    /// To what.
    pub question: Question,
    /// Paths and losses.
    pub report: Report,
    /// The agents.
    pub nodes: Vec<Node>,
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The aggregator answered.
    Answer(Box<Answer>),
    /// It did not, and why.
    Gone(String),
    /// Time passed, or the size of the terminal is another.
    Tick,
}

/// Paths of one question.
#[derive(Clone, Debug)]
pub struct Screen {
    /// What is asked.
    pub question: Question,
    /// The latest answer, by path.
    pub rows: Vec<Row>,
    /// When it came; `None` before the first.
    pub answered: Option<Duration>,
    /// Pods of all nodes that are not seen at their interface.
    pub pods: Vec<Pod>,
    /// The 99th percentiles of each path at the looks so far, the latest last.
    pub history: HashMap<Key, VecDeque<u64>>,
    /// The row that keys act on; the first when it is not there.
    pub selected: Option<Key>,
    /// The path that is looked at by itself.
    pub open: Option<Key>,
    /// Lines of it that are above the screen.
    pub scroll: usize,
    /// Words a path has to have.
    pub filter: String,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct State {
    /// The aggregator's address.
    pub address: String,
    /// How far back a look goes.
    pub window: Duration,
    /// How often there is one.
    pub interval: Duration,
    /// Screens gone through; the last is shown. Never empty.
    pub(super) screens: Vec<Screen>,
    /// What rows are sorted by.
    pub sort: Sort,
    /// Whether the screen stands still.
    pub paused: bool,
    /// Whether keys are explained.
    pub help: bool,
    /// A filter that is being typed.
    pub typing: Option<String>,
    /// Why the aggregator does not answer, if it does not.
    pub gone: Option<String>,
    /// The agents at the last answer.
    pub nodes: Vec<Node>,
    /// Losses of the whole system at the last answer.
    pub loss: Loss,
    /// How many observations were lost between the last two answers; none before there are two.
    pub lost_lately: Option<u64>,
    /// The time, from the start on.
    pub now: Duration,
    /// Whether to end.
    pub done: bool,
}

impl Screen {
    /// Before the first answer.
    #[must_use]
    pub fn new(question: Question) -> Self {
        Self {
            question,
            rows: Vec::new(),
            answered: None,
            pods: Vec::new(),
            history: HashMap::new(),
            selected: None,
            open: None,
            scroll: 0,
            filter: String::new(),
        }
    }

    /// Where the selected row is among those shown.
    #[must_use]
    pub fn position(&self, rows: &[&Row]) -> usize {
        rows.iter().position(|row| Some(&row.key) == self.selected.as_ref()).unwrap_or(0)
    }

    /// The path that is looked at by itself, if it is still there.
    #[must_use]
    pub fn opened(&self) -> Option<&Row> {
        let open = self.open.as_ref()?;
        self.rows.iter().find(|row| row.key == *open)
    }

    fn take(&mut self, mut rows: Vec<Row>, pods: Vec<Pod>, now: Duration) {
        self.question.keep(&mut rows);
        let mut before = std::mem::take(&mut self.history);
        for row in &rows {
            let mut values = before.remove(&row.key).unwrap_or_default();
            values.extend(row.p99_ns());
            values.drain(..values.len().saturating_sub(HISTORY));
            self.history.insert(row.key.clone(), values);
        }
        (self.rows, self.pods, self.answered) = (rows, pods, Some(now));
    }
}

impl State {
    /// Before the first answer.
    #[must_use]
    pub fn new(address: String, window: Duration, interval: Duration, question: Question) -> Self {
        Self {
            address,
            window,
            interval,
            screens: vec![Screen::new(question)],
            sort: Sort::default(),
            paused: false,
            help: false,
            typing: None,
            gone: None,
            nodes: Vec::new(),
            loss: Loss::default(),
            lost_lately: None,
            now: Duration::ZERO,
            done: false,
        }
    }

    /// What is shown.
    #[must_use]
    pub fn screen(&self) -> &Screen {
        &self.screens[self.screens.len() - 1]
    }

    pub(super) fn screen_mut(&mut self) -> &mut Screen {
        let last = self.screens.len() - 1;
        &mut self.screens[last]
    }

    /// What to ask; nothing while the screen stands still with an answer on it.
    #[must_use]
    pub fn question(&self) -> Option<&Question> {
        let screen = self.screen();
        (!self.paused || screen.answered.is_none()).then_some(&screen.question)
    }

    /// The rows shown, in order.
    #[must_use]
    pub fn rows(&self) -> Vec<&Row> {
        arranged(&self.screen().rows, self.sort, &self.screen().filter)
    }

    /// Whether what is shown is older than it should be.
    #[must_use]
    pub fn stale(&self) -> bool {
        self.gone.is_some() && self.screen().answered.is_some()
    }

    /// Takes in what happened.
    pub fn on(&mut self, event: Event, now: Duration) {
        self.now = now;
        match event {
            Event::Key(key) => self.key(key),
            Event::Answer(answer) => self.answer(*answer),
            Event::Gone(why) => self.gone = Some(why),
            Event::Tick => {}
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.gone = None;
        // It may have been asked before a key went elsewhere.
        if self.question() != Some(&answer.question) {
            return;
        }
        let Answer { report, nodes, .. } = answer;
        let lost = report.loss.lost.sum();
        let known = self.screens.iter().any(|screen| screen.answered.is_some());
        self.lost_lately = known.then(|| lost.saturating_sub(self.loss.lost.sum()));
        (self.loss, self.nodes) = (report.loss, nodes);
        let rows = report.paths.into_iter().map(Row::new).collect();
        let now = self.now;
        self.screen_mut().take(rows, report.pods, now);
    }

    /// Goes into a row's path: to the path by itself, then to its parts.
    pub(super) fn enter(&mut self) {
        if let Some(open) = self.screen().opened() {
            if let Some(question) = self.screen().question.into_path(&open.path) {
                self.screens.push(Screen::new(question));
            }
        } else if self.screen().open.is_none() {
            let rows = self.rows();
            let key = rows.get(self.screen().position(&rows)).map(|row| row.key.clone());
            let screen = self.screen_mut();
            (screen.selected, screen.open, screen.scroll) = (key.clone(), key, 0);
        }
    }

    /// Goes back by one step; the filter goes first.
    pub(super) fn back(&mut self) {
        let several = self.screens.len() > 1;
        let screen = self.screen_mut();
        if screen.open.take().is_some() {
            return;
        }
        if !screen.filter.is_empty() {
            screen.filter.clear();
        } else if several {
            self.screens.pop();
        }
    }

    /// Moves by so many rows, or lines of a path.
    pub(super) fn step(&mut self, by: isize) {
        if self.screen().open.is_some() {
            let scroll = self.screen().scroll.saturating_add_signed(by);
            self.screen_mut().scroll = scroll;
            return;
        }
        let rows = self.rows();
        let last = rows.len().saturating_sub(1);
        let to = self.screen().position(&rows).saturating_add_signed(by).min(last);
        let key = rows.get(to).map(|row| row.key.clone());
        self.screen_mut().selected = key;
    }

    /// The paths gone into, outermost first.
    pub fn trail(&self) -> impl Iterator<Item = &Within> {
        self.screens.iter().filter_map(|screen| screen.question.within.as_ref())
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
