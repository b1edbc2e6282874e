//! Who is there, which tests there are, and who plays in which. No I/O and no clock.

use std::collections::BTreeMap;

use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use xcloud_proto::loadtest::v1::{
    AttendResponse, LoadTest, LoadTestState, WatchLoadTestResponse, report::News,
    watch_load_test_response::News as Watched,
};

use super::{
    attendee::Attendee,
    cast::{Player, Started, Ticket},
    refusal::Refusal,
    spec::Spec,
};
use crate::measure::Site;

/// Most endpoints at once.
const MOST_ENDPOINTS: usize = 1_000;
/// Most tests at once.
const MOST_RUNNING: usize = 32;
/// Orders on their way to an endpoint.
pub const ORDERS: usize = 8;
/// Reports on their way to who leads a test.
const REPORTS: usize = 64;
/// News that a slow watcher may be behind.
const NEWS: usize = 256;

/// The registry.
#[derive(Debug, Default)]
pub struct Registry {
    seats: BTreeMap<String, Seat>,
    tests: BTreeMap<String, Entry>,
    serial: u64,
}

/// An endpoint's place.
#[derive(Debug)]
struct Seat {
    attendee: Attendee,
    serial: u64,
    orders: mpsc::Sender<AttendResponse>,
    gone: CancellationToken,
    part: Option<Part>,
}

#[derive(Debug)]
struct Part {
    test: String,
    reports: mpsc::Sender<News>,
}

#[derive(Debug)]
struct Entry {
    test: LoadTest,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    path: (Site, Site),
    ends: [String; 2],
    news: broadcast::Sender<WatchLoadTestResponse>,
    cancel: CancellationToken,
}

impl Registry {
    /// With tests of earlier lives, all of which have ended.
    #[must_use]
    pub fn new(ended: Vec<LoadTest>) -> Self {
        let entry = |test: LoadTest| (test.id.clone(), Entry { test, running: None });
        Self { tests: ended.into_iter().map(entry).collect(), ..Self::default() }
    }

    /// Gives an endpoint a seat; an earlier stream of its name loses it.
    ///
    /// # Errors
    /// There are too many.
    pub fn join(
        &mut self,
        attendee: Attendee,
        orders: mpsc::Sender<AttendResponse>,
    ) -> Result<Ticket, Refusal> {
        let name = attendee.name.clone();
        if self.seats.len() >= MOST_ENDPOINTS && !self.seats.contains_key(&name) {
            return Err(Refusal::Full(format!("{MOST_ENDPOINTS} endpoints are here already")));
        }
        self.serial += 1;
        let ticket = Ticket { name, serial: self.serial, gone: CancellationToken::new() };
        let gone = ticket.gone.clone();
        let seat = Seat { attendee, serial: ticket.serial, orders, gone, part: None };
        if let Some(older) = self.seats.insert(ticket.name.clone(), seat) {
            older.gone.cancel();
        }
        Ok(ticket)
    }

    /// Takes a seat away once its stream has ended.
    pub fn leave(&mut self, ticket: &Ticket) {
        ticket.gone.cancel();
        if self.seats.get(&ticket.name).is_some_and(|seat| seat.serial == ticket.serial) {
            self.seats.remove(&ticket.name);
        }
    }

    /// All endpoints by name.
    pub fn attendees(&self) -> impl Iterator<Item = &Attendee> {
        self.seats.values().map(|seat| &seat.attendee)
    }

    /// Where an endpoint's reports about a test go, if it plays in it.
    #[must_use]
    pub fn reports(&self, ticket: &Ticket, test: &str) -> Option<mpsc::Sender<News>> {
        let seat = self.seats.get(&ticket.name).filter(|seat| seat.serial == ticket.serial)?;
        seat.part.as_ref().filter(|part| part.test == test).map(|part| part.reports.clone())
    }

    /// The endpoints of a test: who sends, who answers.
    ///
    /// # Errors
    /// One is not here.
    pub fn ends(&self, spec: &Spec) -> Result<(&Attendee, &Attendee), Refusal> {
        Ok((&self.seat(&spec.from)?.attendee, &self.seat(&spec.to)?.attendee))
    }

    fn seat(&self, name: &str) -> Result<&Seat, Refusal> {
        self.seats.get(name).ok_or_else(|| {
            let known: Vec<_> = self.seats.keys().take(10).map(String::as_str).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            Refusal::Unknown(format!("no endpoint {name:?} is here; there are: {known}"))
        })
    }

    /// Begins a test, if both endpoints and their path are free.
    ///
    /// # Errors
    /// Says who is not there or what is busy.
    pub fn start(&mut self, spec: &Spec, test: LoadTest) -> Result<Started, Refusal> {
        let (from, to) = self.ends(spec)?;
        let path = path(&from.site, &to.site);
        self.free(spec, &path)?;
        if self.tests.contains_key(&test.id) {
            return Err(Refusal::Broken(format!("a test is called {} already", test.id)));
        }
        let from = self.cast(&spec.from, &test.id)?;
        let to = self.cast(&spec.to, &test.id)?;
        let cancel = CancellationToken::new();
        let running = Running {
            path,
            ends: [spec.from.clone(), spec.to.clone()],
            news: broadcast::Sender::new(NEWS),
            cancel: cancel.clone(),
        };
        let entry = Entry { test: test.clone(), running: Some(running) };
        self.tests.insert(test.id.clone(), entry);
        Ok(Started { test, from, to, cancel })
    }

