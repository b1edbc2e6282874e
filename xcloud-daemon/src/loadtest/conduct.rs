//! Leads one test from the first order to the last report. However it ends, both endpoints are free afterwards: they said
//! so, or their streams were ended, and with those all that they started.

use std::time::Duration;

use tokio::{
    sync::mpsc::error::TrySendError,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;
use xcloud_proto::{
    common::v1::Endpoint,
    loadtest::v1::{
        Answer, AttendResponse, LoadTestState, Send, attend_response::Message, report::News,
    },
};

use super::{
    attendee::octets,
    cast::{Player, Started},
    director::Director,
    keep::LONGEST_RESULT,
    orders::answering_time,
    spec::Spec,
};
use crate::{report::style::clean, result::Run};

/// How long the answering part may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// How long a part may take to end once it was told to: longer than endpoints wait before they kill it.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How much longer than the answering part a test may take.
const SLACK: Duration = Duration::from_secs(30);
/// Longest sentence taken from an endpoint, in characters.
const SENTENCE: usize = 500;
/// Most lines of progress passed on.
const LINES: usize = 100_000;
/// Most trials of a result.
const MOST_TRIALS: usize = 1_000;

/// How a test ended.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Done, failed or cancelled.
    pub state: LoadTestState,
    /// Why it failed.
    pub error: String,
    /// What was found.
    pub run: Option<Run>,
}

/// Why a test goes no further.
#[derive(Debug)]
enum Stop {
    Cancelled,
    Failed(String),
}

struct Cast<'a> {
    id: &'a str,
    from: Part,
    to: Part,
    cancel: CancellationToken,
    stop: &'a CancellationToken,
}

/// An endpoint and what came of it.
struct Part {
    player: Player,
    /// It plays no more.
    over: bool,
    result: Vec<u8>,
    /// The result is whole.
    whole: bool,
}

/// Leads a test.
pub async fn conduct(director: &Director, spec: &Spec, started: Started) -> Verdict {
    let Started { test, from, to, cancel } = started;
    let (from, to) = (Part::new(from), Part::new(to));
    let mut cast = Cast { id: &test.id, from, to, cancel, stop: &director.stop };
    let played = cast.play(director, spec).await;
    cast.close().await;
    let run = if cast.from.whole { Some(cast.run(spec).await) } else { None };
    verdict(played, run)
}

fn verdict(played: Result<(), Stop>, run: Option<Result<Run, String>>) -> Verdict {
    let (state, error) = match &played {
        Ok(()) => (LoadTestState::Done, String::new()),
        Err(Stop::Cancelled) => (LoadTestState::Cancelled, String::new()),
        Err(Stop::Failed(why)) => (LoadTestState::Failed, why.clone()),
    };
    match run {
        Some(Ok(run)) if !matches!(played, Err(Stop::Failed(_))) => {
            Verdict { state, error, run: Some(run) }
        }
        Some(Err(why)) if played.is_ok() => {
            Verdict { state: LoadTestState::Failed, error: why, run: None }
        }
        None if played.is_ok() => {
            let error = "the sending endpoint ended without a result".into();
            Verdict { state: LoadTestState::Failed, error, run: None }
        }
        _ => Verdict { state, error, run: None },
    }
}

