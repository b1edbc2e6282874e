//! The terminal: keys in, pictures out, and left as it was found, whatever ends this.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{SIGTSTP, kill},
    unistd::{Pid, getpgrp, tcgetpgrp},
};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event as Input, KeyCode, KeyModifiers},
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use super::{
    ask,
    draw::Look,
    frame::frame,
    state::{Event, State},
};
use crate::{cli::top::TopArgs, logging};

/// How often the age of what is shown is counted on.
const TICK: Duration = Duration::from_secs(1);
/// How often it is looked whether anybody still wants keys.
const LOOK_UP: Duration = Duration::from_millis(250);
/// How often a stopped view that goes on in the background looks whether it is in the foreground.
const FOREGROUND: Duration = Duration::from_millis(50);

/// A terminal that is ours until this is dropped, but for the time that this process is stopped. A panic gives it back
/// too, before it is told.
struct Screen(Option<DefaultTerminal>);

impl Screen {
    fn open() -> Result<Self> {
        let mut screen = Self(None);
        screen.take()?;
        Ok(screen)
    }

    fn draw(&mut self, state: &State, look: Look) -> Result<()> {
        let draw = |picture: &mut ratatui::Frame<'_>| {
            let area = picture.area();
            picture.render_widget(frame(state, (area.width, area.height), look), area);
        };
        let Some(terminal) = &mut self.0 else { return Ok(()) };
        terminal.draw(draw).map(drop).context("drawing on the terminal")
    }

    fn take(&mut self) -> Result<()> {
        self.0 = Some(ratatui::try_init().context("taking over the terminal")?);
        Ok(())
    }

    /// Gives the terminal back and stops this process until it is continued.
    fn suspend(&mut self) -> Result<()> {
        if let Some(mut terminal) = self.0.take() {
            terminal.show_cursor().context("showing the cursor")?;
            ratatui::try_restore().context("giving the terminal back")?;
        }
        // All that the terminal's own Ctrl-Z would stop: whoever started this may have to stop as well.
        kill(Pid::from_raw(0), SIGTSTP).context("stopping")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.0.take().is_some() {
            // A terminal that is gone needs nothing.
            let _ = ratatui::try_restore();
        }
    }
}

/// Waits until the terminal is this process's again: what is continued in the background, as a shell does with what it
/// ends, must not touch it, nor take the shell's modes for its own.
async fn in_foreground() {
    let mut looks = interval(FOREGROUND);
    // A terminal that is gone says so when it is taken.
    while tcgetpgrp(io::stdin()).is_ok_and(|group| group != getpgrp()) {
        looks.tick().await;
    }
}

/// What ends or stops the view.
enum Happening {
    Event(Event),
    Suspend,
    End,
}

/// Shows and asks until somebody ends it.
pub(super) async fn run(args: &TopArgs, mut state: State, look: Look) -> Result<()> {
    let (events, mut coming) = mpsc::channel(64);
    let (asked, questions) = watch::channel(state.question().cloned());
    let address = args.server.aggregator.clone();
    let times = (args.window, args.interval);
    let asking = events.clone();
    tokio::spawn(async move { ask::again_and_again(&address, times, questions, asking).await });
    let mut signals = Signals::listen()?;
    // From here on the terminal is not to be written to by others.
    logging::silence();
    let mut screen = Screen::open()?;
    let (keys, mut pressed) = mpsc::channel(64);
    thread::spawn(move || listen(&keys));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Instant::now();
    while !state.done {
        screen.draw(&state, look)?;
        let happening = tokio::select! {
            Some(event) = coming.recv() => Happening::Event(event),
            input = pressed.recv() => heard(input),
            _ = ticks.tick() => Happening::Event(Event::Tick),
            () = signals.any() => Happening::End,
        };
        match happening {
            Happening::Event(event) => state.on(event, start.elapsed()),
            Happening::Suspend => {
                screen.suspend()?;
                tokio::select! {
                    () = signals.any() => break,
                    () = in_foreground() => screen.take()?,
                }
            }
            Happening::End => break,
        }
        asked.send_if_modified(|question| {
            let wanted = state.question();
            let changed = question.as_ref() != wanted;
            if changed {
                *question = wanted.cloned();
            }
            changed
        });
    }
    Ok(())
}

/// Signals that end this.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> Result<Self> {
        let on = |kind| signal(kind).context("listening for signals");
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(on);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn any(&mut self) {
        let Self([one, two, three]) = self;
        tokio::select! {
            _ = one.recv() => {}
            _ = two.recv() => {}
            _ = three.recv() => {}
        }
    }
}

/// What the terminal brought; nothing more comes when it is gone.
fn heard(input: Option<Input>) -> Happening {
    match input {
        Some(Input::Key(key))
            if key.code == KeyCode::Char('z') && key.modifiers == KeyModifiers::CONTROL =>
        {
            Happening::Suspend
        }
        Some(Input::Key(key)) => Happening::Event(Event::Key(key)),
        // A new size: it is drawn anew.
        Some(_) => Happening::Event(Event::Tick),
        None => Happening::End,
    }
}

/// Waits for keys as long as anybody wants them.
fn listen(keys: &mpsc::Sender<Input>) {
    while !keys.is_closed() {
        match event::poll(LOOK_UP) {
            Ok(false) => {}
            Ok(true) => {
                let Ok(input) = event::read() else { return };
                if keys.blocking_send(input).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