    fn free(&self, spec: &Spec, path: &(Site, Site)) -> Result<(), Refusal> {
        let running =
            || self.tests.iter().filter_map(|(id, entry)| Some((id, entry.running.as_ref()?)));
        if let Some((id, _)) = running().find(|(_, one)| one.path == *path) {
            return Err(Refusal::Busy(format!("test {id} runs on this path")));
        }
        for name in [&spec.from, &spec.to] {
            if let Some((id, _)) = running().find(|(_, one)| one.ends.contains(name)) {
                return Err(Refusal::Busy(format!("endpoint {name:?} plays in test {id}")));
            }
        }
        if running().count() >= MOST_RUNNING {
            return Err(Refusal::Full(format!("{MOST_RUNNING} tests run already")));
        }
        Ok(())
    }

    fn cast(&mut self, name: &str, test: &str) -> Result<Player, Refusal> {
        let seat = self
            .seats
            .get_mut(name)
            .ok_or_else(|| Refusal::Unknown(format!("no endpoint {name:?} is here")))?;
        let (reports, receiver) = mpsc::channel(REPORTS);
        seat.part = Some(Part { test: test.into(), reports });
        Ok(Player {
            attendee: seat.attendee.clone(),
            serial: seat.serial,
            orders: seat.orders.clone(),
            gone: seat.gone.clone(),
            reports: receiver,
        })
    }

    /// Tells a line of a test's progress to who follows it.
    pub fn progress(&self, id: &str, line: String) {
        if let Some(running) = self.tests.get(id).and_then(|entry| entry.running.as_ref()) {
            // Nobody may be listening.
            let _ =
                running.news.send(WatchLoadTestResponse { news: Some(Watched::Progress(line)) });
        }
    }

    /// Says how far a test is. One that has ended leaves its endpoints and its path free.
    pub fn turn(&mut self, id: &str, change: impl FnOnce(&mut LoadTest)) -> Option<LoadTest> {
        let entry = self.tests.get_mut(id)?;
        change(&mut entry.test);
        let test = entry.test.clone();
        if let Some(running) = &entry.running {
            let news = Some(Watched::Test(test.clone()));
            let _ = running.news.send(WatchLoadTestResponse { news });
        }
        if has_ended(&test)
            && let Some(running) = entry.running.take()
        {
            for name in running.ends {
                let seat = self.seats.get_mut(&name);
                let part = seat.map(|seat| &mut seat.part);
                if let Some(part) = part.filter(|part| part.as_ref().is_some_and(|p| p.test == id))
                {
                    *part = None;
                }
            }
        }
        Some(test)
    }

    /// A test as it is, and its news from now on while it runs.
    ///
    /// # Errors
    /// There is none.
    pub fn watch(
        &self,
        id: &str,
    ) -> Result<(LoadTest, Option<broadcast::Receiver<WatchLoadTestResponse>>), Refusal> {
        let entry = self.entry(id)?;
        Ok((entry.test.clone(), entry.running.as_ref().map(|running| running.news.subscribe())))
    }

    /// Asks for a test's end.
    ///
    /// # Errors
    /// There is none.
    pub fn cancel(&self, id: &str) -> Result<(), Refusal> {
        if let Some(running) = &self.entry(id)?.running {
            running.cancel.cancel();
        }
        Ok(())
    }

    fn entry(&self, id: &str) -> Result<&Entry, Refusal> {
        let unknown = || Refusal::Unknown(format!("no test {:?} is known here", shown(id)));
        self.tests.get(id).ok_or_else(unknown)
    }

    /// Tests, newest first.
    #[must_use]
    pub fn tests(&self, most: usize) -> Vec<LoadTest> {
        let mut all: Vec<_> = self.tests.values().map(|entry| &entry.test).collect();
        all.sort_by_key(|test| std::cmp::Reverse((created(test), &test.id)));
        all.into_iter().take(most).cloned().collect()
    }

    /// Forgets the oldest tests that ended, so that at most so many are left; returns their names.
    pub fn forget(&mut self, most: usize) -> Vec<String> {
        let mut ended: Vec<_> = self
            .tests
            .values()
            .filter(|entry| entry.running.is_none())
            .map(|one| &one.test)
            .collect();
        ended.sort_by_key(|test| std::cmp::Reverse((created(test), &test.id)));
        let old: Vec<_> = ended.into_iter().skip(most).map(|test| test.id.clone()).collect();
        self.tests.retain(|id, _| !old.contains(id));
        old
    }
}

/// Whether nothing more comes of a test.
#[must_use]
pub fn has_ended(test: &LoadTest) -> bool {
    !matches!(test.state(), LoadTestState::Starting | LoadTestState::Running)
}

fn created(test: &LoadTest) -> (i64, i32) {
    test.created.map_or((0, 0), |time| (time.seconds, time.nanos))
}

/// Both ends of a path, in either direction the same.
fn path(one: &Site, other: &Site) -> (Site, Site) {
    if one <= other { (one.clone(), other.clone()) } else { (other.clone(), one.clone()) }
}

/// As much of a text as an error needs to say.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