impl Cast<'_> {
    async fn play(&mut self, director: &Director, spec: &Spec) -> Result<(), Stop> {
        let (test_id, wire) = (self.id.to_owned(), spec.wire());
        let answer = Answer { test_id: test_id.clone(), spec: Some(wire.clone()) };
        self.to.order(Message::Answer(answer))?;
        let port = self.ready().await?;
        let to = &self.to.player.attendee;
        let send = Send {
            test_id,
            spec: Some(wire),
            to: Some(Endpoint { address: octets(to.address), port }),
            from_label: self.from.player.attendee.place(),
            to_label: to.place(),
        };
        self.from.order(Message::Send(send))?;
        director.runs(self.id);
        let deadline = Instant::now() + answering_time(spec) + SLACK;
        self.follow(director, deadline).await
    }

    /// Waits for the port at which the answering part is ready.
    async fn ready(&mut self) -> Result<u32, Stop> {
        let late = Instant::now() + READY_WITHIN;
        loop {
            // Reports before their stream's end, which may have come with them.
            let news = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                () = self.stop.cancelled() => return Err(stopping()),
                () = sleep_until(late) => {
                    return Err(self.to.failed(&format!("was not ready within {READY_WITHIN:?}")));
                }
                news = self.to.player.reports.recv() => news,
                () = self.from.player.gone.cancelled() => return Err(self.from.lost()),
                () = self.to.player.gone.cancelled() => return Err(self.to.lost()),
            };
            match news {
                Some(News::ReadyPort(port @ 1..=65_535)) => return Ok(port),
                Some(news) => self.to.take(news)?,
                None => return Err(self.to.lost()),
            }
            if self.to.over {
                return Err(self.to.failed("ended before it was ready"));
            }
        }
    }

    /// Follows the sending part to its end.
    async fn follow(&mut self, director: &Director, deadline: Instant) -> Result<(), Stop> {
        let mut lines = 0;
        while !self.from.over {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                () = self.stop.cancelled() => return Err(stopping()),
                () = sleep_until(deadline) => return Err(self.from.failed("did not end in time")),
                news = self.from.player.reports.recv() => match news {
                    Some(News::Progress(line)) => {
                        lines += 1;
                        if lines <= LINES {
                            director.progress(self.id, sentence(&line));
                        }
                    }
                    Some(news) => self.from.take(news)?,
                    None => return Err(self.from.lost()),
                },
                news = self.to.player.reports.recv(), if !self.to.over => match news {
                    Some(news) => self.to.take(news)?,
                    None => return Err(self.to.lost()),
                },
                () = self.from.player.gone.cancelled() => return Err(self.from.lost()),
                () = self.to.player.gone.cancelled() => return Err(self.to.lost()),
            }
        }
        Ok(())
    }

    /// Ends what still runs: first who sends, so that it can tell what it found.
    async fn close(&mut self) {
        self.from.end(self.id).await;
        self.to.end(self.id).await;
    }

    /// The sending endpoint's result, called as this test is.
    async fn run(&mut self, spec: &Spec) -> Result<Run, String> {
        let bytes = std::mem::take(&mut self.from.result);
        let who = format!("what endpoint {:?} sent", self.from.player.attendee.name);
        // A long result takes a while to read, and agents wait.
        let read = tokio::task::spawn_blocking(move || Run::parse(&bytes, &who)).await;
        let mut run = read
            .map_err(|error| format!("reading the result: {error}"))?
            .map_err(|error| sentence(&format!("{error:#}")))?;
        if !(1..=MOST_TRIALS).contains(&run.trials.len()) {
            return Err(format!("the result has {} trials", run.trials.len()));
        }
        let (from, to) = (&self.from.player.attendee, &self.to.player.attendee);
        self.id.clone_into(&mut run.label);
        for trial in &mut run.trials {
            trial.test.clone_from(&spec.name);
            trial.from = from.place();
            trial.to = to.place();
            let networks = [("from_network", from), ("to_network", to)]
                .map(|(name, end)| (name.to_owned(), end.network_name().to_owned()));
            trial.settings.extend(networks);
        }
        Ok(run)
    }
}

impl Part {
    fn new(player: Player) -> Self {
        Self { player, over: true, result: Vec::new(), whole: false }
    }

    /// Gives an order. Few are ever under way, so one that finds no room is not being read.
    fn order(&mut self, message: Message) -> Result<(), Stop> {
        self.over = false;
        match self.player.orders.try_send(AttendResponse { message: Some(message) }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(self.failed("takes no orders")),
            Err(TrySendError::Closed(_)) => Err(self.lost()),
        }
    }

    fn take(&mut self, news: News) -> Result<(), Stop> {
        match news {
            News::ReadyPort(_) | News::Progress(_) => Ok(()),
            News::ResultChunk(bytes) => {
                if self.result.len() + bytes.len() > LONGEST_RESULT {
                    return Err(self.failed("sends a result that is too long"));
                }
                self.result.extend(bytes);
                Ok(())
            }
            News::Ended(_) => {
                self.over = true;
                self.whole = !self.result.is_empty();
                Ok(())
            }
            News::Failed(why) => {
                self.over = true;
                Err(self.failed(&sentence(&why)))
            }
        }
    }

    /// Ends it; one that does not say in time that it has ended loses its stream, and with it whatever runs.
    async fn end(&mut self, id: &str) {
        if self.over || self.player.gone.is_cancelled() {
            return;
        }
        let told = self.order(Message::Stop(id.into())).is_ok();
        let late = Instant::now() + STOP_WITHIN;
        while told && !self.over {
            match timeout_at(late, self.player.reports.recv()).await {
                // That it failed is what it was told to do.
                Ok(Some(news)) => drop(self.take(news)),
                Ok(None) | Err(_) => break,
            }
        }
        if !self.over {
            self.player.gone.cancel();
        }
    }

    fn failed(&self, why: &str) -> Stop {
        Stop::Failed(format!("endpoint {:?}: {why}", self.player.attendee.name))
    }

    fn lost(&self) -> Stop {
        self.failed("went away, or its connection did")
    }
}

fn stopping() -> Stop {
    Stop::Failed("the aggregator was stopped".into())
}

/// Words of an endpoint as they may be shown.
fn sentence(text: &str) -> String {
    clean(&text.chars().take(SENTENCE).collect::<String>())
}
