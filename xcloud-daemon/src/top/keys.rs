//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{rows::Sort, state::State};

/// Rows a page key moves by.
const PAGE: isize = 10;
/// Longest filter.
const LONGEST: usize = 100;

/// Every key and what it does, as the help shows it.
pub const KEYS: [(&str, &str); 8] = [
    ("up down, k j", "move; PgUp PgDn Home End too"),
    ("Enter", "into the path; again: into its parts"),
    ("Esc", "back; at the list, drops the filter"),
    ("t e w l", "sort by p99, exchanges, WAN, unjoined"),
    ("s", "sort by the next of these"),
    ("/", "show only paths with these words"),
    ("p", "stand still; go on"),
    ("q, Ctrl-C", "end; Ctrl-Z suspends"),
];

impl State {
    /// Takes in a key.
    pub(super) fn key(&mut self, key: KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            self.done |= matches!(key.code, KeyCode::Char('c' | 'd'));
        } else if self.typing.is_some() {
            self.typed(key.code);
        } else if std::mem::take(&mut self.help) {
            // Any key ends the help, and the one that ends all does so here too.
            self.done |= key.code == KeyCode::Char('q');
        } else {
            self.pressed(key.code);
        }
    }

    fn pressed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-PAGE),
            KeyCode::PageDown => self.step(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            KeyCode::Enter | KeyCode::Right => self.enter(),
            KeyCode::Esc | KeyCode::Left | KeyCode::Backspace => self.back(),
            KeyCode::Char('t') => self.sort = Sort::P99,
            KeyCode::Char('e') => self.sort = Sort::Exchanges,
            KeyCode::Char('w') => self.sort = Sort::Wan,
            KeyCode::Char('l') => self.sort = Sort::Unjoined,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Char('/') if self.screen().open.is_none() => {
                self.typing = Some(self.screen().filter.clone());
            }
            KeyCode::Char('p') => self.paused = !self.paused,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Char('q') => self.done = true,
            _ => {}
        }
    }

    /// A key while a filter is typed; what is shown follows each.
    fn typed(&mut self, code: KeyCode) {
        let Some(mut text) = self.typing.take() else { return };
        match code {
            KeyCode::Enter => return,
            KeyCode::Esc => {
                self.screen_mut().filter.clear();
                return;
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(c) if text.len() < LONGEST => text.push(c),
            _ => {}
        }
        self.screen_mut().filter.clone_from(&text);
        self.typing = Some(text);
    }
}
