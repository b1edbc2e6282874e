//! What is being done, on standard error: a line that changes on a terminal, otherwise one line per step.

use std::{
    cell::RefCell,
    io::{IsTerminal as _, Write as _, stderr},
};

/// Tells what is being done.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    last: RefCell<String>,
}

impl Progress {
    /// Nothing said yet.
    pub(crate) fn new() -> Self {
        Self { terminal: stderr().is_terminal(), last: RefCell::default() }
    }

    /// Says `text`. Off a terminal only the first of lines that begin alike is shown: up to a colon they are one step.
    pub(crate) fn say(&self, text: &str) {
        let mut last = self.last.borrow_mut();
        let step = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
        let mut err = stderr().lock();
        // Progress that cannot be shown is no reason to stop.
        let _ = if self.terminal {
            write!(err, "\r\x1b[K{text}").and_then(|()| err.flush())
        } else if step(text) == step(&last) {
            Ok(())
        } else {
            writeln!(err, "xtask: {}", step(text))
        };
        text.clone_into(&mut last);
    }

    /// Clears the changing line.
    pub(crate) fn done(&self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
